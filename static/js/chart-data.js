// Numbers and colours of a chart, before anything is drawn.

const HUES = ["#206bc4", "#d6336c", "#2fb344", "#f59f00", "#ae3ec9", "#17a2b8", "#d63939", "#74b816", "#4263eb", "#a8590b"];
const HUES_DARK = ["#66a3e8", "#f08aae", "#63d27f", "#ffc14d", "#d18fe4", "#5fd0e0", "#f08080", "#a9dc62", "#91a7ff", "#e0a15f"];
const TONES = { good: ["#2b8a3e", "#5cc46f"], warning: ["#e08600", "#ffc14d"], bad: ["#c92a2a", "#ff8f88"] };

export const dark = () => document.documentElement.dataset.bsTheme === "dark";
/** The colour of the series `one`: by its tone, else by its place. */
export const hue = (one, index) => (one.tone ? TONES[one.tone][Number(dark())] : (dark() ? HUES_DARK : HUES)[index % HUES.length]);
/** When all colours are taken, lines are dashed. */
export const dash = (index) => (index < HUES.length ? [] : [6, 4]);

/** A number as short as it can be read: 0.0831, 1.2e-5, 12,340. */
export function short(value) {
  if (value === null || value === undefined) return "–";
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-3 || size >= 1e6)) return value.toExponential(2).replace(/\.?0+e/, "e");
  return value.toLocaleString(document.documentElement.lang, { maximumFractionDigits: size < 10 ? 4 : 1 });
}

/** [[x, value], ...] of several series -> uPlot's columns over the union of their x values. */
export function columns(series) {
  const xs = [...new Set(series.flatMap((one) => one.points.map((point) => point[0])))].sort((a, b) => a - b);
  const place = new Map(xs.map((x, index) => [x, index]));
  const rows = series.map((one) => {
    const values = new Array(xs.length).fill(null);
    for (const [x, value] of one.points) values[place.get(x)] = value;
    return values;
  });
  return [xs, ...rows];
}

/** Each series plus all that lie below it. */
export function stack([xs, ...rows]) {
  const piles = rows.map((row) => [...row]);
  for (let i = piles.length - 2; i >= 0; i -= 1) piles[i] = piles[i].map((value, x) => (value ?? 0) + (piles[i + 1][x] ?? 0));
  return [xs, ...piles];
}

/* The answer of a model, drawn: each of bars(), boxes() and mask() takes the answer, the model's labels
 * [{"id", "name", "colour": "#rrggbb", "ink": "#rrggbb"}], the picture and the form's texts, draws into the picture what
 * belongs there and returns the element that stands below it. */
import { make } from "./dom.js";

const MOST = 900; // pixels of the canvas's longer side
const LEAST = 320; // a small image is drawn this wide
const OPACITY = 140; // of 255: that of the dataset previews
const CLEAR = [0, 0, 0, 0];
const UNKNOWN = { colour: "#808080", ink: "#000000" };

const percent = (share) => `${(share * 100).toFixed(share >= 0.1 || share === 0 ? 1 : 2)} %`;
const channels = (colour) => [1, 3, 5].map((place) => parseInt(colour.slice(place, place + 2), 16));

function swatch(colour) {
  const element = make("span", "chart-swatch");
  element.style.backgroundColor = colour;
  return element;
}

/** The chosen image on the canvas; nothing when the browser cannot show it. */
export class Picture {
  constructor(canvas) {
    this.canvas = canvas;
    this.show(null);
  }

  show(image) {
    this.image = image;
    this.canvas.hidden = image === null;
    this.paint();
  }

  /** Draw the image afresh. -> the context to draw on, null without an image; `scale` is canvas pixels an image pixel. */
  paint() {
    if (!this.image) return null;
    const { width, height } = this.image;
    this.scale = Math.min(MOST / width, Math.max(1, LEAST / width), MOST / height);
    this.canvas.width = Math.max(1, Math.round(width * this.scale));
    this.canvas.height = Math.max(1, Math.round(height * this.scale));
    const context = this.canvas.getContext("2d");
    context.imageSmoothingEnabled = this.scale < 1;
    context.drawImage(this.image, 0, 0, this.canvas.width, this.canvas.height);
    return context;
  }
}

export function bars(scores) {
  const list = make("ol", "tryit-bars");
  for (const { label, score } of scores.slice(0, 10)) {
    const row = make("li");
    const bar = make("progress", "progress progress-sm");
    bar.max = 1;
    bar.value = score;
    bar.setAttribute("aria-label", label);
    row.append(make("span", "tryit-label", label), bar, make("strong", "tryit-score", percent(score)));
    list.append(row);
  }
  return list;
}

export function boxes({ predictions }, labels, picture, text) {
  const known = new Map(labels.map((one) => [one.name, one]));
  const found = predictions[0].map((one) => {
    const [name] = Object.keys(one).filter((key) => typeof one[key] === "object");
    return { ...(known.get(name) ?? UNKNOWN), name, box: one[name], score: one.score ?? one[name].score };
  });
  drawBoxes(found, picture);
  const list = make("ul", "tryit-legend");
  for (const { name, colour, box, score } of found) {
    const row = make("li");
    const where = `${box.xmin}, ${box.ymin} – ${box.xmax}, ${box.ymax}`;
    row.append(swatch(colour), make("span", "tryit-label", name), make("span", "text-secondary", where));
    if (score !== undefined) row.append(make("strong", "tryit-score", percent(score)));
    list.append(row);
  }
  return found.length ? list : make("p", "text-secondary mb-0", text.textNothing);
}

/** The surest last, so that it lies on top. */
function drawBoxes(found, picture) {
  const context = picture.paint();
  if (!context) return;
  context.lineWidth = 3;
  context.font = "600 14px system-ui, sans-serif";
  context.textBaseline = "top";
  for (const { name, colour, ink, box, score } of [...found].reverse()) {
    const [x, y] = [box.xmin * picture.scale, box.ymin * picture.scale];
    context.strokeStyle = colour;
    context.strokeRect(x, y, (box.xmax - box.xmin) * picture.scale, (box.ymax - box.ymin) * picture.scale);
    const text = score === undefined ? name : `${name} ${score.toFixed(2)}`;
    const width = context.measureText(text).width + 10;
    const top = y >= 21 ? y - 21 : y;
    const left = Math.max(0, Math.min(x - 1.5, picture.canvas.width - width));
    context.fillStyle = colour;
    context.fillRect(left, top, width, 21);
    context.fillStyle = ink;
    context.fillText(text, left + 5, top + 4);
  }
}

export function mask({ predictions }, labels, picture) {
  const [map] = predictions;
  const known = new Map(labels.map((one) => [one.id, one]));
  const label = (id) => known.get(id) ?? { ...UNKNOWN, name: String(id) };
  const pixels = new Map();
  for (const row of map) for (const id of row) pixels.set(id, (pixels.get(id) ?? 0) + 1);
  const off = new Set();
  const draw = () => drawMask(map, (id) => (off.has(id) ? null : label(id).colour), picture);
  const list = make("ul", "tryit-legend");
  for (const [id, count] of [...pixels].sort((a, b) => b[1] - a[1])) {
    const row = make("li");
    row.append(maskKey(label(id), count / (map.length * map[0].length), (shown) => {
      if (shown) off.delete(id);
      else off.add(id);
      draw();
    }));
    list.append(row);
  }
  draw();
  return list;
}

/** A class in the legend: a button that shows and hides its pixels. */
function maskKey({ name, colour }, share, onChange) {
  const button = make("button", "chart-key w-100");
  button.type = "button";
  button.setAttribute("aria-pressed", "true");
  button.append(swatch(colour), make("span", "tryit-label", name), make("strong", "tryit-score", percent(share)));
  button.addEventListener("click", () => {
    const shown = button.getAttribute("aria-pressed") !== "true";
    button.setAttribute("aria-pressed", String(shown));
    onChange(shown);
  });
  return button;
}

function drawMask(map, colourOf, picture) {
  const context = picture.paint();
  if (!context) return;
  const [height, width] = [map.length, map[0].length];
  const layer = new ImageData(width, height);
  const ids = map.flat();
  const colours = new Map([...new Set(ids)].map((id) => [id, colourOf(id)]));
  const pixels = new Map([...colours].map(([id, colour]) => [id, colour ? [...channels(colour), OPACITY] : CLEAR]));
  ids.forEach((id, place) => layer.data.set(pixels.get(id), place * 4));
  const sheet = new OffscreenCanvas(width, height);
  sheet.getContext("2d").putImageData(layer, 0, 0);
  context.imageSmoothingEnabled = false; // between two class ids there is no third
  context.drawImage(sheet, 0, 0, picture.canvas.width, picture.canvas.height);
}

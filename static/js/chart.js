import { columns, dark, dash, hue, short, stack } from "./chart-data.js";
import { make } from "./dom.js";

const HEIGHT = 240;
const WHOLE = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 50000, 100000]; // bars count: no half a call

const ink = (element) => getComputedStyle(element).color;
const grid = () => (dark() ? "rgba(255, 255, 255, .08)" : "rgba(24, 36, 51, .08)");

/** uPlot's size of the axis of y: of one width, so that charts stand below one another, unless a number needs more. */
function besideLabels(plot, labels, index) {
  const axis = plot.axes[index];
  plot.ctx.font = axis.font[0];
  const widest = Math.max(0, ...(labels ?? []).map((label) => plot.ctx.measureText(label).width));
  return Math.max(60, Math.ceil(widest / devicePixelRatio) + axis.ticks.size + axis.gap + 2);
}

/** One chart: a card with its title, drawing, legend and table. `options`: text, time (x is in seconds), sync (a key). */
export class Chart {
  constructor(description, period, options) {
    this.options = options;
    this.hidden = new Set();
    this.take(description, period);
    this.root = make("section", "chart-card card");
    this.build();
  }

  /** `values` are the numbers that a person reads, `data` what is drawn of them. */
  take(description, period) {
    this.description = description;
    this.period = period;
    this.values = columns(description.series);
    this.data = description.stacked ? stack(this.values) : this.values;
  }

  build() {
    const body = make("div", "card-body");
    const title = make("h3", "card-title mb-1", this.description.title);
    this.stage = make("div", "chart-stage");
    this.stage.tabIndex = 0;
    this.stage.setAttribute("role", "group");
    this.stage.setAttribute("aria-label", `${this.description.title}. ${this.options.text.keys}`);
    this.tip = make("div", "chart-tip");
    this.tip.setAttribute("aria-live", "polite");
    this.tip.hidden = true;
    this.legend = make("div", "chart-legend");
    body.append(title, this.stage, this.legend, this.table());
    this.root.append(body);
    this.stage.addEventListener("keydown", (event) => this.onKey(event));
    this.stage.addEventListener("blur", () => this.plot?.setCursor({ left: -10, top: -10 }));
  }

  /** Draw (again): after the element is in the page, when the theme changes, when a series comes or goes. */
  draw() {
    this.plot?.destroy();
    this.plot = new uPlot(this.settings(), this.data, this.stage);
    this.stage.append(this.tip);
    this.fillLegend();
  }

  settings() {
    const axis = { stroke: ink(this.stage), grid: { stroke: grid(), width: 1 }, ticks: { stroke: grid(), width: 1 } };
    const labels = (plot, values) => values.map(short);
    const along = { ...axis, size: 32, values: this.options.time ? (plot, times) => this.clock(times) : labels };
    return {
      width: this.stage.clientWidth || 400,
      height: HEIGHT,
      legend: { show: false },
      ...(this.period?.zone && { tzDate: (time) => uPlot.tzDate(new Date(time * 1000), this.period.zone) }),
      cursor: { drag: { x: true, y: false }, points: { size: 7 }, sync: { key: this.options.sync } },
      scales: { x: { time: this.options.time, range: (plot, low, high) => this.span(low, high) }, y: { range: (plot, low, high) => this.range(low, high) } },
      axes: [along, { ...axis, values: labels, size: besideLabels, incrs: this.description.stacked ? WHOLE : undefined }],
      series: [{}, ...this.description.series.map((one, index) => this.line(one, index))],
      hooks: { setCursor: [() => this.showTip()] },
    };
  }

  line(one, index) {
    const bars = this.description.stacked;
    return {
      label: one.label,
      stroke: hue(one, index),
      width: bars ? 0 : 2,
      dash: dash(index),
      spanGaps: true,
      show: !this.hidden.has(one.name),
      fill: bars ? hue(one, index) : undefined,
      paths: bars ? uPlot.paths.bars({ size: [0.8, 12, 2] }) : undefined,
      points: { show: !bars && one.points.length <= 40, size: 5 },
    };
  }

  /** What is shown of x: what the person zoomed to, else all points, or the whole period if the answer names one. */
  span(low, high) {
    const xs = this.data[0];
    this.whole = xs.length < 2 || (low === xs[0] && high === xs.at(-1));
    if (!this.whole) return [low, high];
    if (this.period) return [this.period.from - this.period.step / 2, this.period.to + this.period.step / 2]; // no outer bar is cut
    return xs.length < 2 ? [0, xs[0] * 1.1 || 1] : [low, high];
  }

  /** A flat series and an empty one get room too; a value that is never negative is not drawn below zero. */
  range(low, high) {
    if (low === null || high === null) return [0, 1];
    if (this.description.stacked) return [0, high * 1.08];
    if (low === high) return low === 0 ? [0, 1] : [Math.min(low, 0), high + Math.abs(high) * 0.1];
    const room = (high - low) * 0.08;
    return [low >= 0 ? Math.max(0, low - room) : low - room, high + room];
  }

  fillLegend() {
    this.legend.replaceChildren(
      ...this.description.series.map((one, index) => {
        const button = make("button", "chart-key");
        button.type = "button";
        button.setAttribute("aria-pressed", String(!this.hidden.has(one.name)));
        button.title = one.name;
        const swatch = make("span", "chart-swatch");
        swatch.style.backgroundColor = hue(one, index);
        const last = one.points.at(-1);
        button.append(swatch, make("span", "", one.label), make("strong", "", short(last?.[1])));
        button.addEventListener("click", () => this.toggle(one.name, index, button));
        return button;
      }),
    );
  }

  toggle(name, index, button) {
    if (!this.hidden.delete(name)) this.hidden.add(name);
    const shown = !this.hidden.has(name);
    button.setAttribute("aria-pressed", String(shown));
    this.plot.setSeries(index + 1, { show: shown });
  }

  /** The times under the axis: of the day, or days when it spans several. */
  clock(times) {
    const days = times.at(-1) - times[0] > 2 * 86400;
    const form = days ? { month: "short", day: "numeric" } : { hour: "2-digit", minute: "2-digit", hourCycle: "h23" };
    return times.map((time) => this.moment(time, form));
  }

  at(index) {
    const x = this.data[0][index];
    if (!this.options.time) return `${this.options.text.step} ${x}`;
    const clock = this.period.step >= 86400 ? {} : { hour: "2-digit", minute: "2-digit", hourCycle: "h23" };
    return this.moment(x, { year: "numeric", month: "short", day: "numeric", weekday: "short", ...clock });
  }

  moment(time, form) {
    return new Date(time * 1000).toLocaleString(document.documentElement.lang, { ...form, timeZone: this.period.zone });
  }

  showTip() {
    const { idx, left } = this.plot.cursor;
    if (idx === null || idx === undefined || left < 0) {
      this.tip.hidden = true;
      return;
    }
    const lines = this.description.series.flatMap((one, index) => {
      const value = this.values[index + 1][idx];
      if (value === null || this.hidden.has(one.name)) return [];
      const line = make("div", "chart-tip-line");
      const swatch = make("span", "chart-swatch");
      swatch.style.backgroundColor = hue(one, index);
      line.append(swatch, make("span", "", one.label), make("strong", "", short(value)));
      return [line];
    });
    this.tip.replaceChildren(make("div", "chart-tip-x", this.at(idx)), ...lines);
    this.tip.hidden = lines.length === 0;
    const room = this.stage.clientWidth - this.tip.offsetWidth - 8;
    const wanted = left + this.plot.over.offsetLeft + 16;
    this.tip.style.left = `${Math.max(0, wanted > room ? wanted - this.tip.offsetWidth - 32 : wanted)}px`;
  }

  /** The arrow keys walk the cursor from point to point; Escape takes it away. */
  onKey(event) {
    const moves = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity };
    if (event.key === "Escape") this.plot.setCursor({ left: -10, top: -10 });
    if (!(event.key in moves) || !this.data[0].length) return;
    event.preventDefault();
    const now = this.plot.cursor.idx ?? (moves[event.key] < 0 ? this.data[0].length : -1);
    const index = Math.min(this.data[0].length - 1, Math.max(0, now + moves[event.key]));
    this.plot.setCursor({ left: this.plot.valToPos(this.data[0][index], "x"), top: HEIGHT / 3 });
  }

  table() {
    const details = make("details", "chart-table mt-2");
    details.append(make("summary", "", this.options.text.table));
    this.rows = make("div", "table-responsive chart-rows");
    this.rows.tabIndex = 0;
    this.rows.setAttribute("role", "region");
    this.rows.setAttribute("aria-label", this.description.title);
    details.append(this.rows);
    details.addEventListener("toggle", () => this.fillTable());
    this.details = details;
    return details;
  }

  fillTable() {
    if (!this.details.open) return;
    const table = make("table", "table table-sm table-vcenter mb-0");
    const head = table.createTHead().insertRow();
    for (const text of [this.options.time ? this.options.text.time : this.options.text.step, ...this.description.series.map((one) => one.label)]) {
      const cell = make("th", head.cells.length ? "text-end" : "", text);
      cell.scope = "col";
      head.append(cell);
    }
    const body = table.createTBody();
    for (let index = this.data[0].length - 1; index >= 0; index -= 1) {
      const row = body.insertRow();
      row.insertCell().textContent = this.options.time ? this.at(index) : this.data[0][index];
      for (const column of this.values.slice(1)) row.append(make("td", "text-end text-nowrap", short(column[index])));
    }
    this.rows.replaceChildren(table);
  }

  /** New data into the chart that is there. A new series needs a new drawing; anything else does not. */
  update(description, period) {
    const names = (one) => one.series.map((series) => series.name).join("\n");
    const same = names(description) === names(this.description);
    this.take(description, period);
    if (same) {
      this.plot.setData(this.data, this.whole); // a zoom stays
      if (!this.whole) this.plot.redraw();
      this.fillLegendValues();
    } else this.draw();
    this.fillTable();
  }

  fillLegendValues() {
    this.description.series.forEach((one, index) => {
      this.legend.children[index].lastChild.textContent = short(one.points.at(-1)?.[1]);
    });
  }

  resize() {
    this.plot?.setSize({ width: this.stage.clientWidth, height: HEIGHT });
  }
}

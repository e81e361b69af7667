/* Live charts. An element with data-charts="<url>" is filled with one chart for each entry of the JSON:
 *
 *   {"unfinished": true, "x": "step"|"time",
 *    "charts": [{"title", "stacked": false, "series": [{"name", "label", "tone", "points": [[x, value], ...]}]}]}
 *
 * A stacked chart has bars: its first series on top of the second, and so on. "tone" ("good", "warning", "bad") chooses
 * a colour by meaning. While "unfinished" is true the URL is asked again every data-every milliseconds, and the data of the charts is
 * exchanged: a chart, its zoom and its hidden series survive. Texts come from data-text-*; see _charts.html. */
(() => {
  "use strict";

  const HUES = ["#206bc4", "#d6336c", "#2fb344", "#f59f00", "#ae3ec9", "#17a2b8", "#d63939", "#74b816", "#4263eb", "#a8590b"];
  const HUES_DARK = ["#66a3e8", "#f08aae", "#63d27f", "#ffc14d", "#d18fe4", "#5fd0e0", "#f08080", "#a9dc62", "#91a7ff", "#e0a15f"];
  const HEIGHT = 240;

  const dark = () => document.documentElement.dataset.bsTheme === "dark";
  const TONES = { good: ["#2b8a3e", "#5cc46f"], warning: ["#e08600", "#ffc14d"], bad: ["#c92a2a", "#ff8f88"] };
  const hue = (one, index) => (one.tone ? TONES[one.tone][Number(dark())] : (dark() ? HUES_DARK : HUES)[index % HUES.length]);
  const dash = (index) => (index < HUES.length ? [] : [6, 4]);
  const ink = (element) => getComputedStyle(element).color;
  const grid = () => (dark() ? "rgba(255, 255, 255, .08)" : "rgba(24, 36, 51, .08)");

  function make(tag, className, text) {
    const element = document.createElement(tag);
    if (className) element.className = className;
    if (text !== undefined) element.textContent = text;
    return element;
  }

  /** A number as short as it can be read: 0.0831, 1.2e-5, 12,340. */
  function short(value) {
    if (value === null || value === undefined) return "–";
    const size = Math.abs(value);
    if (size !== 0 && (size < 1e-3 || size >= 1e6)) return value.toExponential(2).replace(/\.?0+e/, "e");
    return value.toLocaleString(document.documentElement.lang, { maximumFractionDigits: size < 10 ? 4 : 1 });
  }

  /** [[x, value], ...] of several series -> uPlot's columns over the union of their x values. */
  function columns(series) {
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
  function stack([xs, ...rows]) {
    const piles = rows.map((row) => [...row]);
    for (let i = piles.length - 2; i >= 0; i -= 1) piles[i] = piles[i].map((value, x) => (value ?? 0) + (piles[i + 1][x] ?? 0));
    return [xs, ...piles];
  }

  class Chart {
    constructor(description, options) {
      this.options = options;
      this.hidden = new Set();
      this.take(description);
      this.root = make("section", "chart-card card");
      this.build();
    }

    /** `values` are the numbers that a person reads, `data` what is drawn of them. */
    take(description) {
      this.description = description;
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
        cursor: { drag: { x: true, y: false }, points: { size: 7 }, sync: { key: this.options.sync } },
        scales: { x: { time: this.options.time, range: (plot, low, high) => this.span(low, high) }, y: { range: (plot, low, high) => this.range(low, high) } },
        axes: [along, { ...axis, values: labels, size: 60 }],
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
        paths: bars ? uPlot.paths.bars({ size: [0.8, 24] }) : undefined,
        points: { show: !bars && one.points.length <= 40, size: 5 },
      };
    }

    /** What is shown of x. A lone point does not fill decades, and the outer bars are not cut in half. */
    span(low, high) {
      if (low === null || high === null) return [0, 1];
      if (!this.options.time) return low === high ? [0, high * 1.1 || 1] : [low, high];
      const room = low === high ? 1800 : this.description.stacked ? 30 : 0;
      return [low - room, high + room];
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
      const form = days ? { month: "short", day: "numeric" } : { hour: "2-digit", minute: "2-digit", hour12: false };
      return times.map((time) => new Date(time * 1000).toLocaleString(document.documentElement.lang, form));
    }

    at(index) {
      const x = this.data[0][index];
      return this.options.time ? new Date(x * 1000).toLocaleString(document.documentElement.lang) : `${this.options.text.step} ${x}`;
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
        const cell = make("th", "", text);
        cell.scope = "col";
        head.append(cell);
      }
      const body = table.createTBody();
      for (let index = this.data[0].length - 1; index >= 0; index -= 1) {
        const row = body.insertRow();
        row.insertCell().textContent = this.options.time ? this.at(index) : this.data[0][index];
        for (const column of this.values.slice(1)) row.insertCell().textContent = short(column[index]);
      }
      this.rows.replaceChildren(table);
    }

    /** New data into the chart that is there. A new series needs a new drawing; anything else does not. */
    update(description) {
      const names = (one) => one.series.map((series) => series.name).join("\n");
      const same = names(description) === names(this.description);
      const whole = this.zoomedOut();
      this.take(description);
      if (same) {
        this.plot.setData(this.data, whole);
        if (!whole) this.plot.redraw();
        this.fillLegendValues();
      } else this.draw();
      this.fillTable();
    }

    /** Whether all of x is in view: if the person zoomed in, new data must not throw that away. */
    zoomedOut() {
      const [xs, scale] = [this.data[0], this.plot.scales.x];
      return xs.length < 2 || (scale.min <= xs[0] && scale.max >= xs.at(-1));
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

  class Board {
    constructor(root) {
      this.root = root;
      this.charts = new Map();
      this.text = { step: root.dataset.textStep, time: root.dataset.textTime, table: root.dataset.textTable, keys: root.dataset.textKeys };
      this.every = Number(root.dataset.every) || 3000;
      this.empty = root.querySelector("[data-charts-empty]");
      new ResizeObserver(() => this.charts.forEach((chart) => chart.resize())).observe(root);
      new MutationObserver(() => this.charts.forEach((chart) => chart.draw())).observe(document.documentElement, {
        attributeFilter: ["data-bs-theme"],
      });
      this.ask();
    }

    async ask() {
      if (!this.root.isConnected) return;
      let again = true;
      try {
        const answer = await fetch(this.root.dataset.charts, { headers: { Accept: "application/json" } });
        if (answer.ok) again = this.show(await answer.json());
        else again = answer.status >= 500;
      } catch (error) {
        console.warn("The charts' data could not be fetched; asking again.", error);
      }
      if (again) setTimeout(() => this.ask(), this.every);
    }

    /** -> whether to ask again. */
    show(answer) {
      for (const description of answer.charts) {
        const chart = this.charts.get(description.title);
        if (chart) chart.update(description);
        else this.add(description, answer.x === "time");
      }
      if (this.empty) this.empty.hidden = answer.charts.length > 0;
      return answer.unfinished;
    }

    add(description, time) {
      const chart = new Chart(description, { text: this.text, time, sync: this.root.dataset.charts });
      this.charts.set(description.title, chart);
      this.root.append(chart.root);
      chart.draw();
    }
  }

  function start(within) {
    for (const root of within.querySelectorAll("[data-charts]")) {
      if (root.dataset.started) continue;
      root.dataset.started = "yes";
      new Board(root);
    }
  }

  document.addEventListener("DOMContentLoaded", () => start(document));
  document.addEventListener("htmx:load", (event) => start(event.target.parentElement ?? document));
})();

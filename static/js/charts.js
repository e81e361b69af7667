/* Live charts. An element with data-charts="<url>" is filled with one chart for each entry of the JSON:
 *
 *   {"unfinished": true, "x": "step"|"time", "from": 0, "to": 0, "step": 60, "zone": "Asia/Seoul",
 *    "charts": [{"title", "stacked": false, "series": [{"name", "label", "tone", "points": [[x, value], ...]}]}]}
 *
 * With "time", x is in seconds since 1970, "from" and "to" are the period that is shown, whatever points there are, and
 * "step" is how many seconds one point stands for. Times are written as the clocks of "zone" show them.
 * A stacked chart has bars: its first series on top of the second, and so on. "tone" ("good", "warning", "bad") chooses
 * a colour by meaning. While "unfinished" is true the URL is asked again every data-every milliseconds, and the data of the charts is
 * exchanged: a chart, its zoom and its hidden series survive. Texts come from data-text-*. */
import { Chart } from "./chart.js";

class Board {
  constructor(root) {
    this.root = root;
    this.charts = new Map();
    this.text = { step: root.dataset.textStep, time: root.dataset.textTime, table: root.dataset.textTable, keys: root.dataset.textKeys };
    this.every = Number(root.dataset.every) || 3000;
    this.empty = root.querySelector("[data-charts-empty]");
    this.sizes = new ResizeObserver(() => this.charts.forEach((chart) => chart.resize()));
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
    const period = answer.x === "time" ? { from: answer.from, to: answer.to, step: answer.step, zone: answer.zone } : null;
    for (const description of answer.charts) {
      const chart = this.charts.get(description.title);
      if (chart) chart.update(description, period);
      else this.add(description, period);
    }
    for (const [title, chart] of this.charts) {
      if (!answer.charts.some((one) => one.title === title)) this.remove(title, chart);
    }
    if (this.empty) this.empty.hidden = answer.charts.length > 0;
    return answer.unfinished;
  }

  add(description, period) {
    const options = { text: this.text, time: period !== null, sync: this.root.dataset.charts };
    const chart = new Chart(description, period, options);
    this.charts.set(description.title, chart);
    this.root.append(chart.root);
    chart.draw();
    this.sizes.observe(chart.stage);
  }

  /** Its last point has left the period. */
  remove(title, chart) {
    this.sizes.unobserve(chart.stage);
    chart.root.remove();
    this.charts.delete(title);
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

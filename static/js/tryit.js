/* Try a stage with an image. The form [data-tryit] works without this file (it posts the file and shows the JSON);
 * with it, the answer is drawn: scores as bars, a mask as an overlay with a legend, boxes with their labels.
 * The chosen image always lies in the form's own file input, wherever it came from. Texts: data-text-*. */
(() => {
  "use strict";

  const make = (tag, className, text) => {
    const element = document.createElement(tag);
    if (className) element.className = className;
    if (text !== undefined) element.textContent = text;
    return element;
  };
  const percent = (share) => `${(share * 100).toFixed(share >= 0.1 || share === 0 ? 1 : 2)} %`;
  /** A colour for class `index`: neighbours lie far apart on the colour wheel. -> [r, g, b] */
  function colour(index) {
    const hue = (index * 137.508 + 205) % 360;
    const light = [0.55, 0.42, 0.68][index % 3];
    const part = (shift) => {
      const k = (shift + hue / 30) % 12;
      return Math.round(255 * (light - 0.75 * Math.min(light, 1 - light) * Math.max(-1, Math.min(k - 3, 9 - k, 1))));
    };
    return [part(0), part(8), part(4)];
  }
  const css = (rgb, alpha = 1) => `rgba(${rgb.join(", ")}, ${alpha})`;
  const readable = ([r, g, b]) => (r * 0.299 + g * 0.587 + b * 0.114 > 140 ? "#10151c" : "#ffffff");

  class TryIt {
    constructor(form) {
      this.form = form;
      this.text = form.dataset;
      this.input = form.querySelector("input[type=file]");
      this.canvas = form.querySelector("[data-tryit-canvas]");
      this.result = form.querySelector("[data-tryit-result]");
      this.status = form.querySelector("[data-tryit-status]");
      this.raw = form.querySelector("[data-tryit-raw]");
      this.raw.hidden = true;
      this.input.addEventListener("change", () => this.choose());
      form.addEventListener("submit", (event) => this.submit(event));
      form.querySelectorAll("[data-tryit-sample]").forEach((button) => {
        button.addEventListener("click", () => this.take(button));
      });
      form.querySelector("[name=resource]").addEventListener("change", () => this.resource());
      const slider = form.querySelector("[name=threshold]");
      slider.addEventListener("input", () => this.threshold(slider));
      slider.addEventListener("change", () => this.input.files.length && this.send());
      this.drop(form.querySelector("[data-tryit-drop]"));
      this.resource();
    }

    /** What the page says of the chosen resource: algorithm, labels, threshold. */
    get facts() {
      const field = this.form.querySelector("[name=resource]");
      return { id: field.value, ...(field.selectedOptions?.[0] ?? field).dataset };
    }

    get algorithm() {
      return this.facts.algorithm;
    }

    labels() {
      return JSON.parse(this.facts.labels);
    }

    resource() {
      const slider = this.form.querySelector("[name=threshold]");
      slider.value = this.facts.threshold || 0.5;
      this.threshold(slider);
      this.form.querySelectorAll("[data-sample-of]").forEach((strip) => {
        strip.hidden = strip.dataset.sampleOf !== this.facts.id;
      });
      this.form.querySelectorAll("[data-only]").forEach((part) => {
        part.hidden = part.dataset.only !== this.algorithm;
      });
    }

    threshold(slider) {
      slider.nextElementSibling.textContent = Number(slider.value).toFixed(2);
    }

    drop(zone) {
      const stop = (event) => event.preventDefault();
      zone.addEventListener("dragover", (event) => {
        stop(event);
        zone.classList.add("is-over");
      });
      zone.addEventListener("dragleave", () => zone.classList.remove("is-over"));
      zone.addEventListener("drop", (event) => {
        stop(event);
        zone.classList.remove("is-over");
        if (event.dataTransfer.files.length) this.put(event.dataTransfer.files[0]);
      });
    }

    put(file) {
      const carrier = new DataTransfer();
      carrier.items.add(file);
      this.input.files = carrier.files;
      this.choose();
    }

    /** One of the data set's own images: fetched, then treated like a file that was chosen. */
    async take(button) {
      const answer = await fetch(button.dataset.tryitSample);
      if (!answer.ok) return this.say(this.text.textFailed, true);
      const blob = await answer.blob();
      return this.put(new File([blob], button.dataset.name, { type: blob.type }));
    }

    async choose() {
      const file = this.input.files[0];
      this.result.replaceChildren();
      this.raw.hidden = true;
      this.image = null;
      if (!file) return;
      if (file.size > Number(this.text.limit)) {
        this.say(this.text.textTooLarge, true);
        return;
      }
      try {
        this.image = await createImageBitmap(file);
      } catch {
        // The browser cannot show it (TIFF, say), but the stage may be able to read it: send it all the same.
        this.canvas.hidden = true;
      }
      if (this.image) this.paint();
      this.send();
    }

    paint() {
      const most = 900;
      const scale = Math.min(most / this.image.width, Math.max(1, 320 / this.image.width), most / this.image.height);
      this.scale = scale;
      this.canvas.width = Math.max(1, Math.round(this.image.width * scale));
      this.canvas.height = Math.max(1, Math.round(this.image.height * scale));
      this.canvas.hidden = false;
      const context = this.canvas.getContext("2d");
      context.imageSmoothingEnabled = scale < 1;
      context.drawImage(this.image, 0, 0, this.canvas.width, this.canvas.height);
      return context;
    }

    submit(event) {
      if (event.submitter?.hasAttribute("data-native")) return; // "Download input.json" is the browser's own business
      event.preventDefault();
      this.send();
    }

    say(text, wrong = false) {
      this.status.textContent = text;
      this.status.classList.toggle("text-danger", wrong);
    }

    async send() {
      if (!this.input.files.length) return this.say(this.text.textChoose, true);
      const number = (this.number = (this.number ?? 0) + 1);
      this.say(this.text.textWaiting);
      this.form.setAttribute("aria-busy", "true");
      const started = performance.now();
      try {
        const answer = await fetch(this.form.action, {
          method: "POST",
          body: new FormData(this.form),
          headers: { Accept: "application/json" },
        });
        const body = await answer.text();
        if (number === this.number) this.answer(answer, body, performance.now() - started); // a newer image wins
      } catch (error) {
        console.warn(error);
        this.say(this.text.textFailed, true);
      }
      this.form.removeAttribute("aria-busy");
      return undefined;
    }

    answer(answer, body, milliseconds) {
      this.raw.hidden = false;
      this.raw.querySelector("pre").textContent = body.length > 4000 ? `${body.slice(0, 4000)} …` : body;
      let value;
      try {
        value = JSON.parse(body);
      } catch {
        return this.say(this.text.textFailed, true);
      }
      if (!answer.ok) return this.say(value.error?.message ?? this.text.textFailed, true);
      this.say(this.text.textDone.replace("%(ms)s", Math.round(milliseconds)));
      const shows = { image_classification: "bars", semantic_segmentation: "mask", object_detection: "boxes" };
      return this[shows[this.algorithm]](value);
    }

    bars(scores) {
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
      this.result.replaceChildren(list);
    }

    boxes({ predictions }) {
      const found = predictions[0].map((one) => {
        const [label] = Object.keys(one).filter((key) => typeof one[key] === "object");
        return { label, box: one[label], score: one.score ?? one[label].score };
      });
      const place = new Map(this.labels().map((one, index) => [one.name, index]));
      if (this.image) this.drawBoxes(found, place);
      const list = make("ul", "tryit-legend");
      for (const { label, box, score } of found) {
        const row = make("li");
        const swatch = make("span", "chart-swatch");
        swatch.style.backgroundColor = css(colour(place.get(label) ?? 0));
        const where = `${box.xmin}, ${box.ymin} – ${box.xmax}, ${box.ymax}`;
        row.append(swatch, make("span", "tryit-label", label), make("span", "text-secondary", where));
        if (score !== undefined) row.append(make("strong", "tryit-score", percent(score)));
        list.append(row);
      }
      this.result.replaceChildren(found.length ? list : make("p", "text-secondary mb-0", this.text.textNothing));
    }

    drawBoxes(found, place) {
      const context = this.paint();
      context.lineWidth = 3;
      context.font = "600 14px system-ui, sans-serif";
      context.textBaseline = "top";
      for (const { label, box, score } of [...found].reverse()) {
        const rgb = colour(place.get(label) ?? 0);
        const [x, y] = [box.xmin * this.scale, box.ymin * this.scale];
        context.strokeStyle = css(rgb);
        context.strokeRect(x, y, (box.xmax - box.xmin) * this.scale, (box.ymax - box.ymin) * this.scale);
        const text = score === undefined ? label : `${label} ${score.toFixed(2)}`;
        const width = context.measureText(text).width + 10;
        const top = y >= 21 ? y - 21 : y;
        const left = Math.max(0, Math.min(x - 1.5, this.canvas.width - width));
        context.fillStyle = css(rgb);
        context.fillRect(left, top, width, 21);
        context.fillStyle = readable(rgb);
        context.fillText(text, left + 5, top + 4);
      }
    }

    mask({ predictions }) {
      this.map = predictions[0];
      this.off = new Set();
      const labels = this.labels();
      this.place = new Map(labels.map((one, index) => [one.id, index]));
      const pixels = new Map();
      for (const row of this.map) for (const id of row) pixels.set(id, (pixels.get(id) ?? 0) + 1);
      const all = this.map.length * this.map[0].length;
      const list = make("ul", "tryit-legend");
      for (const [id, count] of [...pixels].sort((a, b) => b[1] - a[1])) {
        const index = this.place.get(id) ?? 0;
        list.append(this.maskKey(id, index, labels[index]?.name ?? String(id), count / all));
      }
      this.result.replaceChildren(list);
      this.drawMask();
    }

    maskKey(id, index, name, share) {
      const row = make("li");
      const button = make("button", "chart-key w-100");
      button.type = "button";
      button.setAttribute("aria-pressed", "true");
      const swatch = make("span", "chart-swatch");
      swatch.style.backgroundColor = css(colour(index));
      button.append(swatch, make("span", "tryit-label", name), make("strong", "tryit-score", percent(share)));
      button.addEventListener("click", () => {
        if (!this.off.delete(id)) this.off.add(id);
        button.setAttribute("aria-pressed", String(!this.off.has(id)));
        this.drawMask();
      });
      row.append(button);
      return row;
    }

    drawMask() {
      if (!this.image) return;
      const [height, width] = [this.map.length, this.map[0].length];
      const layer = new ImageData(width, height);
      this.map.forEach((row, y) => {
        row.forEach((id, x) => {
          if (this.off.has(id)) return;
          layer.data.set([...colour(this.place.get(id) ?? 0), 150], (y * width + x) * 4);
        });
      });
      const sheet = new OffscreenCanvas(width, height);
      sheet.getContext("2d").putImageData(layer, 0, 0);
      const context = this.paint();
      context.imageSmoothingEnabled = false; // between two class ids there is no third
      context.drawImage(sheet, 0, 0, this.canvas.width, this.canvas.height);
    }
  }

  const start = (within) => {
    for (const form of within.querySelectorAll("form[data-tryit]")) {
      if (form.dataset.started) continue;
      form.dataset.started = "yes";
      new TryIt(form);
    }
  };
  document.addEventListener("DOMContentLoaded", () => start(document));
  document.addEventListener("htmx:load", (event) => start(event.target.parentElement ?? document));
})();

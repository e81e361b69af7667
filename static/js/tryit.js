/* Try a stage with an image. The form [data-tryit] works without this file (it posts the file and shows the JSON);
 * with it, the answer is drawn: scores as bars, a mask as an overlay with a legend, boxes with their labels.
 * The chosen image always lies in the form's own file input, wherever it came from. Texts: data-text-*. */
import { bars, boxes, mask, Picture } from "./tryit-draw.js";

const SHOWN = { image_classification: bars, semantic_segmentation: mask, object_detection: boxes };

class TryIt {
  constructor(form) {
    this.form = form;
    this.text = form.dataset;
    this.input = form.querySelector("input[type=file]");
    this.picture = new Picture(form.querySelector("[data-tryit-canvas]"));
    this.sentences = JSON.parse(document.getElementById("tryit-sentences").textContent);
    this.result = form.querySelector("[data-tryit-result]");
    this.status = form.querySelector("[data-tryit-status]");
    this.raw = form.querySelector("[data-tryit-raw]");
    this.raw.hidden = true;
    this.input.addEventListener("change", () => this.choose());
    form.addEventListener("submit", (event) => this.submit(event));
    form.querySelectorAll("[data-tryit-sample]").forEach((button) => {
      button.addEventListener("click", () => this.take(button));
    });
    form.querySelector("[name=resource]").addEventListener("change", () => {
      this.resource();
      if (this.input.files.length) this.send();
    });
    const slider = form.querySelector("[name=threshold]");
    slider.addEventListener("input", () => this.threshold(slider));
    slider.addEventListener("change", () => this.input.files.length && this.send());
    this.drop(form.querySelector("[data-tryit-drop]"));
    this.resource();
    if (this.input.files.length) this.choose(); // chosen while this file was still on its way
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
    this.picture.show(null);
    if (!file) return;
    if (file.size > Number(this.text.limit)) {
      this.say(this.text.textTooLarge, true);
      return;
    }
    try {
      this.picture.show(await createImageBitmap(file));
    } catch {
      // The browser cannot show it (TIFF, say), but the stage may be able to read it: send it all the same.
    }
    this.send();
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

  /** Why, in the reader's language when the code is a known one, and the whole answer for who wants to know more. */
  refused({ code, message }) {
    this.result.replaceChildren();
    this.picture.paint();
    this.say(this.sentences[code] ?? message ?? this.text.textFailed, true);
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
    if (!answer.ok) return this.refused(value.error ?? {});
    this.say(this.text.textDone.replace("%(ms)s", Math.round(milliseconds)));
    this.result.replaceChildren(SHOWN[this.algorithm](value, this.labels(), this.picture, this.text));
    return undefined;
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

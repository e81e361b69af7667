// The upload form: drop zone, the name taken from the file, and an upload by the tus protocol that may be interrupted
// at any byte. Without this script, or without tus-js-client, it is a plain form.
(() => {
  "use strict";
  const sentences = JSON.parse(document.getElementById("upload-sentences").textContent);
  const unfinished = JSON.parse(document.getElementById("upload-unfinished").textContent);
  const form = document.getElementById("upload");
  const input = document.getElementById("id_file");
  const by = (id) => document.getElementById(id);
  const PIECE = 128 * 1024 * 1024; // bytes a request: a proxy that keeps whole requests must not have to keep 20 GB
  const STALLED = Number(form.dataset.stalled) * 1000; // ms without a byte or an answer: the line is dead, though nobody hung up
  const DELAYS = Array.from({ length: 5000 }, (_, attempt) => Math.min(20000, 500 * 2 ** attempt)); // for a day
  let upload = null; // tus.Upload, from the first byte to the last, pauses included
  let moved = 0; // when the last byte went, or the last request began
  let state = "idle"; // idle, sending, waiting (for the connection), paused
  let suggested = ""; // the name that was taken from a file, as long as nobody changed it

  const number = (value, options) => new Intl.NumberFormat(document.documentElement.lang, options).format(value);
  const fill = (sentence, values) => sentence.replace(/%\((\w+)\)s/g, (_, name) => values[name]);
  const size = (bytes) => {
    const units = ["byte", "kilobyte", "megabyte", "gigabyte"];
    const power = Math.min(units.length - 1, Math.floor(Math.log(Math.max(bytes, 1)) / Math.log(1024)));
    const options = { style: "unit", unit: units[power], maximumFractionDigits: power > 1 ? 1 : 0 };
    return number(bytes / 1024 ** power, options);
  };

  function chosen(file) {
    const label = by("drop-name");
    label.textContent = file ? file.name : label.dataset.empty;
    by("drop-size").textContent = file ? size(file.size) : "";
    by("drop").classList.toggle("has-file", Boolean(file));
    const name = by("id_name");
    if (file && (!name.value || name.value === suggested)) {
      suggested = file.name.replace(/\.zip$/i, "").slice(0, 50);
      name.value = suggested;
    }
    recognise(file && begunWith(file));
  }

  // An upload of this very file that was interrupted, in this browser or another one.
  function begunWith(file) {
    const same = (row) => row.filename === file.name && row.bytes === file.size && row.modified === String(file.lastModified);
    return unfinished.find(same);
  }

  function recognise(begun) {
    const note = by("upload-found");
    note.hidden = !begun;
    if (!begun) return;
    note.textContent = fill(sentences.found, { name: begun.name, percent: number(begun.done / begun.bytes, { style: "percent" }) });
    by("id_name").value = suggested = begun.name;
    by("id_description").value = begun.description;
    form.querySelector(`[name=algorithm][value=${begun.algorithm}]`).checked = true;
  }

  function begin(file) {
    const begun = begunWith(file);
    const told = (name) => form.elements[name].value;
    upload = new tus.Upload(file, {
      ...(begun ? { uploadUrl: begun.url } : { endpoint: form.dataset.endpoint }), // one that was deleted is not begun anew
      metadata: {
        project: form.dataset.project,
        name: told("name"),
        description: told("description"),
        algorithm: told("algorithm"),
        filename: file.name,
        modified: String(file.lastModified),
      },
      chunkSize: PIECE,
      retryDelays: DELAYS,
      storeFingerprintForResuming: false, // the server knows what is unfinished, and tells every browser
      onBeforeRequest: (request) => {
        moved = performance.now();
        request.setHeader("X-CSRFToken", csrfToken());
      },
      onUploadUrlAvailable: () => { upload.options.endpoint = null; },
      onProgress: (loaded, total) => progressed(loaded, total),
      onShouldRetry: retries,
      onError: stopped,
      onSuccess: () => { enter("idle"); location.assign(`${form.dataset.datasets}${idOf(upload.url)}/`); },
    });
    show(begun ? begun.done : 0, file.size);
    goOn();
  }

  const idOf = (url) => url.split("/").filter(Boolean).pop();
  // A login in another tab gives a new one.
  const csrfToken = () => document.cookie.match(/(?:^|; )csrftoken=([^;]+)/)?.[1] ?? form.elements.csrfmiddlewaretoken.value;

  function goOn() {
    complain("");
    enter("sending");
    start();
  }

  function start() {
    moved = performance.now();
    upload.start();
  }

  async function pause() {
    enter("paused");
    await upload.abort();
  }

  async function discard() {
    const doomed = upload;
    reset();
    await doomed.abort(Boolean(doomed.url));
  }

  const statusOf = (error) => error.originalResponse?.getStatus() ?? 0;

  // Whatever may pass: no connection, a server that is being started again, an offset that has moved meanwhile.
  function retries(error) {
    const status = statusOf(error);
    const again = state !== "paused" && (status === 0 || [408, 409, 423, 429, 460, 500, 502, 503, 504].includes(status));
    if (again) enter("waiting");
    return again;
  }

  function stopped(error) {
    const status = statusOf(error);
    const answer = errorOf(error);
    if (upload.url && status === 404) {
      reset();
      return complain(sentences.gone);
    }
    if (!upload.url) { // it has not begun: the form is wrong
      reset();
      return answer ? refused(answer) : complain(fill(sentences.failed, { status }));
    }
    enter("paused");
    complain([401, 403].includes(status) ? sentences.logged_out : answer?.message || fill(sentences.failed, { status }));
  }

  function errorOf(error) {
    try {
      return JSON.parse(error.originalResponse.getBody()).error;
    } catch {
      return null; // no answer, or not one of ours
    }
  }

  // Each message beside its field, as the plain form would show it; the rest on top of the buttons.
  function refused(answer) {
    const rest = [];
    for (const [name, messages] of Object.entries(answer.fields)) {
      const field = by(`id_${name}`);
      if (!field) rest.push(...messages);
      else {
        const place = document.createElement("div");
        Object.assign(place, { className: "console-error", id: `id_${name}_error`, textContent: messages.join(" ") });
        field.setAttribute("aria-invalid", "true");
        field.setAttribute("aria-describedby", place.id);
        (field.closest(".console-drop") ?? field).after(place); // the file's field fills its box
      }
    }
    if (!Object.keys(answer.fields).length) rest.push(answer.message);
    complain(rest.join(" "));
    document.querySelector(".console-error")?.scrollIntoView({ block: "center" });
  }

  function progressed(loaded, total) {
    moved = performance.now();
    if (state === "waiting") enter("sending");
    show(loaded, total);
  }

  function show(loaded, total) {
    const percent = Math.floor((100 * loaded) / total);
    by("upload-numbers").textContent = `${size(loaded)} / ${size(total)} · ${percent} %`;
    const bar = by("upload-bar");
    bar.setAttribute("aria-valuenow", percent);
    bar.firstElementChild.style.width = `${percent}%`;
  }

  function enter(next) {
    state = next;
    const idle = next === "idle";
    by("upload-progress").hidden = idle;
    by("upload-found").hidden = true;
    by("upload-text").textContent = sentences[next] ?? "";
    by("upload-pause").hidden = !["sending", "waiting"].includes(next);
    by("upload-resume").hidden = next !== "paused";
    form.querySelector("[type=submit]").hidden = !idle;
    input.disabled = !idle;
  }

  function reset() {
    upload = null;
    enter("idle");
  }

  function complain(why) {
    const place = by("upload-error");
    place.textContent = why;
    place.hidden = !why;
  }

  function forgetErrors() {
    for (const place of form.querySelectorAll(".console-error")) place.remove();
    for (const field of form.querySelectorAll("[aria-invalid]")) field.removeAttribute("aria-invalid");
    complain("");
  }

  for (const name of ["dragenter", "dragover"]) by("drop").addEventListener(name, () => by("drop").classList.add("is-over"));
  for (const name of ["dragleave", "drop"]) by("drop").addEventListener(name, () => by("drop").classList.remove("is-over"));
  input.addEventListener("change", () => chosen(input.files[0]));
  form.addEventListener("submit", (event) => {
    const file = input.files[0];
    forgetErrors();
    if (file.size > Number(form.dataset.limit)) {
      event.preventDefault();
      return complain(form.dataset.tooLarge);
    }
    if (!window.tus) return;
    event.preventDefault();
    if (!upload) begin(file);
  });
  by("upload-pause").addEventListener("click", () => { pause(); by("upload-resume").focus(); });
  by("upload-resume").addEventListener("click", () => { goOn(); by("upload-pause").focus(); });
  by("upload-cancel").addEventListener("click", (event) => {
    if (!upload) return;
    event.preventDefault();
    discard();
  });
  async function tryAgain() {
    enter("waiting");
    await upload.abort(); // instead of waiting for the next attempt, or for an answer that will not come
    if (state === "waiting") start(); // which is no sending yet: a proxy may take this request, too, and never answer
  }

  addEventListener("online", () => { if (state === "waiting") tryAgain(); });
  setInterval(() => {
    if (["sending", "waiting"].includes(state) && performance.now() - moved > STALLED) tryAgain();
  }, 1000);
  addEventListener("beforeunload", (event) => {
    if (["sending", "waiting"].includes(state)) event.preventDefault(); // leaving would interrupt it: the browser asks
  });
  if (input.files[0]) chosen(input.files[0]);
})();

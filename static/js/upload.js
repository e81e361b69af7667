// The upload form: drop zone, the name taken from the file, a progress bar. Without this script it is a plain form.
(() => {
  "use strict";
  let request = null; // the upload under way
  let suggested = ""; // the name that was taken from a file, as long as nobody changed it

  const size = (bytes) => {
    const units = ["byte", "kilobyte", "megabyte", "gigabyte"];
    const power = Math.min(units.length - 1, Math.floor(Math.log(Math.max(bytes, 1)) / Math.log(1000)));
    const options = { style: "unit", unit: units[power], maximumFractionDigits: power > 1 ? 1 : 0 };
    return new Intl.NumberFormat(document.documentElement.lang, options).format(bytes / 1000 ** power);
  };

  function start() {
    const form = document.getElementById("upload");
    const input = document.getElementById("id_file");
    const drop = document.getElementById("drop");
    for (const name of ["dragenter", "dragover"]) drop.addEventListener(name, () => drop.classList.add("is-over"));
    for (const name of ["dragleave", "drop"]) drop.addEventListener(name, () => drop.classList.remove("is-over"));
    input.addEventListener("change", () => chosen(input.files[0]));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      if (request) return;
      if (input.files[0].size > Number(form.dataset.limit)) return complain(form.dataset.tooLarge);
      send(form);
    });
    document.getElementById("upload-cancel").addEventListener("click", (event) => {
      if (!request) return;
      event.preventDefault();
      request.abort();
    });
    if (input.files[0]) chosen(input.files[0]);
  }

  function chosen(file) {
    const label = document.getElementById("drop-name");
    label.textContent = file ? file.name : label.dataset.empty;
    document.getElementById("drop-size").textContent = file ? size(file.size) : "";
    document.getElementById("drop").classList.toggle("has-file", Boolean(file));
    const name = document.getElementById("id_name");
    if (file && (!name.value || name.value === suggested)) {
      suggested = file.name.replace(/\.zip$/i, "").slice(0, 50);
      name.value = suggested;
    }
  }

  function send(form) {
    complain("");
    request = new XMLHttpRequest();
    request.upload.addEventListener("progress", (event) => show(form, event.loaded, event.total));
    request.addEventListener("load", () => answered(form));
    request.addEventListener("error", () => stopped(form.dataset.failed));
    request.addEventListener("abort", () => stopped(""));
    request.open("POST", form.action);
    form.querySelector("[type=submit]").disabled = true;
    show(form, 0, 1);
    request.send(new FormData(form));
  }

  function show(form, loaded, total) {
    const percent = Math.floor((100 * loaded) / total);
    document.getElementById("upload-progress").hidden = false;
    document.getElementById("upload-numbers").textContent = total > 1 ? `${size(loaded)} / ${size(total)} · ${percent} %` : "";
    const bar = document.getElementById("upload-bar");
    bar.setAttribute("aria-valuenow", percent);
    bar.firstElementChild.style.width = `${percent}%`;
    if (loaded === total && total > 1) document.getElementById("upload-text").textContent = form.dataset.received;
  }

  // The server redirects to the new dataset, or answers with the form and what is wrong in it: the file stays chosen.
  function answered(form) {
    const { responseURL, status, responseText } = request;
    if (status >= 400) return stopped(`${form.dataset.failed} (HTTP ${status})`);
    request = null;
    if (new URL(responseURL).pathname !== location.pathname) return location.assign(responseURL);
    const page = new DOMParser().parseFromString(responseText, "text/html");
    const files = document.getElementById("id_file").files;
    document.getElementById("main").replaceChildren(...page.getElementById("main").childNodes);
    document.getElementById("id_file").files = files;
    start();
    document.querySelector(".console-error")?.scrollIntoView({ block: "center" });
  }

  function stopped(why) {
    request = null;
    document.getElementById("upload-progress").hidden = true;
    document.querySelector("#upload [type=submit]").disabled = false;
    complain(why);
  }

  function complain(why) {
    const place = document.getElementById("upload-error");
    place.textContent = why;
    place.hidden = !why;
  }

  addEventListener("beforeunload", (event) => {
    if (request) event.preventDefault(); // leaving would break the upload off: the browser asks
  });

  start();
})();

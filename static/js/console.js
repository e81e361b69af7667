// The little that the pages need beside htmx: the confirm dialog, copy buttons, the chosen row, quiet polling.

const toast = document.getElementById("toast");
let toastTimer;
function say(text) {
  toast.textContent = text;
  toast.classList.add("is-shown");
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => toast.classList.remove("is-shown"), 3000);
}

// <form data-confirm="question" data-confirm-text="what it means" data-confirm-yes="label">
const dialog = document.getElementById("confirm");
let confirming = null;
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (!form.dataset.confirm || form.dataset.confirmed) return;
  event.preventDefault();
  confirming = form;
  document.getElementById("confirm-title").textContent = form.dataset.confirm;
  document.getElementById("confirm-text").textContent = form.dataset.confirmText;
  document.getElementById("confirm-yes").textContent = form.dataset.confirmYes;
  dialog.returnValue = "no";
  dialog.showModal();
});
dialog.addEventListener("close", () => {
  if (dialog.returnValue !== "yes" || !confirming) return;
  confirming.dataset.confirmed = "yes";
  confirming.requestSubmit();
});

// <button data-copy="#id of the element whose text or value is copied">
document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  const source = document.querySelector(button.dataset.copy);
  await copy(source.value ?? source.textContent.trim());
  say(document.body.dataset.messageCopied);
});
async function copy(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  const area = document.createElement("textarea"); // plain http on another host has no clipboard API
  area.value = text;
  document.body.append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
}

// The row whose page is open is marked, whichever way it was opened and however often the rows are polled.
function markChosen() {
  for (const row of document.querySelectorAll("tr[data-row]")) {
    const chosen = row.querySelector(".console-row-link")?.pathname === location.pathname;
    row.classList.toggle("is-chosen", chosen);
  }
}
for (const name of ["htmx:pushedIntoHistory", "htmx:afterSettle"]) document.addEventListener(name, markChosen);
markChosen();

// A click anywhere in a row is a click on its link.
document.addEventListener("click", (event) => {
  const row = event.target.closest("tr[data-row]");
  if (!row || event.target.closest("a, button, input, select, label, form")) return;
  if (!getSelection().isCollapsed) return; // somebody is copying text
  row.querySelector(".console-row-link")?.click();
});

// A chosen row: its tabs come into view, and the next press of the Tab key is in them.
document.addEventListener("htmx:afterSwap", (event) => {
  const { target, requestConfig } = event.detail;
  if (target.id !== "detail" || !requestConfig.elt.classList.contains("console-row-link")) return;
  const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  target.scrollIntoView({ block: "nearest", behavior: calm ? "auto" : "smooth" });
  target.focus({ preventScroll: true });
});

// Search, sort and paging leave the open row open: its address and its tab stay, the rest of the query changes.
document.addEventListener("htmx:configRequest", (event) => {
  const { target, elt } = event.detail;
  if (target.id !== "rows" || elt.hasAttribute("data-poll") || !document.querySelector("#detail > *")) return;
  event.detail.path = event.detail.path.replace(/^[^?]*/, location.pathname);
  const tab = new URLSearchParams(location.search).get("tab");
  if (tab) event.detail.parameters.tab = tab;
});

// Polling rests while the page is hidden, while a dialog or menu is open (nothing moves under the pointer, and the form
// that a dialog asks about stays where it is), and while something has the focus that would lose it: htmx gives it back
// by id. What was asked for before is not shown either when it arrives: it is asked for again.
function restsPolling(polled) {
  if (!polled.hasAttribute("data-poll")) return false;
  const focus = document.activeElement;
  const loses = polled.contains(focus) && !focus.id;
  return document.hidden || loses || document.querySelector("dialog[open], .dropdown-menu.show") !== null;
}
document.addEventListener("htmx:beforeRequest", (event) => {
  if (restsPolling(event.detail.elt)) event.preventDefault();
});
document.addEventListener("htmx:beforeSwap", (event) => {
  if (restsPolling(event.detail.requestConfig.elt)) event.detail.shouldSwap = false;
});
document.addEventListener("htmx:sendError", () => say(document.body.dataset.messageLost));
document.addEventListener("htmx:responseError", (event) => {
  const { elt, xhr } = event.detail;
  const gone = xhr.status === 404 && elt.hasAttribute("data-poll") && elt.closest("#detail");
  if (gone) document.getElementById("detail").replaceChildren();
  if (xhr.status === 507) return say(JSON.parse(xhr.responseText).error.message); // the disk is full
  say(gone ? document.body.dataset.messageGone : document.body.dataset.messageLost);
});

// A form that was refused may be far down the page: the first thing that is wrong in it has the focus.
document.querySelector("[aria-invalid='true'], .alert-danger[tabindex]")?.focus();

// A <select data-submit> sends its form when something else is chosen.
document.addEventListener("change", (event) => {
  if (event.target.matches("select[data-submit]")) event.target.form.requestSubmit();
});

/* The hint next to a hyperparameter, while its value is typed. It is the sentence of Hyperparameter.hint with the same
 * bounds, handed over as data-low, data-high and data-hint; it never blocks. The server renders it too. */
(() => {
  "use strict";

  document.addEventListener("input", (event) => {
    const { hint, low, high } = event.target.dataset;
    if (!hint) return;
    const value = event.target.value.trim();
    const unusual = value !== "" && (Number(value) < Number(low) || Number(value) > Number(high));
    const place = document.getElementById(`${event.target.id}_hint`);
    place.textContent = unusual ? hint.replace("%(value)s", value) : "";
  });
})();

// Before the first paint: the chosen theme, else the system's. Loaded in <head> without defer.
(function () {
  const system = window.matchMedia("(prefers-color-scheme: dark)");
  const apply = () => {
    const theme = localStorage.getItem("theme") || (system.matches ? "dark" : "light");
    document.documentElement.setAttribute("data-bs-theme", theme);
  };
  system.addEventListener("change", apply);
  document.addEventListener("click", (event) => {
    if (!event.target.closest("[data-theme-switch]")) return;
    const dark = document.documentElement.getAttribute("data-bs-theme") === "dark";
    localStorage.setItem("theme", dark ? "light" : "dark");
    apply();
  });
  apply();
})();

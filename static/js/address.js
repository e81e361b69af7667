// A page that answers a form shows something else than the form: its own address belongs in the address bar.
const page = document.querySelector("[data-address]");
if (page) history.replaceState(history.state, "", page.dataset.address);

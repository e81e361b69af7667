/* A log that grows: [data-log="<url>"] asks for what came after data-offset bytes and appends it, until the server
 * says that nothing more will come. It scrolls along while its end is in view, and not when someone reads further up.
 * Searching is the server's (a GET form, so the whole file is searched); a search result does not grow. */
(() => {
  "use strict";

  const EVERY = 2000;
  const MOST = 1_000_000; // characters kept on the page; the whole log is behind "Download"

  class Tail {
    constructor(pre) {
      this.pre = pre;
      this.offset = Number(pre.dataset.offset);
      pre.scrollTop = pre.scrollHeight;
      if (pre.dataset.unfinished === "yes") setTimeout(() => this.ask(), EVERY);
    }

    async ask() {
      if (!this.pre.isConnected) return;
      let again = true;
      try {
        const answer = await fetch(`${this.pre.dataset.log}?offset=${this.offset}`, { headers: { Accept: "application/json" } });
        if (answer.ok) again = this.append(await answer.json());
        else again = answer.status >= 500;
      } catch (error) {
        console.warn("The log could not be fetched; asking again.", error);
      }
      if (again) setTimeout(() => this.ask(), EVERY);
    }

    /** -> whether to ask again. */
    append({ text, offset, unfinished }) {
      this.offset = offset;
      if (!text) return unfinished;
      const atEnd = this.pre.scrollHeight - this.pre.scrollTop - this.pre.clientHeight < 40;
      this.pre.append(text);
      if (this.pre.textContent.length > MOST) this.pre.textContent = this.pre.textContent.slice(-MOST);
      this.pre.parentElement.querySelector("[data-log-empty]")?.remove();
      if (atEnd) this.pre.scrollTop = this.pre.scrollHeight;
      return unfinished;
    }
  }

  const start = (within) => {
    for (const pre of within.querySelectorAll("[data-log]")) {
      if (pre.dataset.started) continue;
      pre.dataset.started = "yes";
      new Tail(pre);
    }
  };
  document.addEventListener("DOMContentLoaded", () => start(document));
  document.addEventListener("htmx:load", (event) => start(event.target.parentElement ?? document));
})();

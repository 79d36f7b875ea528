// Keeps an invoice page up to date, and copies what is to be copied. The page is complete without it.
"use strict";

(() => {
  const SOON = 2000, CALM = 15000, LATER = 30000, MISSES = 3;
  const main = document.querySelector("main[data-status]");
  const said = document.getElementById("said");
  const places = new Map([...document.querySelectorAll("[data-live]")].map((place) => [place, place.innerHTML]));
  let misses = 0, timer = 0, busy = false, again = false, stream = null;
  document.documentElement.classList.add("js");

  async function copy(button) {
    const value = button.dataset.copy;
    try {
      await navigator.clipboard.writeText(value);
    } catch {
      const field = document.createElement("textarea"); // pages that are not served over TLS have no clipboard
      field.value = value;
      field.className = "unseen";
      document.body.append(field);
      field.select();
      document.execCommand("copy");
      field.remove();
      button.focus();
    }
    const before = button.dataset.before ??= button.textContent;
    button.textContent = button.dataset.done;
    said.textContent = button.dataset.said;
    clearTimeout(button.timer);
    button.timer = setTimeout(() => { button.textContent = before; }, 2000);
  }

  // Takes over what changed from a fresh copy of the page; the rest, and the focus, stay as they are. What scripts add to
  // a place does not make it another one: compared is what the server sent.
  function takeOver(fresh) {
    const focused = document.activeElement && document.activeElement.id;
    const checked = document.querySelector("input:checked")?.id;
    for (const [place, before] of places) {
      const other = fresh.querySelector(`[data-live="${place.dataset.live}"]`);
      const html = other ? other.innerHTML : before;
      if (html === before) continue;
      places.set(place, html);
      place.replaceChildren(...other.childNodes);
    }
    if (checked && document.getElementById(checked)) document.getElementById(checked).checked = true;
    main.className = fresh.querySelector("main").className;
    main.dataset.version = fresh.querySelector("main").dataset.version;
    if (focused && document.activeElement === document.body) document.getElementById(focused)?.focus();
    document.dispatchEvent(new Event("pay:changed"));
  }

  async function load() {
    const page = await fetch(location.href, { cache: "no-store" });
    if (!page.ok) throw new Error(String(page.status));
    takeOver(new DOMParser().parseFromString(await page.text(), "text/html"));
  }

  async function look() {
    const answer = await fetch(main.dataset.status, { cache: "no-store" });
    if (!answer.ok) throw new Error(String(answer.status));
    const status = await answer.json();
    if (status.version !== main.dataset.version) await load();
    return status.settled ? LATER : SOON;
  }

  // Nothing is asked while nobody looks; who comes back from a wallet gets the news at once. While a stream tells of
  // changes, the page asks only now and then.
  async function keepLooking() {
    clearTimeout(timer);
    again = busy;
    if (busy || document.hidden) return;
    busy = true;
    let wait = SOON;
    try {
      wait = await look();
      misses = 0;
      if (stream?.readyState === EventSource.OPEN) wait = Math.max(wait, CALM);
    } catch {
      misses += 1;
      wait = Math.min(LATER, SOON * 2 ** misses);
    }
    document.getElementById("paused").hidden = misses < MISSES;
    busy = false;
    timer = setTimeout(keepLooking, again ? 0 : wait);
  }

  function listen() {
    if (document.hidden || !window.EventSource) {
      stream?.close();
      stream = null;
    } else if (!stream || stream.readyState === EventSource.CLOSED) {
      stream = new EventSource(`${main.dataset.events}?since=${main.dataset.version}`);
      stream.onmessage = (event) => { if (event.data !== main.dataset.version) keepLooking(); };
      stream.onerror = () => { clearTimeout(timer); timer = setTimeout(keepLooking, SOON); };
    }
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest("button[data-copy]");
    if (button) copy(button);
  });
  if (main) {
    timer = setTimeout(keepLooking, SOON);
    listen();
    document.addEventListener("visibilitychange", () => { listen(); keepLooking(); });
  }
})();

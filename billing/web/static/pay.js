// Keeps an invoice page up to date, and copies what is to be copied. The page is complete without it.
"use strict";

(() => {
  const SOON = 2000, LATER = 30000, MISSES = 3;
  const main = document.querySelector("main[data-status]");
  let misses = 0, timer = 0, busy = false;
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
    const label = button.getAttribute("aria-label").replace("Copy ", "");
    button.textContent = "Copied";
    document.getElementById("said").textContent = "Copied " + label;
    setTimeout(() => { button.textContent = "Copy"; }, 2000);
  }

  // Takes over what changed from a fresh copy of the page; the rest, and the focus, stay as they are.
  function takeOver(fresh) {
    const focused = document.activeElement && document.activeElement.id;
    const checked = document.querySelector("input:checked")?.id;
    for (const place of document.querySelectorAll("[data-live]")) {
      const other = fresh.querySelector(`[data-live="${place.dataset.live}"]`);
      if (other && other.innerHTML !== place.innerHTML) place.replaceChildren(...other.childNodes);
    }
    if (checked && document.getElementById(checked)) document.getElementById(checked).checked = true;
    main.className = fresh.querySelector("main").className;
    main.dataset.version = fresh.querySelector("main").dataset.version;
    if (focused && document.activeElement === document.body) document.getElementById(focused)?.focus();
  }

  async function look() {
    const answer = await fetch(main.dataset.status, { cache: "no-store" });
    if (!answer.ok) throw new Error(String(answer.status));
    const status = await answer.json();
    if (status.version !== main.dataset.version) {
      const page = await fetch(location.href, { cache: "no-store" });
      if (!page.ok) throw new Error(String(page.status));
      takeOver(new DOMParser().parseFromString(await page.text(), "text/html"));
    }
    return status.settled ? LATER : SOON;
  }

  // Nothing is asked while nobody looks; who comes back from a wallet gets the news at once.
  async function keepLooking() {
    clearTimeout(timer);
    if (busy || document.hidden) return;
    busy = true;
    let wait = SOON;
    try {
      wait = await look();
      misses = 0;
    } catch {
      misses += 1;
      wait = Math.min(LATER, SOON * 2 ** misses);
    }
    document.getElementById("paused").hidden = misses < MISSES;
    busy = false;
    timer = setTimeout(keepLooking, wait);
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest("button[data-copy]");
    if (button) copy(button);
  });
  if (main) {
    timer = setTimeout(keepLooking, SOON);
    document.addEventListener("visibilitychange", keepLooking);
  }
})();

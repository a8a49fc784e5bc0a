// Loads the page again as soon as what it waits for is there.
"use strict";

(() => {
  const waiting = document.querySelector("[data-wait]");
  if (!waiting) return;

  const ask = async () => {
    try {
      const answer = await fetch(waiting.dataset.wait, { headers: { Accept: "application/json" } });
      if (answer.ok && !(await answer.json()).waits) {
        location.reload();
        return;
      }
    } catch {
      // Asked again below.
    }
    setTimeout(ask, 1500);
  };
  setTimeout(ask, 1000);
})();

// Shows a running test as it goes. Without it the page shows what was when it was made.
"use strict";

(() => {
  const place = document.querySelector("[data-live-part]");
  if (!place || !("waits" in place.dataset)) return;
  const reachable = "a[href], button, summary";

  // Who stands on a link stays on it, though its neighbours are new.
  const replace = (part) => {
    const before = [...place.querySelectorAll(reachable)].indexOf(document.activeElement);
    place.replaceChildren(part);
    if (before >= 0) place.querySelectorAll(reachable)[before]?.focus();
  };

  const show = (words) => {
    const part = new DOMParser().parseFromString(words, "text/html").body.firstElementChild;
    if (!part) return true;
    const old = place.firstElementChild;
    if (!old || old.outerHTML !== part.outerHTML) replace(document.importNode(part, true));
    const said = document.getElementById("live-said");
    if (said.textContent !== part.dataset.said) said.textContent = part.dataset.said;
    return "waits" in part.dataset;
  };

  const ask = async () => {
    let waits = true;
    try {
      const answer = await fetch(place.dataset.livePart, { redirect: "error" });
      if (answer.ok) waits = show(await answer.text());
    } catch {
      // Asked again below.
    }
    if (waits) setTimeout(ask, 1500);
    // What is offered beside it has changed, too; but what somebody is typing is not thrown away.
    else if (!document.activeElement.matches("input, select, textarea")) location.reload();
  };
  setTimeout(ask, 800);
})();

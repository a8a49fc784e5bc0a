/* Keeps "running now" fresh while the page can be seen. Without it the page shows what was when it was made. */
"use strict";
{
  const OFTEN = 3000, SELDOM = 15000;
  const card = document.querySelector("[data-live]");
  const find = (name) => card.querySelector(name);
  let timer = 0, wasBusy = new Set(), failed = false;

  const cell = (row, words, url) => {
    const td = row.insertCell();
    if (url) {
      const a = document.createElement("a");
      a.href = url;
      a.textContent = words;
      td.append(a);
    } else {
      td.textContent = words;
    }
  };

  const show = (answer) => {
    const body = find("tbody"), busy = new Set();
    body.replaceChildren();
    for (const line of answer.lines) {
      const row = body.insertRow();
      row.dataset.key = line.key;
      if (line.busy) {
        row.className = "is-busy";
        busy.add(line.key);
      }
      if ("withMailbox" in body.dataset) cell(row, line.mailbox, line.url);
      cell(row, line.workload);
      cell(row, line.words);
    }
    find(".live-none").hidden = answer.lines.length > 0;
    find(".live-lines").hidden = answer.lines.length === 0;
    find(".live-more").hidden = !answer.more;
    find(".live-more").textContent = answer.more;
    find(".live-state").hidden = false;
    if (!("withMailbox" in body.dataset) && [...wasBusy].some((key) => !busy.has(key))) {
      find(".live-ended").hidden = false;
    }
    wasBusy = busy;
  };

  const ask = async () => {
    try {
      const response = await fetch(card.dataset.live, { headers: { Accept: "application/json" }, redirect: "error" });
      if (response.ok) show(await response.json());
      failed = !response.ok;
    } catch {
      failed = true;
    }
    if (failed) find(".live-state").hidden = true;
    plan();
  };

  const plan = () => {
    clearTimeout(timer);
    if (!document.hidden) timer = setTimeout(ask, failed ? SELDOM : OFTEN);
  };

  if (card) {
    wasBusy = new Set([...card.querySelectorAll("tr.is-busy")].map((row) => Number(row.dataset.key)));
    document.addEventListener("visibilitychange", () => (document.hidden ? clearTimeout(timer) : ask()));
    plan();
  }
}

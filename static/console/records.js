/* Finds records while one types. The button "Find" does the same without this script. */
"use strict";

(() => {
  const picker = document.getElementById("record-picker");
  if (!picker) return;
  const words = picker.querySelector("[name=record_words]");
  const choices = picker.querySelector(".choices");
  const status = picker.querySelector("[role=status]");
  const PAUSE = 250; // ms after the last key
  let timer = 0;
  let asked = 0;

  const choice = (record) => {
    const label = document.createElement("label");
    label.className = "choice";
    label.dataset.found = "";
    const radio = document.createElement("input");
    radio.type = "radio";
    radio.name = "record";
    radio.value = record.value;
    const name = document.createElement("b");
    name.textContent = record.name;
    const kind = document.createElement("span");
    kind.className = "quiet";
    kind.textContent = `· ${[record.kind, record.detail].filter(Boolean).join(" · ")}`;
    const line = document.createElement("span");
    line.append(name, " ", kind);
    label.append(radio, line);
    return label;
  };

  const show = (answer) => {
    for (const old of choices.querySelectorAll("[data-found]")) {
      // What is chosen stays, whatever is searched for.
      if (!old.querySelector("input").checked) old.remove();
    }
    const there = new Set([...choices.querySelectorAll("input")].map((radio) => radio.value));
    choices.append(...answer.records.filter((one) => !there.has(one.value)).map(choice));
    status.textContent = answer.words;
  };

  const find = async () => {
    const turn = ++asked;
    const url = `${picker.dataset.url}?${new URLSearchParams({ q: words.value })}`;
    try {
      const response = await fetch(url, { headers: { Accept: "application/json" } });
      if (response.ok && turn === asked) show(await response.json());
    } catch {
      /* Without an answer the button still works. */
    }
  };

  words.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(find, PAUSE);
  });
  words.addEventListener("keydown", (event) => {
    if (event.key === "Enter") {
      event.preventDefault(); // it would save the rule
      clearTimeout(timer);
      find();
    } else if (event.key === "ArrowDown") {
      const first = choices.querySelector("[data-found] input") || choices.querySelector("input");
      event.preventDefault();
      first.focus();
    }
  });
  picker.querySelector("[name=_find]").addEventListener("click", (event) => {
    event.preventDefault();
    find();
  });
})();

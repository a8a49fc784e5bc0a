/* A filter with many choices is a list to choose from; choosing opens that address. */
"use strict";
for (const select of document.querySelectorAll("#changelist-filter select")) {
  select.addEventListener("change", () => window.location.assign(select.value));
}

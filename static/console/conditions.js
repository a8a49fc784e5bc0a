/* What can stand beside a condition follows from what it asks about. The button does the same without this script. */
"use strict";
for (const select of document.querySelectorAll("#filter [data-redraws]")) {
  select.addEventListener("change", () => document.getElementById("show").click());
}

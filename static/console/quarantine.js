/* Choosing a mailbox opens its part; one box chooses the whole page. */
"use strict";
const mailbox = document.getElementById("by-mailbox");
mailbox?.addEventListener("change", () => window.location.assign(mailbox.value));
const page = document.getElementById("choose-page");
page?.addEventListener("change", () => {
  for (const box of document.querySelectorAll("#items input.choose")) {
    box.checked = page.checked;
  }
});

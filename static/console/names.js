/* Gives Django's own choosers, which scripts build after the page, the names that a screen reader asks for. */
"use strict";
function nameChooser(box) {
  const rendered = box.querySelector(".select2-selection__rendered");
  const select = box.closest(".select2-container")?.previousElementSibling;
  const label = select?.labels?.[0];
  if (!label) return;
  label.id ||= `label-of-${select.id}`;
  box.setAttribute("aria-labelledby", rendered ? `${label.id} ${rendered.id}` : label.id);
  rendered?.setAttribute("aria-labelledby", label.id);
}
function nameAll() {
  document.querySelectorAll(".select2-selection[role=combobox]").forEach(nameChooser);
  document.querySelectorAll(".search-label-icon[aria-label]").forEach(icon => icon.setAttribute("role", "img"));
}
nameAll();
new MutationObserver(nameAll).observe(document.documentElement, { childList: true, subtree: true });

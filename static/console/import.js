// While an import is being applied, its page is loaded again every two seconds, if somebody sees it.
"use strict";

(() => {
  if (!document.querySelector("[data-again]")) return;
  const again = () => (document.hidden ? setTimeout(again, 2000) : location.reload());
  setTimeout(again, 2000);
})();

// The admin's fields of choice by typing have no name of their own: each takes the one of its label.
"use strict";

(() => {
  const words = (select) => select.getAttribute("aria-label") || select.labels[0]?.textContent.replace(/:\s*$/, "").trim();

  const name = (root) => {
    for (const select of root.querySelectorAll("select.admin-autocomplete")) {
      const shown = select.parentElement.querySelector(".select2-selection__rendered");
      const said = words(select);
      if (shown && said) {
        shown.setAttribute("aria-label", said);
      }
    }
  };

  // Django makes them when the page is ready, and those of a new row when it is added: both before this.
  django.jQuery(() => name(document));
  document.addEventListener("formset:added", (event) => name(event.target));
})();

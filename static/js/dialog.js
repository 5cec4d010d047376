// The sheet: a page of its own, which a link marked data-dialog opens over the present one. Escape and a click beside close it.
const dialog = document.getElementById("dialog");

function forScripts(root) {
  for (const element of root.querySelectorAll("[data-js]")) element.hidden = false;
  for (const element of root.querySelectorAll("[data-nojs]")) element.hidden = true;
}

export function startDialog() {
  if (!dialog) return;
  // A click that asks for a tab of its own goes to the page.
  document.addEventListener("click", (event) => {
    if (event.target.closest("[data-dialog]") && (event.ctrlKey || event.metaKey || event.shiftKey)) event.stopPropagation();
  }, true);
  document.addEventListener("htmx:afterSwap", (event) => {
    if (event.target.closest(".share, #dialog")) forScripts(event.target);
    if (event.target.id === "dialog-body" && !dialog.open) dialog.showModal();
  });
  document.addEventListener("htmx:responseError", (event) => {
    // What one saw is gone, or no longer one's own to change: the page says so.
    if (dialog.contains(event.target) || event.target.closest("[data-dialog]")) location.assign(event.detail.pathInfo.requestPath);
  });
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog || event.target.closest("[data-close]")) dialog.close();
  });
}

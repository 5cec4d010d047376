// Copy buttons: hidden without JavaScript. The text is in the button, or in the element it names.
import { announce } from "./announce.js";

async function copy(button) {
  const source = button.dataset.copyFrom && document.getElementById(button.dataset.copyFrom);
  await navigator.clipboard.writeText(source ? source.textContent : button.dataset.copy);
  announce("Copied.");
  button.classList.add("copied");
  setTimeout(() => button.classList.remove("copied"), 1200);
}

function show(root) {
  if (!navigator.clipboard) return;
  for (const button of root.querySelectorAll("[data-copy], [data-copy-from]")) button.hidden = false;
}

export function startCopying() {
  show(document);
  document.addEventListener("htmx:afterSwap", (event) => show(event.target));
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-copy], [data-copy-from]");
    if (button) copy(button).catch(() => announce("The browser did not allow copying."));
  });
}

// Ctrl-K: a dialog over the search page's own answers. Arrows choose, Enter goes, Escape closes.
const dialog = document.getElementById("palette");

function entries() {
  return [...dialog.querySelectorAll(".results a")];
}

function choose(step) {
  const all = entries();
  if (!all.length) return;
  const at = all.findIndex((entry) => entry.classList.contains("current"));
  const next = (at + step + all.length) % all.length;
  all.forEach((entry, index) => entry.classList.toggle("current", index === next));
  all[next].scrollIntoView({ block: "nearest" });
}

function open() {
  if (dialog.open) return;
  dialog.showModal();
  dialog.querySelector("input").select();
  dialog.querySelector("form").dispatchEvent(new CustomEvent("open"));
}

function onKey(event) {
  if (event.key === "ArrowDown" || event.key === "ArrowUp") {
    event.preventDefault();
    choose(event.key === "ArrowDown" ? 1 : -1);
  }
}

export function startPalette() {
  if (!dialog) return;
  document.addEventListener("keydown", (event) => {
    if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k") {
      event.preventDefault();
      open();
    }
  });
  for (const opener of document.querySelectorAll("[data-open='palette']")) {
    opener.addEventListener("click", (event) => {
      if (event.ctrlKey || event.metaKey || event.button) return;
      event.preventDefault();
      open();
    });
  }
  dialog.addEventListener("keydown", onKey);
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  dialog.addEventListener("htmx:afterSwap", () => choose(1));
  dialog.querySelector("form").addEventListener("submit", (event) => {
    event.preventDefault();
    const chosen = dialog.querySelector(".results a.current") || entries()[0];
    if (chosen) location.assign(chosen.href);
  });
}

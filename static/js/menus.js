// Menus are <details>: they close on Escape and on a click elsewhere. A choice in a marked group sends its form at once.
function closeMenus(except) {
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    if (menu !== except && !menu.contains(except)) menu.open = false;
  }
}

function keepInside(menu) {
  const pop = menu.querySelector(".pop");
  if (!pop) return;
  menu.classList.remove("right");
  if (pop.getBoundingClientRect().right > document.documentElement.clientWidth - 8) menu.classList.add("right");
}

export function startMenus() {
  document.addEventListener("click", (event) => closeMenus(event.target));
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    const open = document.activeElement?.closest("details.menu[open]");
    closeMenus(null);
    open?.querySelector("summary").focus();
  });
  document.addEventListener("toggle", (event) => {
    if (event.target.matches?.("details.menu[open]")) keepInside(event.target);
  }, true);
  document.addEventListener("change", (event) => {
    if (event.target.closest("[data-submit]")) event.target.form.requestSubmit();
  });
  for (const form of document.querySelectorAll("form[method='get']")) {
    form.addEventListener("formdata", (event) => {
      // Empty fields would only make the address long.
      for (const [name, value] of [...event.formData]) if (value === "") event.formData.delete(name);
    });
  }
}

// Theme and sidebar: cookies, so that the server paints the right thing first; the forms do the same without JavaScript.
const YEAR = 365 * 24 * 3600;
const THEMES = ["auto", "dark", "light"];

function remember(name, value) {
  const secure = location.protocol === "https:" ? "; Secure" : "";
  document.cookie = `fathom_${name}=${value}; Path=/; Max-Age=${YEAR}; SameSite=Lax${secure}`;
}

function switchTheme(button) {
  const root = document.documentElement;
  const next = THEMES[(THEMES.indexOf(root.dataset.theme || "auto") + 1) % THEMES.length];
  if (next === "auto") delete root.dataset.theme;
  else root.dataset.theme = next;
  button.querySelector("span").textContent = `Theme: ${next}`;
  remember("theme", next);
  document.dispatchEvent(new CustomEvent("fathom:theme"));
}

function foldSidebar() {
  const frame = document.querySelector(".frame");
  const narrow = frame.dataset.sidebar !== "narrow";
  if (narrow) frame.dataset.sidebar = "narrow";
  else delete frame.dataset.sidebar;
  remember("sidebar", narrow ? "narrow" : "wide");
  window.dispatchEvent(new Event("resize"));
}

export function startTheme() {
  document.querySelector("[data-theme-form]")?.addEventListener("submit", (event) => {
    event.preventDefault();
    switchTheme(event.currentTarget.querySelector("button"));
  });
  document.querySelector("[data-sidebar-form]")?.addEventListener("submit", (event) => {
    event.preventDefault();
    foldSidebar();
  });
}

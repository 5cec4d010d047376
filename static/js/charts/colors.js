// The page's colours as a canvas understands them, and how numbers are written beside them.
const pencil = document.createElement("canvas").getContext("2d", { willReadFrequently: true });

/** Read the background of a class, which follows light and dark. */
export function color(name) {
  const probe = document.createElement("span");
  probe.className = name;
  document.body.append(probe);
  const found = getComputedStyle(probe).backgroundColor;
  probe.remove();
  pencil.fillStyle = found;
  return pencil.fillStyle;
}

export const nth = (index) => `dot-${(index % 8) + 1}`;

export const short = (value) => (value === null || value === undefined ? "–" : Number(value.toPrecision(5)).toString());

/** What the axes of every chart share. */
export function axisOf(host) {
  const stroke = getComputedStyle(host).color;
  const line = getComputedStyle(host.closest(".panel")).borderTopColor;
  return { stroke, grid: { stroke: line, width: 1 }, ticks: { stroke: line, width: 1 }, font: "11px system-ui" };
}

/** Draw again when the scheme changes. */
export function onScheme(redraw) {
  document.addEventListener("fathom:theme", redraw);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
}

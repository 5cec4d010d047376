// Runs as points: a scatter or parallel coordinates, drawn from what the table beside it says.
import { axis } from "./axes.js";
import { onScheme } from "./colors.js";
import { Drawing as Parallel } from "./parallel.js";
import { Drawing as Scatter } from "./scatter.js";

const host = document.getElementById("points");
const said = document.getElementById("points-said");
const chosenLink = document.getElementById("points-chosen");

/** Show which runs are chosen: in words, in the table, and as a link to compare just these. */
function choose(runs, chosen) {
  const some = chosen.size < runs.length;
  said.textContent = some ? `${chosen.size} of ${runs.length} runs chosen` : "";
  for (const row of document.querySelectorAll("#points-table tr[data-run]")) row.hidden = !chosen.has(Number(row.dataset.run));
  chosenLink.hidden = !some || chosen.size < 2;
  const ids = [...chosen].map((index) => runs[index].id.replaceAll("-", "")).join(",");
  chosenLink.href = `${host.dataset.compare}?id=${ids}`;
}

if (host) {
  const runs = JSON.parse(host.dataset.runs);
  const axes = JSON.parse(host.dataset.axes).map(axis);
  const Drawing = host.dataset.view === "scatter" ? Scatter : Parallel;
  const drawing = new Drawing(host, runs, axes, { said, choose: (chosen) => choose(runs, chosen) });
  drawing.draw();
  onScheme(() => drawing.draw());
  let width = host.clientWidth;
  new ResizeObserver(() => {
    if (host.clientWidth === width) return;
    width = host.clientWidth;
    drawing.draw();
  }).observe(host);
}

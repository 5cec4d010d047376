// Curves of one run, or of several over each other. A chart is fetched when it comes into view.
import { Chart } from "./chart.js";

const POINTS = 1000;
const REFRESH = 4000;
const board = document.getElementById("charts");
const bar = document.getElementById("chart-bar");
const settings = { x: "step", log: false, smooth: 0 };
const charts = new Map();

async function points(run, key) {
  const query = new URLSearchParams({ key, points: POINTS, x: settings.x });
  const answer = await fetch(`/api/v2/runs/${run.id}/metrics/?${query}`, { credentials: "same-origin" });
  if (answer.status === 404) return { ...run, points: [] };
  if (!answer.ok) throw new Error(`the metrics answered ${answer.status}`);
  const { series } = await answer.json();
  return { ...run, points: series.find((one) => one.key === key)?.points ?? [] };
}

async function load(panel) {
  const runs = JSON.parse(board.dataset.runs);
  try {
    charts.get(panel).draw(await Promise.all(runs.map((run) => points(run, panel.dataset.key))), settings);
  } catch (error) {
    const note = panel.querySelector(".chart-note");
    if (note) note.textContent = `Cannot be drawn: ${error.message}`;
  }
}

function readSettings(event) {
  const before = settings.x;
  settings.x = bar.querySelector("[name='x']:checked").value;
  settings.log = bar.querySelector("[name='scale']:checked").value === "log";
  settings.smooth = Number(bar.querySelector("[name='smooth']").value);
  document.getElementById("smooth-value").textContent = settings.smooth.toFixed(2);
  for (const [panel, chart] of charts) {
    if (settings.x !== before && chart.runs.length) load(panel);
    else chart.redraw(settings);
  }
  event?.stopPropagation();
}

if (board) {
  const seen = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      seen.unobserve(entry.target);
      load(entry.target);
    }
  }, { rootMargin: "300px" });
  for (const panel of board.querySelectorAll(".chart")) {
    charts.set(panel, new Chart(panel));
    seen.observe(panel);
  }
  bar.addEventListener("input", readSettings);
  document.addEventListener("fathom:theme", () => charts.forEach((chart) => chart.redraw(settings)));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => charts.forEach((chart) => chart.redraw(settings)));
  new ResizeObserver(() => charts.forEach((chart) => chart.fit())).observe(board);
  if (board.dataset.live) {
    setInterval(() => {
      if (document.hidden || !document.getElementById("run-status")?.hasAttribute("hx-get")) return;
      for (const [panel, chart] of charts) if (chart.runs.length) load(panel);
    }, REFRESH);
  }
}

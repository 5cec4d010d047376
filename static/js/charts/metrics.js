// Curves of one run, or of several over each other. A chart is fetched when it comes into view: one request, however many runs.
import { Chart } from "./chart.js";
import { onScheme } from "./colors.js";
import { eventPanels } from "./events.js";

const POINTS = 1000;
const ROWS = 20_000; // of one answer: many runs get fewer points each
const REFRESH = 4000;
const board = document.getElementById("charts");
const bar = document.getElementById("chart-bar");
const settings = { x: "step", log: false, smooth: 0 };
const charts = new Map();
const events = new Map();
const runs = board ? JSON.parse(board.dataset.runs) : [];

async function answerOf(path) {
  const answer = await fetch(path, { credentials: "same-origin" });
  if (!answer.ok) throw new Error(`the metrics answered ${answer.status}`);
  return answer.json();
}

async function curves(key) {
  const points = Math.min(POINTS, Math.max(100, Math.floor(ROWS / runs.length)));
  const query = new URLSearchParams({ key, points, x: settings.x });
  const ids = runs.map((run) => run.id.replaceAll("-", "")).join(",");
  const found = new Map((await answerOf(`/api/v2/runs/curves/?${query}&run=${ids}`)).runs.map((run) => [run.id, run.series[0]]));
  return runs.map((run) => ({ ...run, points: [], ...found.get(run.id) }));
}

async function load(panel) {
  try {
    charts.get(panel).draw(events.get(panel) ?? (await curves(panel.dataset.key)), settings);
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

const seen = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    if (!entry.isIntersecting) continue;
    seen.unobserve(entry.target);
    load(entry.target);
  }
}, { rootMargin: "300px" });

function watch(panel) {
  charts.set(panel, new Chart(panel));
  seen.observe(panel);
}

function fit(element) {
  new ResizeObserver(() => charts.forEach((chart) => chart.fit())).observe(element);
}

async function start() {
  for (const panel of board.querySelectorAll(".chart")) watch(panel);
  bar.addEventListener("input", readSettings);
  onScheme(() => charts.forEach((chart) => chart.redraw(settings)));
  fit(board);
  const files = document.getElementById("events");
  if (files) {
    for (const [panel, drawn] of await eventPanels(files, answerOf)) {
      events.set(panel, drawn);
      watch(panel);
    }
    fit(files);
  }
  if (board.dataset.live) {
    setInterval(() => {
      if (document.hidden || !document.getElementById("run-status")?.hasAttribute("hx-get")) return;
      for (const [panel, chart] of charts) if (chart.runs.length && !events.has(panel)) load(panel);
    }, REFRESH);
  }
}

if (board) start();

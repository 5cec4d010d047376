// One metric's curves, drawn by uPlot in the page's colours; hovering shows every series at that place, in all charts.
import { length } from "../clock.js";
import { align } from "./series.js";

const HEIGHT = 210;
const sync = window.uPlot.sync("metrics");
const pencil = document.createElement("canvas").getContext("2d", { willReadFrequently: true });

/** Read a token as a colour that a canvas understands. */
function color(name) {
  const probe = document.createElement("span");
  probe.className = `dot ${name}`;
  document.body.append(probe);
  const found = getComputedStyle(probe).backgroundColor;
  probe.remove();
  pencil.fillStyle = found;
  return pencil.fillStyle;
}

const short = (value) => (value === null || value === undefined ? "–" : Number(value.toPrecision(5)).toString());

function options(host, runs, settings) {
  const text = getComputedStyle(host).color;
  const line = getComputedStyle(host.closest(".panel")).borderTopColor;
  const axis = { stroke: text, grid: { stroke: line, width: 1 }, ticks: { stroke: line, width: 1 }, font: "11px system-ui" };
  const isTime = settings.x === "time";
  const steps = isTime ? (_, values) => values.map((value) => length(value)) : undefined;
  return {
    width: host.clientWidth,
    height: HEIGHT,
    cursor: { sync: { key: sync.key }, focus: { prox: 24 }, points: { size: 6 } },
    legend: { live: true },
    scales: { x: { time: false }, y: { distr: settings.log ? 3 : 1 } },
    axes: [{ ...axis, size: 30, values: steps }, { ...axis, size: 56 }],
    series: [
      { label: isTime ? "time" : "step", value: (_, value) => (value === null ? "–" : isTime ? length(value) : String(value)) },
      ...runs.map((run, index) => ({
        label: run.name,
        stroke: color(`dot-${(index % 8) + 1}`),
        width: 1.5,
        spanGaps: true,
        points: { show: run.points.length === 1 },
        value: (_, value) => short(value),
      })),
    ],
  };
}

export class Chart {
  constructor(panel) {
    this.host = panel.querySelector(".plot");
    this.runs = [];
  }

  draw(runs, settings) {
    this.runs = runs;
    this.plot?.destroy();
    this.plot = null;
    if (!runs.some((run) => run.points.length)) {
      const note = document.createElement("p");
      note.className = "chart-note";
      note.textContent = "No points yet";
      return void this.host.replaceChildren(note);
    }
    const data = align(runs.map((run) => run.points), { ...settings, weight: settings.smooth });
    this.host.replaceChildren();
    this.plot = new window.uPlot(options(this.host, runs, settings), data, this.host);
  }

  redraw(settings) {
    if (this.runs.length) this.draw(this.runs, settings);
  }

  fit() {
    this.plot?.setSize({ width: this.host.clientWidth, height: HEIGHT });
  }
}

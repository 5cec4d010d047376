// One metric's curves, drawn by uPlot in the page's colours; hovering shows every series at that place, in all charts.
import { length } from "../clock.js";
import { axisOf, color, nth, short } from "./colors.js";
import { HIGHEST, LOWEST, VALUE, align } from "./series.js";

const HEIGHT = 210;
const MOST_NAMED = 8; // with more curves the one under the pointer is named
const sync = window.uPlot.sync("metrics");

function curve(run, index) {
  return {
    label: run.name,
    stroke: color(`dot ${nth(index)}`),
    width: 1.5,
    spanGaps: true,
    points: { show: run.points.length === 1 },
    value: (_, value) => short(value),
  };
}

function note(host, text) {
  const line = document.createElement("p");
  line.className = "chart-note";
  line.textContent = text;
  host.replaceChildren(line);
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
    if (!runs.some((run) => run.points.length)) return void note(this.host, "No points yet");
    // A single curve that stands for more points than are drawn shows how far they reach.
    const banded = runs.length === 1 && runs[0].downsampled && !runs[0].sampled;
    const columns = banded ? [VALUE, LOWEST, HIGHEST] : [VALUE];
    const data = align(runs.flatMap(({ points }) => columns.map((column) => ({ points, column }))), { ...settings, weight: settings.smooth });
    this.host.replaceChildren();
    this.host.classList.toggle("banded", banded);
    this.plot = new window.uPlot(this.options(settings, banded), data, this.host);
    if (runs.length > MOST_NAMED) this.host.append(this.named);
  }

  options(settings, banded) {
    const axis = axisOf(this.host);
    const isTime = settings.x === "time";
    const lines = this.runs.map(curve);
    const range = { ...lines[0], stroke: "transparent", points: { show: false } };
    const many = this.runs.length > MOST_NAMED;
    if (many) this.name();
    return {
      width: this.host.clientWidth,
      height: HEIGHT,
      cursor: { sync: { key: sync.key }, focus: { prox: 24 }, points: { size: 6, show: !many } },
      focus: { alpha: many ? 0.15 : 1 },
      legend: { live: true, show: !many },
      scales: { x: { time: false }, y: { distr: settings.log ? 3 : 1 } },
      axes: [
        { ...axis, size: 30, values: isTime ? (_, values) => values.map((value) => length(value)) : undefined },
        { ...axis, size: 56 },
      ],
      bands: banded ? [{ series: [3, 2], fill: color("series-band") }] : undefined,
      hooks: many ? { setSeries: [(plot, index) => this.tell(plot, index)] } : undefined,
      series: [
        { label: isTime ? "time" : "step", value: (_, value) => (value === null ? "–" : isTime ? length(value) : String(value)) },
        ...(banded ? [lines[0], { ...range, label: "lowest" }, { ...range, label: "highest" }] : lines),
      ],
    };
  }

  name() {
    this.named = document.createElement("p");
    this.named.className = "chart-named";
    const sampled = this.runs.some((run) => run.sampled) ? ", drawn from some of their points" : "";
    this.named.textContent = `${this.runs.filter((run) => run.points.length).length} runs${sampled}; point at a curve to see which it is`;
  }

  tell(plot, index) {
    if (!index) return;
    const at = plot.cursor.idx;
    const value = at === null || at === undefined ? null : plot.data[index][at];
    this.named.textContent = `${this.runs[index - 1].name}: ${short(value)}`;
  }

  redraw(settings) {
    if (this.runs.length) this.draw(this.runs, settings);
  }

  fit() {
    this.plot?.setSize({ width: this.host.clientWidth, height: HEIGHT });
  }
}

// Two values of each run against each other, drawn by uPlot; the run under the pointer is named, a click opens it.
import { axisOf, color, short } from "./colors.js";

const HEIGHT = 420;
const NEAR = 18; // pixels

const labels = (found) => (found.words ? (_, places) => places.map((place) => found.words[place] ?? "") : undefined);

function scaleOf(found) {
  const margin = found.high > found.low ? (found.high - found.low) * 0.05 : Math.abs(found.high) * 0.05 || 1;
  return { time: false, range: [found.low - margin, found.high + margin] };
}

export class Drawing {
  constructor(host, runs, axes, { said }) {
    [this.host, this.runs, this.said] = [host, runs, said];
    [this.x, this.y = axes[0]] = axes;
    this.order = runs.map((_, index) => index)
      .filter((index) => this.x.places[index] !== null && this.y.places[index] !== null)
      .sort((a, b) => this.x.places[a] - this.x.places[b]);
  }

  draw() {
    this.plot?.destroy();
    this.host.replaceChildren();
    const axis = axisOf(this.host);
    const fill = color("dot dot-1");
    this.plot = new window.uPlot({
      width: this.host.clientWidth,
      height: HEIGHT,
      legend: { show: false },
      cursor: { drag: { x: false, y: false }, points: { show: false } },
      scales: { x: scaleOf(this.x), y: scaleOf(this.y) },
      axes: [
        { ...axis, label: this.x.key, labelSize: 24, labelFont: "12px system-ui", size: 40, splits: this.splits(this.x), values: labels(this.x) },
        { ...axis, label: this.y.key, labelSize: 24, labelFont: "12px system-ui", size: 64, splits: this.splits(this.y), values: labels(this.y) },
      ],
      series: [{}, { stroke: fill, paths: () => null, points: { show: true, size: 9, fill, stroke: fill } }],
    }, [this.order.map((index) => this.x.places[index]), this.order.map((index) => this.y.places[index])], this.host);
    const missing = this.runs.length - this.order.length;
    this.rest = missing ? `${missing} without one of the values` : "Point at a run to see which it is";
    this.said.textContent = this.rest;
    this.plot.over.addEventListener("mousemove", (event) => this.point(event));
    this.plot.over.addEventListener("click", (event) => {
      const found = this.nearest(event);
      if (found !== null) location.assign(this.runs[found].url);
    });
  }

  splits(found) {
    return found.words ? () => found.words.map((_, place) => place) : undefined;
  }

  nearest({ offsetX, offsetY }) {
    let best = null;
    let least = NEAR;
    for (const index of this.order) {
      const across = this.plot.valToPos(this.x.places[index], "x") - offsetX;
      const up = this.plot.valToPos(this.y.places[index], "y") - offsetY;
      const far = Math.hypot(across, up);
      if (far < least) [best, least] = [index, far];
    }
    return best;
  }

  point(event) {
    const found = this.nearest(event);
    this.plot.over.classList.toggle("over-run", found !== null);
    const value = (one) => (one.words ? one.values[found] : short(one.places[found]));
    this.said.textContent = found === null ? this.rest : `${this.runs[found].name}: ${this.x.key} ${value(this.x)}, ${this.y.key} ${value(this.y)}`;
  }
}

// Parallel coordinates: each run is a line across the axes; dragging along an axis, or numbers typed below, choose runs.
import { share } from "./axes.js";
import { short } from "./colors.js";
import { Ranges } from "./ranges.js";

const NS = "http://www.w3.org/2000/svg";
const [HEIGHT, TOP, BOTTOM, SIDE] = [420, 34, 18, 16];
const SHADES = 10;
const MOST_WORDS = 14; // of one axis are written; more would lie over each other

function make(name, attributes, text) {
  const element = document.createElementNS(NS, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== undefined) element.textContent = text;
  return element;
}

export class Drawing {
  constructor(host, runs, axes, { choose, said }) {
    Object.assign(this, { host, runs, axes, choose, said });
    this.ranges = new Ranges(axes, () => this.pick());
  }

  get across() {
    return this.axes.length > 1 ? (this.host.clientWidth - 2 * SIDE) / (this.axes.length - 1) : 0;
  }

  left(number) {
    return SIDE + number * this.across;
  }

  up(axis, place) {
    return HEIGHT - BOTTOM - share(axis, place) * (HEIGHT - TOP - BOTTOM);
  }

  /** The place on an axis that lies at a height; the other way round than `up`. */
  placeAt(axis, y) {
    const part = Math.min(1, Math.max(0, (HEIGHT - BOTTOM - y) / (HEIGHT - TOP - BOTTOM)));
    return axis.low + part * (axis.high - axis.low);
  }

  draw() {
    const svg = make("svg", { class: "parallel", width: this.host.clientWidth, height: HEIGHT, role: "img", "aria-label": "Runs across the chosen axes; the table below says the same" });
    this.lines = this.runs.map((run, index) => this.line(run, index));
    svg.append(...this.lines, ...this.axes.map((axis, number) => this.axis(axis, number)));
    svg.addEventListener("pointerover", ({ target }) => this.name(target));
    this.host.replaceChildren(svg);
    this.pick();
  }

  line(run, index) {
    let path = "";
    this.axes.forEach((axis, number) => {
      const place = axis.places[index];
      if (place === null) return;
      const before = number && this.axes[number - 1].places[index] !== null;
      path += `${before ? "L" : "M"}${this.left(number).toFixed(1)} ${this.up(axis, place).toFixed(1)}`;
    });
    const last = this.axes.at(-1);
    const shade = last.places[index] === null ? "none" : Math.min(SHADES - 1, Math.floor(share(last, last.places[index]) * SHADES));
    const line = make("path", { class: `way shade-${shade}`, d: path || "M0 0", "data-run": index });
    line.append(make("title", {}, run.name));
    return line;
  }

  axis(axis, number) {
    const x = this.left(number);
    const group = make("g", { class: "axis" });
    const anchor = number === 0 ? "start" : number === this.axes.length - 1 ? "end" : "middle";
    const title = axis.key.length > 24 ? `${axis.key.slice(0, 23)}…` : axis.key;
    group.append(make("text", { class: "axis-title", x: { start: 0, middle: x, end: this.host.clientWidth }[anchor], y: 14, "text-anchor": anchor }, title));
    group.append(make("line", { x1: x, x2: x, y1: TOP, y2: HEIGHT - BOTTOM }));
    const side = anchor === "end" ? { x: x - 6, "text-anchor": "end" } : { x: x + 6 };
    for (const [place, word] of this.marks(axis)) group.append(make("text", { class: "axis-mark", ...side, y: this.up(axis, place) + 4 }, word));
    this.brush(group, axis, number, x);
    return group;
  }

  marks(axis) {
    const cut = (word) => (word.length > 16 ? `${word.slice(0, 15)}…` : word);
    if (axis.words) return axis.words.length > MOST_WORDS ? [[axis.low, cut(axis.words[0])], [axis.high, cut(axis.words.at(-1))]] : axis.words.map((word, place) => [place, cut(word)]);
    return axis.high > axis.low ? [0, 1, 2, 3, 4].map((step) => axis.low + (step * (axis.high - axis.low)) / 4).map((place) => [place, short(place)]) : [[axis.low, short(axis.low)]];
  }

  brush(group, axis, number, x) {
    const shown = make("rect", { class: "brush", x: x - 8, width: 16, y: 0, height: 0 });
    const area = make("rect", { class: "brush-area", x: x - 14, width: 28, y: TOP - 6, height: HEIGHT - TOP - BOTTOM + 12 });
    group.append(shown, area);
    this.ranges.show(number, (range) => {
      const [low, high] = range ?? [axis.low, axis.low];
      shown.setAttribute("y", this.up(axis, high));
      shown.setAttribute("height", range ? Math.max(2, this.up(axis, low) - this.up(axis, high)) : 0);
    });
    area.addEventListener("pointerdown", (event) => {
      const top = this.host.getBoundingClientRect().top;
      const from = this.placeAt(axis, event.clientY - top);
      area.setPointerCapture(event.pointerId);
      const move = ({ clientY }) => this.ranges.set(number, [from, this.placeAt(axis, clientY - this.host.getBoundingClientRect().top)].sort((a, b) => a - b));
      area.addEventListener("pointermove", move);
      area.addEventListener("pointerup", ({ clientY }) => {
        area.removeEventListener("pointermove", move);
        if (Math.abs(clientY - event.clientY) < 4) this.ranges.set(number, null); // a click takes the choice back
      }, { once: true });
    });
  }

  pick() {
    if (!this.lines) return;
    const chosen = new Set(this.runs.map((_, index) => index).filter((index) => this.ranges.hold(index)));
    this.lines.forEach((line, index) => line.classList.toggle("away", !chosen.has(index)));
    this.choose(chosen);
  }

  name(target) {
    const index = target.dataset?.run;
    if (index !== undefined) this.said.textContent = this.runs[index].name;
  }
}

// The ranges of parallel coordinates: set by dragging, or by two numbers for each axis, so that a keyboard does as well.
const host = document.getElementById("points-ranges");

function field(label, value) {
  const input = document.createElement("input");
  Object.assign(input, { type: "number", step: "any", placeholder: value });
  input.setAttribute("aria-label", label);
  return input;
}

export class Ranges {
  constructor(axes, changed) {
    Object.assign(this, { axes, changed });
    this.ranges = axes.map(() => null);
    this.shows = axes.map(() => () => {});
    this.fields = axes.map((axis, number) => (axis.words ? null : this.pair(axis, number)));
    host?.querySelector(".fields").replaceChildren(...this.fields.filter(Boolean).map(({ box }) => box));
  }

  pair(axis, number) {
    const box = document.createElement("div");
    box.className = "field range-pair";
    const name = document.createElement("span");
    name.className = "label mono";
    name.textContent = axis.key;
    const [from, to] = [field(`${axis.key} from`, axis.low), field(`${axis.key} to`, axis.high)];
    box.append(name, from, to);
    box.addEventListener("input", () => {
      const isEmpty = from.value === "" && to.value === "";
      this.keep(number, isEmpty ? null : [from.value === "" ? axis.low : Number(from.value), to.value === "" ? axis.high : Number(to.value)]);
    });
    return { box, from, to };
  }

  /** Call `show` with the range of an axis whenever it changes. */
  show(number, show) {
    this.shows[number] = show;
    show(this.ranges[number]);
  }

  set(number, range) {
    const found = this.fields[number];
    if (found) [found.from.value, found.to.value] = range ? range.map((value) => Number(value.toPrecision(5))) : ["", ""];
    this.keep(number, range);
  }

  keep(number, range) {
    this.ranges[number] = range;
    this.shows[number](range);
    this.changed();
  }

  hold(index) {
    return this.ranges.every((range, number) => {
      const place = this.axes[number].places[index];
      return range === null || (place !== null && place >= range[0] && place <= range[1]);
    });
  }
}

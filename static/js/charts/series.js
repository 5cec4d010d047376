// Points of the API as columns a chart can draw: [step, time_ms, value, min, max] rows in, aligned arrays out.
const number = (value) => (typeof value === "number" && Number.isFinite(value) ? value : null);
export const [VALUE, LOWEST, HIGHEST] = [2, 3, 4];
const GRID = 1000; // so many places across are more than a chart has pixels

/** Smooth by an exponential average without the bias of its beginning; gaps stay gaps. */
export function smooth(values, weight) {
  if (!weight) return values;
  let average = 0;
  let seen = 0;
  return values.map((value) => {
    if (value === null) return null;
    average = average * weight + (1 - weight) * value;
    seen += 1;
    return average / (1 - weight ** seen);
  });
}

/** Bring the places of very many curves onto a grid: without it each curve would have a row as long as all together. */
function onGrid(columns) {
  const places = new Set(columns.flatMap(({ xs }) => xs));
  if (places.size <= 2 * GRID) return columns;
  const all = [...places];
  const low = all.reduce((a, b) => Math.min(a, b));
  const width = (all.reduce((a, b) => Math.max(a, b)) - low) / GRID;
  return columns.map(({ xs, ys }) => ({ xs: xs.map((x) => low + Math.round((x - low) / width) * width), ys }));
}

/** Join series on one x axis. `all` are {points, column}. Returns [xs, ys1, ys2, …] with undefined where one has no point. */
export function align(all, { x, weight, log }) {
  const columns = onGrid(all.map(({ points, column }) => {
    const starts = points.length ? points[0][1] : 0;
    const xs = points.map((point) => (x === "time" ? (point[1] - starts) / 1000 : point[0]));
    const values = points.map((point) => number(point[column]));
    const ys = (column === VALUE ? smooth(values, weight) : values).map((value) => (log && !(value > 0) ? null : value));
    return { xs, ys };
  }));
  const xs = [...new Set(columns.flatMap((column) => column.xs))].sort((a, b) => a - b);
  const places = new Map(xs.map((value, index) => [value, index]));
  const rows = columns.map(({ xs: own, ys }) => {
    const row = new Array(xs.length).fill(undefined);
    own.forEach((value, index) => { row[places.get(value)] = ys[index]; });
    return row;
  });
  return [xs, ...rows];
}

// Points of the API as columns a chart can draw: [step, time_ms, value, min, max] rows in, aligned arrays out.
const number = (value) => (typeof value === "number" && Number.isFinite(value) ? value : null);

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

/** Join several series on one x axis. Returns [xs, ys1, ys2, …] with null where a series has no point. */
export function align(all, { x, weight, log }) {
  const places = new Map();
  const columns = all.map((points) => {
    const starts = points.length ? points[0][1] : 0;
    const xs = points.map((point) => (x === "time" ? (point[1] - starts) / 1000 : point[0]));
    const ys = smooth(points.map((point) => number(point[2])), weight).map((value) => (log && !(value > 0) ? null : value));
    for (const value of xs) places.set(value, 0);
    return { xs, ys };
  });
  const xs = [...places.keys()].sort((a, b) => a - b);
  xs.forEach((value, index) => places.set(value, index));
  const rows = columns.map(({ xs: own, ys }) => {
    const row = new Array(xs.length).fill(undefined);
    own.forEach((value, index) => { row[places.get(value)] = ys[index]; });
    return row;
  });
  return [xs, ...rows];
}

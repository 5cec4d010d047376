// Values of runs along one axis: numbers where all are numbers, else words, each of which has a place.
const NAMED = { NaN: null, Infinity: null, "-Infinity": null };

const numeric = (value) => typeof value === "number" || (typeof value === "string" && value.trim() !== "" && Number.isFinite(Number(value)));

/** Make an axis of {key, values}. `places` are null where a run has no value that could be drawn. */
export function axis({ key, values }) {
  const given = values.map((value) => (value in NAMED ? null : value));
  const known = given.filter((value) => value !== null);
  if (known.length && known.every(numeric)) {
    const places = given.map((value) => (value === null ? null : Number(value)));
    const numbers = places.filter((place) => place !== null);
    return { key, values, places, words: null, low: Math.min(...numbers), high: Math.max(...numbers) };
  }
  const words = [...new Set(known.map(String))].sort();
  const places = given.map((value) => (value === null ? null : words.indexOf(String(value))));
  return { key, values, places, words, low: 0, high: Math.max(1, words.length - 1) };
}

/** Where a place lies between the ends of its axis, from 0 to 1; what is all the same lies in the middle. */
export function share(found, place) {
  return found.high > found.low ? (place - found.low) / (found.high - found.low) : 0.5;
}

// Keep relative times and running durations true, in the very words the server writes.
const AGES = [["year", 31536000], ["month", 2592000], ["day", 86400], ["hour", 3600], ["minute", 60]];
const STEPS = [["d", 86400], ["h", 3600], ["m", 60], ["s", 1]];

export function age(moment, now = Date.now()) {
  const seconds = (now - moment) / 1000;
  const [suffix, span] = seconds >= 0 ? ["ago", seconds] : ["from now", -seconds];
  for (const [word, size] of AGES) {
    if (span >= size) {
      const count = Math.floor(span / size);
      return `${count} ${word}${count === 1 ? "" : "s"} ${suffix}`;
    }
  }
  return suffix === "ago" || span < 10 ? "just now" : "in less than a minute";
}

export function length(seconds) {
  if (seconds < 10) return `${Math.max(0, seconds).toFixed(1)}s`;
  let rest = Math.floor(seconds);
  const parts = [];
  for (const [letter, size] of STEPS) {
    const count = Math.floor(rest / size);
    rest %= size;
    if (count || parts.length) parts.push(`${count}${letter}`);
  }
  return parts.slice(0, 2).join(" ");
}

function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function tick() {
  if (document.hidden) return;
  for (const element of document.querySelectorAll("time[data-ago]")) write(element, age(Date.parse(element.dateTime)));
  for (const element of document.querySelectorAll("[data-since]")) {
    write(element, length((Date.now() - Date.parse(element.dataset.since)) / 1000));
  }
}

export function startClock() {
  setInterval(tick, 1000);
}

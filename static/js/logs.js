// The log tab. Without JavaScript the page shows the log's end as plain text; here it becomes live, numbered and coloured.
import { announce } from "./announce.js";
import { LogStream } from "./log-stream.js";
import { LogView } from "./log-view.js";

const WHOLE = 2 * 1024 * 1024;
const element = document.getElementById("log");
const live = document.getElementById("log-live");
const wrap = document.getElementById("log-wrap");
const end = document.getElementById("log-end");
const search = document.getElementById("log-search");
const matches = document.getElementById("log-matches");
const given = { ...element.dataset };
const tail = element.textContent;
const isWhole = Number(given.total) <= WHOLE;
const view = new LogView(element, { numbered: isWhole || given.offset === "0" });
let found = [];
let at = -1;

function onLive(state, words) {
  live.dataset.live = state;
  live.textContent = words;
}

function findNext(step) {
  if (!found.length) return;
  at = (at + step + found.length) % found.length;
  view.show(found[at]);
  matches.textContent = `${at + 1} of ${found.length}`;
}

function find() {
  found = view.search(search.value);
  at = -1;
  matches.textContent = search.value ? "no match" : "";
  findNext(1);
}

async function start() {
  const whole = isWhole && given.offset !== "0";
  const stream = new LogStream({
    experiment: given.experiment,
    attempt: Number(given.attempt),
    next: whole ? 0 : Number(given.next),
    onText: (text) => view.append(text),
    onState: (frame) => document.getElementById("run-status") && announce(`The experiment is ${frame.state}.`),
    onLive,
    onRestart: () => location.assign("?"),
  });
  if (!whole) view.append(tail);
  else document.getElementById("log-cut")?.remove();
  let complete = Boolean(given.eof) && !whole;
  if (whole) complete = await stream.catchUp().catch(() => false);
  if (location.hash.match(/^#L\d+$/)) {
    view.setFollowing(false);
    document.querySelector(location.hash)?.scrollIntoView({ block: "center" });
  }
  if (complete) onLive("", "Complete");
  else if (given.attempt === "0") waitForStart();
  else stream.follow();
}

function waitForStart() {
  onLive("retry", "Waiting to start");
  const timer = setInterval(async () => {
    const answer = await fetch(`/api/v2/experiments/${given.experiment}/`, { credentials: "same-origin" }).catch(() => null);
    const experiment = answer?.ok ? await answer.json() : null;
    if (!experiment) return;
    if (experiment.attempt > 0) location.reload();
    else if (["stopped", "failed", "lost"].includes(experiment.state)) {
      clearInterval(timer);
      onLive("", "Never started");
    }
  }, 1000);
}

wrap.addEventListener("click", () => {
  const on = element.classList.toggle("wrapped");
  wrap.setAttribute("aria-pressed", String(on));
});
end.addEventListener("click", () => view.setFollowing(!view.following));
view.onFollow = (on) => end.setAttribute("aria-pressed", String(on));
search.addEventListener("input", find);
search.addEventListener("keydown", (event) => {
  if (event.key !== "Enter") return;
  event.preventDefault();
  findNext(event.shiftKey ? -1 : 1);
});
document.getElementById("find-back").addEventListener("click", () => findNext(-1));
start();

// A table of experiments or runs: keys j k x Enter /, and a choice of rows that survives the refresh of the rows.
import { announce } from "./announce.js";

const table = document.querySelector("table[data-choose]");
const bar = document.getElementById("bulk-bar");
const count = document.getElementById("bulk-count");
const all = document.getElementById("check-all");
const chosen = new Set();
let current = "";

const rows = () => [...table.querySelectorAll("tbody tr[data-id]")];
const box = (row) => row.querySelector("input[name='id']");

function show() {
  for (const row of rows()) {
    box(row).checked = chosen.has(row.dataset.id);
    row.classList.toggle("current", row.dataset.id === current);
  }
  for (const button of bar.querySelectorAll("button")) button.hidden = !chosen.size;
  bar.querySelector("[value='compare']").disabled = chosen.size < 2;
  count.textContent = chosen.size ? `${chosen.size} chosen` : "";
  all.checked = chosen.size > 0 && chosen.size === rows().length;
  all.indeterminate = chosen.size > 0 && !all.checked;
}

function pick(row, on) {
  if (on) chosen.add(row.dataset.id);
  else chosen.delete(row.dataset.id);
}

function move(step) {
  const list = rows();
  if (!list.length) return;
  const at = list.findIndex((row) => row.dataset.id === current);
  const next = list[Math.min(list.length - 1, Math.max(0, at < 0 ? 0 : at + step))];
  current = next.dataset.id;
  next.scrollIntoView({ block: "nearest" });
  announce(next.querySelector(".name").textContent.trim());
  show();
}

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  if (event.target.matches("input:not([type='checkbox']), textarea, select")) return;
  const row = rows().find((one) => one.dataset.id === current);
  const keys = {
    j: () => move(1),
    k: () => move(-1),
    x: () => row && (pick(row, !chosen.has(current)), show()),
    Enter: () => row && event.target.matches("body, main, .table-wrap") && location.assign(row.querySelector(".name a").href),
    "/": () => document.getElementById("q").focus(),
  };
  if (!keys[event.key]) return;
  if (event.key !== "Enter") event.preventDefault();
  keys[event.key]();
}

function sureToDelete(event) {
  if (event.submitter?.value !== "delete") return;
  const { noun } = table.dataset;
  const many = chosen.size === 1 ? `this ${noun}` : `these ${chosen.size} ${noun}s`;
  if (!window.confirm(`Delete ${many}? Logs and files stay in the records.`)) event.preventDefault();
}

if (table) {
  all.hidden = false;
  table.addEventListener("change", (event) => {
    if (event.target === all) for (const row of rows()) pick(row, all.checked);
    else if (event.target.name === "id") pick(event.target.closest("tr"), event.target.checked);
    show();
  });
  document.addEventListener("keydown", onKey);
  table.addEventListener("htmx:afterSwap", show);
  document.addEventListener("htmx:afterSettle", show);
  document.getElementById("bulk").addEventListener("submit", sureToDelete);
  for (const input of table.querySelectorAll("input[name='id']:checked")) chosen.add(input.value);
  show();
}

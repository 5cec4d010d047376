// The run table's bar: suggestions for the filter; columns that were found and chosen stay when one looks for others.
import { startCompletion } from "./completion.js";

const form = document.getElementById("filters");
const filter = document.querySelector("input[data-complete]");
const find = document.getElementById("find");
const shown = document.getElementById("shown");

function keepChosen() {
  for (const box of document.querySelectorAll("#found-keys input[name='col']:checked")) {
    if ([...shown.querySelectorAll("input")].some((other) => other.value === box.value)) continue;
    const label = document.createElement("label");
    const text = document.createElement("span");
    text.className = "mono clip";
    text.textContent = box.value;
    label.append(box.cloneNode(), text);
    label.firstChild.checked = true;
    shown.append(label);
  }
}

// One word in an address is enough, and what was looked for is no part of it.
function send(event) {
  const words = new Set(event.formData.getAll("col"));
  event.formData.delete("col");
  for (const word of words) event.formData.append("col", word);
  event.formData.delete("find");
}

if (filter) startCompletion(filter);
if (find) {
  find.addEventListener("keydown", (event) => {
    if (event.key === "Enter") event.preventDefault();
  });
  document.addEventListener("htmx:beforeSwap", (event) => event.target.id === "found-keys" && keepChosen());
  form.addEventListener("formdata", send);
}

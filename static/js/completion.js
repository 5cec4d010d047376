// Suggestions under the filter: asked of the server as one types. Arrows choose, Enter or Tab takes, Escape closes.
import { announce } from "./announce.js";

const WAIT = 120;

export function startCompletion(input) {
  const list = document.createElement("ul");
  list.className = "suggestions mono";
  list.id = `${input.id}-suggestions`;
  list.setAttribute("role", "listbox");
  list.setAttribute("aria-label", "Suggestions");
  list.hidden = true;
  input.after(list);
  for (const [name, value] of [["role", "combobox"], ["aria-autocomplete", "list"], ["aria-controls", list.id], ["aria-expanded", "false"]]) {
    input.setAttribute(name, value);
  }
  let found = { start: 0, options: [] };
  let chosen = -1;
  let timer = 0;
  let asked = 0;

  function close() {
    clearTimeout(timer);
    asked += 1;
    list.hidden = true;
    chosen = -1;
    input.setAttribute("aria-expanded", "false");
    input.removeAttribute("aria-activedescendant");
  }

  function choose(next) {
    chosen = (next + found.options.length) % found.options.length;
    [...list.children].forEach((item, index) => item.setAttribute("aria-selected", index === chosen ? "true" : "false"));
    input.setAttribute("aria-activedescendant", list.children[chosen].id);
    list.children[chosen].scrollIntoView({ block: "nearest" });
  }

  function take(index) {
    const { text } = found.options[index];
    const rest = input.value.slice(input.selectionStart);
    // After a name's dot one goes on typing; after anything else comes the next word.
    const word = text.endsWith(".") || rest.startsWith(" ") ? text : `${text} `;
    input.value = input.value.slice(0, found.start) + word + rest;
    const at = found.start + word.length;
    input.setSelectionRange(at, at);
    input.focus();
    ask();
  }

  function item(option, index) {
    const line = document.createElement("li");
    line.id = `${list.id}-${index}`;
    line.setAttribute("role", "option");
    line.setAttribute("aria-selected", "false");
    const hint = document.createElement("span");
    hint.className = "hint";
    hint.textContent = option.hint;
    line.append(option.text, hint);
    line.addEventListener("mousedown", (event) => {
      event.preventDefault();
      take(index);
    });
    return line;
  }

  function show(answer) {
    found = answer;
    chosen = -1;
    list.replaceChildren(...found.options.map(item));
    list.hidden = !found.options.length;
    input.setAttribute("aria-expanded", String(!list.hidden));
    input.removeAttribute("aria-activedescendant");
    if (!list.hidden) announce(`${found.options.length} suggestions`);
  }

  function ask() {
    clearTimeout(timer);
    timer = setTimeout(async () => {
      const mine = (asked += 1);
      const text = input.value.slice(0, input.selectionStart);
      const response = await fetch(`${input.dataset.complete}?${new URLSearchParams({ text })}`, { headers: { Accept: "application/json" } });
      if (mine === asked && response.ok && document.activeElement === input) show(await response.json());
    }, WAIT);
  }

  function onKey(event) {
    if (list.hidden) {
      if (event.key === "ArrowDown") {
        event.preventDefault();
        ask();
      }
      return;
    }
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      choose(event.key === "ArrowDown" ? chosen + 1 : Math.max(chosen, 0) - 1);
    } else if (event.key === "Enter" && chosen >= 0) {
      event.preventDefault();
      take(chosen);
    } else if (event.key === "Tab" && !event.shiftKey && chosen >= 0) {
      event.preventDefault();
      take(chosen);
    } else if (event.key === "Escape") {
      event.preventDefault();
      close();
    }
  }

  input.addEventListener("input", ask);
  input.addEventListener("keydown", onKey);
  input.addEventListener("blur", close);
  input.form.addEventListener("submit", close);
}

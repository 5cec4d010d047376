// Lines of a log in the page: numbered, coloured, searched, wrapped, linked.
import { plain, render } from "./ansi.js";

const MOST_LINES = 20000;
const MOST_MATCHES = 2000;

export class LogView {
  constructor(element, { numbered }) {
    this.element = element;
    this.numbered = numbered;
    this.following = true;
    this.clear();
    element.classList.remove("raw");
    element.addEventListener("scroll", () => this.noticeScroll());
  }

  clear() {
    this.element.replaceChildren();
    this.style = plain();
    this.count = 0;
    this.open = null;
    this.rest = "";
  }

  append(text) {
    const lines = (this.rest + text).split("\n");
    const fragment = document.createDocumentFragment();
    if (this.open) {
      this.open.remove();
      this.open = null;
      this.count -= 1;
      this.style = this.before;
    }
    this.rest = lines.pop();
    for (const line of lines) fragment.append(this.line(line));
    if (this.rest) {
      this.before = { ...this.style };
      this.open = this.line(this.rest);
      fragment.append(this.open);
    }
    this.element.append(fragment);
    while (this.element.childElementCount > MOST_LINES) this.element.firstElementChild.remove();
    if (this.following) this.toEnd();
  }

  line(text) {
    this.count += 1;
    const row = document.createElement("div");
    row.className = "line";
    if (this.numbered) {
      row.id = `L${this.count}`;
      const number = document.createElement("a");
      number.className = "no";
      number.href = `#L${this.count}`;
      number.textContent = this.count;
      row.append(number);
    } else {
      const space = document.createElement("span");
      space.className = "no";
      row.append(space);
    }
    const body = document.createElement("span");
    body.className = "text";
    render(body, text, this.style);
    row.append(body);
    return row;
  }

  toEnd() {
    this.element.scrollTop = this.element.scrollHeight;
  }

  noticeScroll() {
    const { scrollTop, clientHeight, scrollHeight } = this.element;
    const atEnd = scrollTop + clientHeight >= scrollHeight - 30;
    if (atEnd !== this.following) this.setFollowing(atEnd, false);
  }

  setFollowing(on, jump = true) {
    this.following = on;
    if (on && jump) this.toEnd();
    this.onFollow?.(on);
  }

  /** Mark the lines that contain `text`; returns them. */
  search(text) {
    const wanted = text.toLowerCase();
    const found = [];
    for (const row of this.element.children) {
      const hit = wanted !== "" && found.length < MOST_MATCHES && row.lastChild.textContent.toLowerCase().includes(wanted);
      row.classList.toggle("marked", hit);
      row.classList.remove("found");
      if (hit) found.push(row);
    }
    return found;
  }

  show(row) {
    this.setFollowing(false);
    this.element.querySelector(".found")?.classList.remove("found");
    row.classList.add("found");
    row.scrollIntoView({ block: "center" });
  }
}

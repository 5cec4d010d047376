// Colours of a terminal, as classes. Text only ever becomes text nodes; every other escape sequence is dropped.
// eslint-disable-next-line no-control-regex
const ESCAPES = /\x1b\[([0-9;:]*)([@-~])|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[@-Z\\-_]|[\x00-\x08\x0b\x0c\x0e-\x1a\x1c-\x1f]/g;

function apply(style, codes) {
  const list = codes === "" ? [0] : codes.split(/[;:]/).map(Number);
  for (let i = 0; i < list.length; i += 1) {
    const code = list[i];
    if (code === 0) Object.assign(style, { color: "", bold: false, dim: false, italic: false, underline: false });
    else if (code === 1) style.bold = true;
    else if (code === 2) style.dim = true;
    else if (code === 3) style.italic = true;
    else if (code === 4) style.underline = true;
    else if (code === 22) style.bold = style.dim = false;
    else if (code === 23) style.italic = false;
    else if (code === 24) style.underline = false;
    else if (code >= 30 && code <= 37) style.color = String(code - 30);
    else if (code >= 90 && code <= 97) style.color = String(code - 90);
    else if (code === 39) style.color = "";
    else if (code === 38 || code === 48) i += list[i + 1] === 5 ? 2 : 4;
  }
}

function classes(style) {
  const names = ["bold", "dim", "italic", "underline"].filter((name) => style[name]).map((name) => `ansi-${name}`);
  if (style.color) names.push(`ansi-${style.color}`);
  return names.join(" ");
}

export const plain = () => ({ color: "", bold: false, dim: false, italic: false, underline: false });

/** Append one line's text to `target`; `style` goes on from line to line. */
export function render(target, line, style) {
  const shown = line.replace(/^.*\r(?!$)/, "").replace(/\r$/, "");
  let from = 0;
  const put = (text) => {
    if (!text) return;
    const names = classes(style);
    if (!names) return void target.append(text);
    const span = document.createElement("span");
    span.className = names;
    span.textContent = text;
    target.append(span);
  };
  for (const match of shown.matchAll(ESCAPES)) {
    put(shown.slice(from, match.index));
    if (match[2] === "m") apply(style, match[1]);
    from = match.index + match[0].length;
  }
  put(shown.slice(from));
}

// Elements: made of text, never of markup.

export const at = (id) => document.getElementById(id);

/** Make an element with attributes and children, which are elements or text; null children are left out. */
export function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** Put text into an element, unless it is there already: what is read aloud is said once. */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Replace children where they differ: what stays the same keeps focus, selection, and the place of who reads on. */
export function renew(element, ...children) {
  const before = [...element.children];
  if (before.length === children.length) {
    children.forEach((child, index) => before[index].isEqualNode(child) || before[index].replaceWith(child));
  } else {
    element.replaceChildren(...children);
  }
}

/** Make a table. Columns are headings or [heading, class]; rows are lists of cells, the first one their heading. */
export function table(caption, columns, rows) {
  const headings = columns.map((column) => {
    const [text, kind] = Array.isArray(column) ? column : [column, null];
    return make("th", { scope: "col", class: kind }, text);
  });
  const body = rows.map(([first, ...others]) =>
    make(
      "tr",
      {},
      make("th", { scope: "row" }, first),
      ...others.map((cell, index) => {
        const column = columns[index + 1];
        return make("td", { class: Array.isArray(column) ? column[1] : null }, cell);
      }),
    ),
  );
  return make(
    "table",
    {},
    make("caption", { class: "spoken" }, caption),
    make("thead", {}, make("tr", {}, ...headings)),
    make("tbody", {}, ...body),
  );
}

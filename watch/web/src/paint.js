// Drawings on the page: what did not change is not touched, and text is only ever text.

const SVG = "http://www.w3.org/2000/svg";

/** Make the children of `parent` what the drawings say: [tag, attributes, ...children] each, or text; falsy ones are left out. */
export function paint(parent, drawings) {
  const wanted = drawings.filter((one) => one || one === 0);
  while (parent.childNodes.length > wanted.length) parent.lastChild.remove();
  wanted.forEach((drawing, i) => {
    const old = parent.childNodes[i];
    if (!Array.isArray(drawing)) {
      if (old?.nodeType === Node.TEXT_NODE) set(old, "data", String(drawing));
      else place(parent, document.createTextNode(drawing), old);
      return;
    }
    const [tag, attributes, ...children] = drawing;
    const element = old?.localName === tag ? old : place(parent, document.createElementNS(SVG, tag), old);
    for (const { name } of [...element.attributes]) if (!(name in attributes)) element.removeAttribute(name);
    for (const [name, value] of Object.entries(attributes)) {
      if (element.getAttribute(name) !== String(value)) element.setAttribute(name, value);
    }
    paint(element, children);
  });
}

/** Set a property only where it changes: each write can wake a screen, or a screen reader. */
export function set(thing, name, value) {
  if (thing[name] !== value) thing[name] = value;
}

function place(parent, node, old) {
  if (old) old.replaceWith(node);
  else parent.append(node);
  return node;
}

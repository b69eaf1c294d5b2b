// Elements are made of values and never of markup: whatever a file or a message is called, it is shown as text.

/** An element. `props`: attributes; `on…` are listeners, `style` is an object, null and false are left out. */
export function h(tag, props, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "style") Object.assign(element.style, value); // an attribute is refused by the page's policy
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  add(element, children);
  return element;
}

/** An element of a drawing. `props`: attributes. */
export function svg(tag, props, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(props)) if (value !== null) element.setAttribute(name, String(value));
  add(element, children);
  return element;
}

function add(element, children) {
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    element.append(child instanceof Node ? child : visible(String(child)));
  }
}

// Bidi overrides and other control characters can make one name look like another: they are written out.
const UNSEEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;

/** `text` with what is not seen as itself written as `\u202e`. */
export function visible(text) {
  return text.replace(UNSEEN, (c) => "\\u" + c.charCodeAt(0).toString(16).padStart(4, "0"));
}

/** Makes `element` show `children`, and touches nothing where they are what it shows already. */
export function put(element, ...children) {
  const next = h(element.tagName, {}, ...children);
  keepOpen(element, next);
  if (!isSame(element.childNodes, next.childNodes)) element.replaceChildren(...next.childNodes);
  return element;
}

function isSame(old, next) {
  return old.length === next.length && [...old].every((node, i) => node.isEqualNode(next[i]));
}

/** What somebody has unfolded stays so. */
function keepOpen(old, next) {
  const known = old.querySelectorAll("details");
  next.querySelectorAll("details").forEach((details, i) => (details.open = known[i]?.open ?? details.open));
}

/**
 * Rows that keep their place: each key has one element for as long as it is there, so that nothing flickers or jumps
 * under the pointer. `make(row)` answers with a new element, `fill(element, row)` writes its content.
 */
export function rows(parent, values, key, make, fill) {
  const known = new Map([...parent.children].map((child) => [child.dataset.key, child]));
  let before = parent.firstElementChild;
  for (const value of values) {
    const name = String(key(value));
    let element = known.get(name);
    known.delete(name);
    if (!element) {
      element = make(value);
      element.dataset.key = name;
    }
    fill(element, value);
    if (element !== before) parent.insertBefore(element, before);
    else before = before.nextElementSibling;
  }
  for (const gone of known.values()) gone.remove();
}

/** A table row of cells: text, an element, or [text, props]. */
export function cells(row, labels, values) {
  const made = values.map((value, i) => {
    const [content, props] = Array.isArray(value) ? value : [value, {}];
    return h("td", { "data-label": String(labels[i]) || null, ...props }, content);
  });
  const next = h("tr", {}, made);
  keepOpen(row, next);
  if (!isSame(row.childNodes, next.childNodes)) row.replaceChildren(...next.childNodes);
}

export function head(...labels) {
  const cell = (label) => (Array.isArray(label) ? h("th", { scope: "col", class: "number" }, label[0]) : h("th", { scope: "col" }, label));
  return h("thead", {}, h("tr", {}, labels.map(cell)));
}

const said = document.getElementById("said");
let timer;

/** A sentence at the foot of the page, read out by screen readers, gone after some seconds; `act`: a button beside it. */
export function say(words, act = null) {
  said.replaceChildren(visible(words), ...(act ? [" ", act] : []));
  clearTimeout(timer);
  timer = setTimeout(() => said.replaceChildren(), act ? 30_000 : 8000);
}

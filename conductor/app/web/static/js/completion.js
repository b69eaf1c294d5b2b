// Completion of the job filter: its words, and the names that there are behind them. A combobox by the book: the list
// is told to screen readers, arrows move in it, Enter or Tab takes what is chosen, Esc closes it.

import { h } from "./dom.js";
import { get } from "./api.js";

const SHOWN = 12;
const KEPT_MS = 30_000;
const PLAIN = /^[^\s",:\\]+$/;

let known = null; // the words of the server, for all fields of the page
let knownAt = 0;
let lists = 0;

async function words() {
  if (!known || performance.now() - knownAt > KEPT_MS) {
    knownAt = performance.now();
    known = await get("/api/v1/filter-words").catch(() => known);
  }
  return known ?? { qualifiers: [], causes: [], names: {} };
}

/** The word that the caret is in: where it begins, and what of it stands before the caret. */
function wordAt(text, caret) {
  let from = 0;
  let isQuoted = false;
  for (let i = 0; i < caret; i += 1) {
    if (text[i] === '"') isQuoted = !isQuoted;
    else if (!isQuoted && /\s/.test(text[i])) from = i + 1;
  }
  return { from, word: text.slice(from, caret) };
}

const quoted = (name) => (PLAIN.test(name) ? name : `"${name.replace(/[\\"]/g, "\\$&")}"`);

/** What could stand there: [text to put, words beside it]. */
function offers(word, told) {
  const colon = word.indexOf(":");
  if (colon < 0) return told.qualifiers.filter((name) => word && name.startsWith(word)).map((name) => [`${name}:`, ""]);
  const qualifier = word.slice(0, colon);
  const comma = word.lastIndexOf(",");
  const head = word.slice(0, Math.max(colon, comma) + 1);
  const part = word.slice(head.length).replace(/^"/, "").toLowerCase();
  const names = { ...told.names[qualifier] };
  if (qualifier === "cause") for (const cause of told.causes) names[cause] ??= 0;
  const found = Object.entries(names).filter(([name]) => name.toLowerCase().includes(part) && name.toLowerCase() !== part);
  return found.map(([name, jobs]) => [head + quoted(name), jobs ? jobs.toLocaleString("en") : ""]);
}

/** `input` with its list, as one element. A word that is taken is told to the input as typed. */
export function completing(input) {
  const id = `offers-${(lists += 1)}`;
  const list = h("ul", { id, role: "listbox", "aria-label": "Completions", hidden: true });
  for (const [name, value] of Object.entries({ role: "combobox", "aria-autocomplete": "list", "aria-controls": id, "aria-expanded": "false" })) input.setAttribute(name, value);
  let found = [];
  let at = -1;

  function close() {
    found = [];
    list.hidden = true;
    input.setAttribute("aria-expanded", "false");
    input.removeAttribute("aria-activedescendant");
  }

  async function look() {
    const { word } = wordAt(input.value, input.selectionStart);
    if (!word) return close();
    const told = await words();
    if (document.activeElement !== input) return close();
    found = offers(wordAt(input.value, input.selectionStart).word, told).slice(0, SHOWN);
    at = -1;
    draw();
  }

  function draw() {
    if (!found.length) return close();
    list.replaceChildren(...found.map(([text, beside], i) => h("li", { id: `${id}-${i}`, role: "option", "aria-selected": String(i === at), onpointerdown: (event) => { event.preventDefault(); take(i); } }, text, beside ? h("span", { class: "grey" }, ` ${beside}`) : null)));
    list.hidden = false;
    input.setAttribute("aria-expanded", "true");
    if (at >= 0) input.setAttribute("aria-activedescendant", `${id}-${at}`);
    else input.removeAttribute("aria-activedescendant");
  }

  function take(i) {
    const caret = input.selectionStart;
    const { from } = wordAt(input.value, caret);
    const text = found[i][0] + (found[i][0].endsWith(":") ? "" : " ");
    input.value = input.value.slice(0, from) + text + input.value.slice(caret).trimStart();
    input.setSelectionRange(from + text.length, from + text.length);
    input.dispatchEvent(new Event("input", { bubbles: true }));
  }

  input.addEventListener("input", look);
  input.addEventListener("blur", close);
  input.addEventListener("keydown", (event) => {
    if (list.hidden) return;
    if (event.key === "ArrowDown" || event.key === "ArrowUp") at = (at + (event.key === "ArrowDown" ? 1 : -1) + found.length + (at < 0 && event.key === "ArrowUp" ? 1 : 0)) % found.length;
    else if (event.key === "Escape") close();
    else if ((event.key === "Enter" && at >= 0) || (event.key === "Tab" && !event.shiftKey)) return event.preventDefault(), event.stopPropagation(), take(Math.max(0, at));
    else return;
    event.preventDefault();
    event.stopPropagation();
    if (event.key !== "Escape") draw();
  });
  return h("div", { class: "completing" }, input, list);
}

// What several pages show alike: a job's name, its state, a state's filter, a command that one can copy.

import { h, say } from "../dom.js";
import { STATES, stateClass } from "../format.js";

/** Its task and the file that it is about, and the id small and grey, copied by a click. */
export function jobName({ id, task, about }) {
  return h("span", {}, h("a", { href: `/jobs/${id}` }, about ? `${task} · ${about}` : task), " ", idOf(id));
}

export function idOf(id) {
  const copy = (event) => {
    event.stopPropagation();
    event.preventDefault();
    copied(id);
  };
  return h("span", { class: "id", title: `${id} (a click copies it)`, onclick: copy }, id.slice(0, 8));
}

export function stateMark(state) {
  const [shape, word] = STATES[state] ?? ["?", state];
  return h("span", { class: `nowrap ${stateClass(state)}` }, h("span", { "aria-hidden": "true" }, shape), " ", h("span", { class: "word" }, word));
}

/** A link to the list of what `words` count. */
export const filtered = (filter, ...words) => h("a", { href: `/jobs?q=${encodeURIComponent(filter)}` }, words);

/** As it is typed in a terminal, with a button that copies it; the key `c` presses them one after another. */
export function command(words) {
  const copy = h("button", { type: "button", class: "copy", "aria-label": `Copy: ${words}`, onclick: () => copied(words) }, "copy");
  return h("span", { class: "command" }, h("code", {}, words), " ", copy);
}

/** Words of the server: what stands between backticks is a command, or code. */
export function prose(words) {
  return words.split("`").map((part, i) => (i % 2 === 0 ? part : part.startsWith("conductor ") ? command(part) : h("code", {}, part)));
}

/** The same without buttons, for a heading. */
export const titled = (words) => words.split("`").map((part, i) => (i % 2 === 0 ? part : h("code", {}, part)));

/** Presses the next button that copies a command, from the focused one on. */
export function copyNext() {
  const all = [...document.querySelectorAll("main button.copy")].filter((button) => button.offsetParent);
  if (!all.length) return say("No command stands here.");
  const next = all[(all.indexOf(document.activeElement) + 1) % all.length];
  next.focus();
  next.click();
}

/** Copies the id of the job that a list's keys are on; else of the first that the page names. */
export function copyId() {
  const row = document.getElementById(document.querySelector("[aria-activedescendant]")?.getAttribute("aria-activedescendant"));
  const found = (row ?? document.getElementById("main")).querySelector(".id");
  if (!found) return say("No job stands here.");
  found.click();
}

/** A stretch of time from left to right; the higher, the more of it (per cent). */
export function bars(strip, words) {
  const parts = strip.map((share) => h("span", { style: { height: `${share}%` } }));
  return h("span", { class: "bars", role: "img", "aria-label": words }, parts);
}

/** A browser lets only this machine's page, or one by https, write the clipboard. */
async function copied(words) {
  try {
    await navigator.clipboard.writeText(words);
    say(`Copied: ${words}`);
  } catch {
    say(`This browser lets nothing be copied here: ${words}`);
  }
}

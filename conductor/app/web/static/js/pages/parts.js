// What several pages show alike: a job's name, its state, a state's filter.

import { h } from "../dom.js";
import { STATES, stateClass } from "../format.js";

/** Its task and the file that it is about, and the id small and grey, copied by a click. */
export function jobName({ id, task, about }) {
  return h("span", {}, h("a", { href: `/jobs/${id}` }, about ? `${task} · ${about}` : task), " ", idOf(id));
}

export function idOf(id) {
  const copy = (event) => {
    event.stopPropagation();
    event.preventDefault();
    navigator.clipboard?.writeText(id);
  };
  return h("span", { class: "id", title: `${id} (a click copies it)`, onclick: copy }, id.slice(0, 8));
}

export function stateMark(state) {
  const [shape, word] = STATES[state] ?? ["?", state];
  return h("span", { class: `nowrap ${stateClass(state)}` }, h("span", { "aria-hidden": "true" }, shape), " ", word);
}

/** A link to the list of what `words` count. */
export const filtered = (filter, ...words) => h("a", { href: `/jobs?q=${encodeURIComponent(filter)}` }, words);

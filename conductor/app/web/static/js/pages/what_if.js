// What if: other priorities, one more GPU, no hours of the day. The new time of the end, before anybody presses.

import { cells, h, head, put, rows } from "../dom.js";
import { duration, many, moment } from "../format.js";
import { fetched, query } from "../api.js";
import { bulk } from "../actions.js";
import { completing } from "../completion.js";
import { session } from "../session.js";
import { command } from "./parts.js";

export const title = "What if";

const LABELS = ["What", ["Jobs"], "As it is", "Then", "Difference"];

export function show(main) {
  const asked = new URLSearchParams(location.search);
  const given = (name, fallback = "") => asked.get(name) ?? fallback;
  const q = h("input", { type: "search", name: "q", value: given("q"), autocomplete: "off", spellcheck: "false", placeholder: "backlog:night file:wedding", "aria-label": "Which jobs" });
  const priority = h("input", { type: "number", name: "priority", min: -1000, max: 1000, value: given("priority") });
  const gpus = h("input", { type: "number", name: "gpus", min: 0, max: 64, value: given("gpus", "0") });
  const hours = h("input", { type: "checkbox", name: "all_hours", checked: given("all_hours") === "true" });
  const words = h("h1", {}, "What if …");
  const body = h("tbody");
  const result = h("div", { hidden: true, class: "scroll", tabindex: 0 }, h("table", { class: "stack" }, head(...LABELS), body));
  const after = h("div", { class: "actions" });
  const notes = h("p", { class: "grey" });
  const field = (label, input) => h("label", {}, h("span", {}, label), input);
  const form = h("form", { class: "ask", onsubmit: (event) => { event.preventDefault(); ask(); } },
    field("these jobs", completing(q)), field("had the priority", priority), field("there were so many more GPUs", gpus),
    h("label", { class: "check" }, hours, h("span", {}, "no hours held anything back")),
    h("button", { type: "submit" }, "Work it out"));
  main.append(words, form, result, after, notes, h("p", { class: "grey" }, "What waits is played through by the decision that the conductor makes, as it is and with the change. Nothing is done."));
  let isAsking = false;

  function values() {
    return { q: q.value.trim(), priority: q.value.trim() ? priority.value || "0" : "", gpus: Number(gpus.value) ? gpus.value : "", all_hours: hours.checked ? "true" : "" };
  }

  async function ask() {
    if (isAsking) return;
    const wanted = values();
    if (!wanted.q && !wanted.gpus && !wanted.all_hours) return put(words, "What if … say what would be different.");
    isAsking = true;
    history.replaceState({}, "", query("/what-if", wanted));
    put(words, "Working it out …");
    result.hidden = true;
    put(after);
    put(notes);
    try {
      shown(await fetched(query("/api/v1/what-if", wanted)), wanted);
    } catch (error) {
      put(words, `It cannot be worked out: ${error.message}.`);
    } finally {
      isAsking = false;
    }
  }

  function shown(told, wanted) {
    put(words, told.words);
    const lines = [["all of it", told.all], ...(told.meant ? [["these jobs", told.meant]] : []), ...Object.entries(told.backlogs).map(([name, end]) => [`backlog:${name}`, end])];
    result.hidden = false;
    rows(body, lines, ([name]) => name, () => h("tr"), (tr, line) => cells(tr, LABELS, endCells(line)));
    put(notes, told.notes.length ? `Not counted: ${told.notes.join(", ")}.` : "");
    if (told.meant && session.mayAct) put(after, h("button", { type: "button", onclick: () => bulk("priority", wanted.q, Number(wanted.priority)) }, `Set the priority ${wanted.priority} …`));
    else if (told.meant) put(after, command(`conductor priority ${wanted.priority} -- ${wanted.q}`));
  }

  if (given("q") || Number(given("gpus")) || hours.checked) ask();
  return { async refresh() {} };
}

function endCells([name, end]) {
  const when = (at, never) => (at === null ? "never" : [moment(at), never ? h("span", { class: "alarm" }, ` ✕ ${many(never, "job")} can never run`) : null]);
  const far = end.ends_at === null || end.then_ends_at === null ? null : end.ends_at - end.then_ends_at;
  const words = far === null ? "" : Math.abs(far) < 1 ? "the same" : `${duration(Math.abs(far))} ${far > 0 ? "sooner" : "later"}`;
  return [name, [end.jobs.toLocaleString("en"), { class: "number" }], [when(end.ends_at, end.never), {}], [when(end.then_ends_at, end.then_never), {}], h("strong", {}, words)];
}

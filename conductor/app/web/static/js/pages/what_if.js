// What if: other priorities, more of what there is, a backlog paused, no hours of the day. The new time of the end,
// before anybody presses.

import { cells, h, head, put, rows } from "../dom.js";
import { duration, many, moment } from "../format.js";
import { fetched, query } from "../api.js";
import { bulk } from "../actions.js";
import { completing } from "../completion.js";
import { session } from "../session.js";
import { command } from "./parts.js";

export const title = "What if";

/** Name in the URL → what the field says; an amount of nothing changes nothing. */
const AMOUNTS = { gpus: "more GPUs", hosts: "more CPU hosts", pilots: "more pilots of each engine", scratch_gb: "more GB of scratch on each host" };
const LABELS = ["What", ["Jobs"], "As it is", "Then", "Difference"];

export function show(main) {
  const asked = new URLSearchParams(location.search);
  const given = (name, fallback = "") => asked.get(name) ?? fallback;
  const q = h("input", { type: "search", name: "q", value: given("q"), autocomplete: "off", spellcheck: "false", placeholder: "backlog:night file:wedding", "aria-label": "Which jobs" });
  const priority = h("input", { type: "number", name: "priority", min: -1000, max: 1000, value: given("priority") });
  const amounts = Object.keys(AMOUNTS).map((name) => h("input", { type: "number", name, min: 0, max: name === "scratch_gb" ? 1000000 : 64, value: given(name, "0") }));
  const quota = h("input", { type: "number", name: "quota", min: 0.01, max: 1000, step: "any", value: given("quota", "1") });
  const pause = h("input", { name: "pause", value: given("pause"), autocomplete: "off", spellcheck: "false", placeholder: "archive" });
  const hours = h("input", { type: "checkbox", name: "all_hours", checked: given("all_hours") === "true" });
  const words = h("h1", {}, "What if …");
  const body = h("tbody");
  const result = h("div", { hidden: true, class: "scroll", tabindex: 0 }, h("table", { class: "stack" }, head(...LABELS), body));
  const after = h("div", { class: "actions" });
  const notes = h("p", { class: "grey" });
  const field = (label, input) => h("label", {}, h("span", {}, label), input);
  const form = h("form", { class: "ask", onsubmit: (event) => { event.preventDefault(); ask(); } },
    field("these jobs", completing(q)), field("had the priority", priority),
    amounts.map((input) => field(AMOUNTS[input.name], input)), field("times the quota of each API", quota), field("this backlog were paused", pause),
    h("label", { class: "check" }, hours, h("span", {}, "no hours held anything back")),
    h("button", { type: "submit" }, "Work it out"));
  main.append(words, form, result, after, notes, h("p", { class: "grey" }, "What waits is played through by the decision that the conductor makes, as it is and with the change. Nothing is done."));
  let isAsking = false;

  function values() {
    return { q: q.value.trim(), priority: q.value.trim() ? priority.value || "0" : "", ...Object.fromEntries(amounts.map((input) => [input.name, Number(input.value) ? input.value : ""])), quota: Number(quota.value || 1) === 1 ? "" : quota.value, pause: pause.value.trim().replace(/^backlog:/, ""), all_hours: hours.checked ? "true" : "" };
  }

  async function ask() {
    if (isAsking) return;
    const wanted = values();
    if (!Object.values(wanted).some(Boolean)) return put(words, "What if … say what would be different.");
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
    const lines = [[wanted.pause ? "all the rest" : "all of it", told.all], ...(told.meant ? [["these jobs", told.meant]] : []), ...Object.entries(told.backlogs).map(([name, end]) => [`backlog:${name}`, end])];
    result.hidden = false;
    rows(body, lines, ([name]) => name, () => h("tr"), (tr, line) => cells(tr, LABELS, endCells(line)));
    put(notes, told.notes.length ? `Not counted: ${told.notes.join(", ")}.` : "");
    if (told.meant && session.mayAct) put(after, h("button", { type: "button", onclick: () => bulk("priority", wanted.q, Number(wanted.priority)) }, `Set the priority ${wanted.priority} …`));
    else if (told.meant) put(after, command(`conductor priority ${wanted.priority} -- ${wanted.q}`));
    else if (wanted.pause) put(after, command(`conductor pause backlog:${wanted.pause}`));
  }

  if (Object.values(values()).some(Boolean)) ask();
  return { async refresh() {} };
}

function endCells([name, end]) {
  const when = (at, never) => (at === null ? "never" : [moment(at), never ? h("span", { class: "alarm" }, ` ✕ ${many(never, "job")} can never run`) : null]);
  const far = end.ends_at === null || end.then_ends_at === null ? null : end.ends_at - end.then_ends_at;
  const words = far === null ? "" : Math.abs(far) < 1 ? "the same" : `${duration(Math.abs(far))} ${far > 0 ? "sooner" : "later"}`;
  return [name, [end.jobs.toLocaleString("en"), { class: "number" }], [when(end.ends_at, end.never), {}], [when(end.then_ends_at, end.then_never), {}], h("strong", {}, words)];
}

// Schedules: what is to run when, how it stands, what came of it.

import { fetched } from "../api.js";
import { cells, h, head, put, rows } from "../dom.js";
import { many, moment } from "../format.js";
import { word } from "../actions.js";
import { session } from "../session.js";

export const title = "Schedules";

const LABELS = ["Schedule", "State", "Next", "When", "Runs", "Last", "Fired"];
const ACTS = [...LABELS, "Actions"];
const SHAPES = { ready: "✓", paused: "⊘", firing: "●", waits: "◔", "not seen": "○" };

export function show(main) {
  const words = h("h1");
  const body = h("tbody");
  const table = h("div", { class: "scroll", tabindex: 0 }, h("table", { class: "stack" }, head(...(session.mayAct ? ACTS : LABELS)), body));
  main.append(words, table);
  return {
    async refresh() {
      const { schedules } = await fetched("/api/v1/schedules");
      put(words, schedules.length ? `${many(schedules.length, "schedule")}.` : "No schedules: conductor.toml has no [schedules.NAME].");
      table.hidden = schedules.length === 0;
      rows(body, schedules, (row) => row.name, () => h("tr"), (tr, row) => cells(tr, ACTS, [...scheduleCells(row), ...(session.mayAct ? [[actions(row), {}]] : [])]));
    },
  };
}

function scheduleCells(row) {
  const state = row.fault ? h("span", { class: "alarm" }, `✕ cannot fire: ${row.fault}`) : `${SHAPES[row.state]} ${row.state}`;
  const next = row.state === "paused" ? "" : moment(row.next_at);
  const counts = [many(row.fired, "time"), row.failed ? `, ${row.failed} failed` : "", row.skipped ? `, ${row.skipped} skipped` : ""].join("");
  return [h("strong", {}, row.name), state, next, `${row.when} (${row.zone})`, h("code", {}, row.run), last(row.last), counts];
}

function actions({ name, state, run }) {
  const at = `/api/v1/schedules/${encodeURIComponent(name)}`;
  const button = (verb, words, detail) => h("button", { type: "button", "aria-label": `${words} ${name}`, onclick: () => word(`${at}/${verb}`, `${words} ${name}?`, words, detail) }, words);
  const stop = state === "paused" ? button("resume", "Resume", "It fires again at its next time; what was left out is not made up for.") : button("pause", "Pause", "Its fires are left out until it is resumed, and counted.");
  return h("div", { class: "actions" }, button("run", "Run now", run), stop);
}

function last(end) {
  if (!end) return "";
  if (end.outcome === "failed") return h("span", { class: "alarm" }, `✕ failed: ${end.words}`);
  return end.jobs ? `${many(end.jobs, "job")} dispatched` : end.words;
}

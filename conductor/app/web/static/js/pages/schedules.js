// Schedules: what is to run when, how it stands, what came of it.

import { fetched } from "../api.js";
import { cells, h, head, put, rows } from "../dom.js";
import { many, moment } from "../format.js";

export const title = "Schedules";

const LABELS = ["Schedule", "State", "Next", "When", "Runs", "Last", "Fired"];
const SHAPES = { ready: "✓", paused: "⊘", firing: "●", waits: "◔", "not seen": "○" };

export function show(main) {
  const words = h("h1");
  const body = h("tbody");
  const table = h("div", { class: "scroll", tabindex: 0 }, h("table", { class: "stack" }, head(...LABELS), body));
  main.append(words, table);
  return {
    async refresh() {
      const { schedules } = await fetched("/api/v1/schedules");
      put(words, schedules.length ? `${many(schedules.length, "schedule")}.` : "No schedules: conductor.toml has no [schedules.NAME].");
      table.hidden = schedules.length === 0;
      rows(body, schedules, (row) => row.name, () => h("tr"), (tr, row) => cells(tr, LABELS, scheduleCells(row)));
    },
  };
}

function scheduleCells(row) {
  const state = row.fault ? h("span", { class: "alarm" }, `✕ cannot fire: ${row.fault}`) : `${SHAPES[row.standing]} ${row.standing}`;
  const next = row.standing === "paused" ? "" : moment(row.next_at);
  const counts = [many(row.fired, "time"), row.failed ? `, ${row.failed} failed` : "", row.skipped ? `, ${row.skipped} skipped` : ""].join("");
  return [h("strong", {}, row.name), state, next, `${row.when} (${row.zone})`, h("code", {}, row.run), last(row.last), counts];
}

function last(end) {
  if (!end) return "";
  if (end.outcome === "failed") return h("span", { class: "alarm" }, `✕ failed: ${end.words}`);
  return end.jobs ? `${many(end.jobs, "job")} dispatched` : end.words;
}

// The columns of the list of jobs: which there are, and which one wants to see. The choice is kept in this browser.

import { h } from "../dom.js";
import { clock, duration, mib, now } from "../format.js";
import { idOf, stateMark } from "./parts.js";

const KEPT = "conductor.columns";
const ran = (row) => (row.state === "running" ? `${duration(now() - row.started_at)} so far` : row.seconds === null ? "" : duration(row.seconds));
const amount = (used, asked) => (used ? mib(used) : asked ? `asks ${mib(asked)}` : "");
const at = (instant) => (instant ? clock(instant) : "");
const job = (row) => [h("a", { href: `/jobs/${row.job_id}`, tabindex: -1 }, row.file ? `${row.task} · ${row.file}` : row.task), " ", idOf(row.job_id)];

// Name → label, width, content. `always`: what a row is about; `first`: shown until somebody chooses.
const COLUMNS = {
  state: { label: "State", width: "12ch", always: true, of: (row) => stateMark(row.state) },
  job: { label: "Job", width: "minmax(0, 1fr)", always: true, of: job },
  cause: { label: "Cause", width: "18ch", first: true, of: (row) => row.cause, title: (row) => row.message },
  message: { label: "What it said", width: "minmax(0, 1fr)", of: (row) => row.message || row.note },
  where: { label: "Where", width: "14ch", first: true, of: (row) => [row.node, row.device].filter(Boolean).join("/") },
  backlog: { label: "Backlog", width: "10ch", first: true, of: (row) => row.backlog },
  workflow: { label: "Workflow", width: "12ch", of: (row) => row.workflow },
  tries: { label: "Tries", width: "6ch", isNumber: true, of: (row) => row.attempts || "" },
  priority: { label: "Priority", width: "8ch", isNumber: true, of: (row) => row.priority || "" },
  began: { label: "Began", width: "11ch", isNumber: true, of: (row) => at(row.started_at) },
  ended: { label: "Ended", width: "11ch", isNumber: true, first: true, of: (row) => at(row.ended_at) },
  ran: { label: "Ran", width: "13ch", isNumber: true, first: true, of: ran },
  vram: { label: "VRAM", width: "13ch", isNumber: true, of: (row) => amount(row.used_vram_mib, row.asked_vram_mib) },
  ram: { label: "RAM", width: "13ch", isNumber: true, of: (row) => amount(row.used_ram_mib, row.asked_ram_mib) },
};
const NAMES = Object.keys(COLUMNS);

function chosen() {
  const kept = localStorage.getItem(KEPT)?.split(" ");
  return NAMES.filter((name) => COLUMNS[name].always || (kept ? kept.includes(name) : COLUMNS[name].first));
}

const cell = (name, props, ...content) => h("span", { class: [COLUMNS[name].always ? "" : "wide", COLUMNS[name].isNumber ? "number" : ""].join(" ").trim() || null, ...props }, ...content);

export const heads = () => [h("span", { role: "columnheader" }, h("span", { class: "skip" }, "Chosen")), ...chosen().map((name) => cell(name, { role: "columnheader" }, COLUMNS[name].label))];

export const cellsOf = (row, isChosen) => [
  h("span", { role: "gridcell", "aria-label": isChosen ? "chosen" : "not chosen" }, isChosen ? "☑" : ""),
  ...chosen().map((name) => cell(name, { role: "gridcell", title: COLUMNS[name].title?.(row) || null }, COLUMNS[name].of(row))),
];

/** The widths, as the style of the list wants them. */
export const widths = () => `24px ${chosen().map((name) => COLUMNS[name].width).join(" ")}`;

/** Folded until somebody wants it. `changed`: the list is to be drawn anew. */
export function chooser(changed) {
  const has = chosen();
  const box = (name) => h("label", {}, h("input", { type: "checkbox", name, checked: has.includes(name), onchange: choose }), " ", COLUMNS[name].label);
  const all = NAMES.filter((name) => !COLUMNS[name].always);
  const fold = h("details", { class: "columns wide" }, h("summary", {}, "Columns"), h("div", { role: "group", "aria-label": "Columns" }, all.map(box)));
  function choose() {
    localStorage.setItem(KEPT, [...fold.querySelectorAll("input:checked")].map((input) => input.name).join(" "));
    changed();
  }
  return fold;
}

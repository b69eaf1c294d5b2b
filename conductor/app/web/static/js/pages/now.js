// Now: one sentence, what waits for a person, how far each backlog is, the gates, what waits, what runs.

import { cells, h, head, put, rows } from "../dom.js";
import { ago, amount, duration, many, mib, moment, now, percent, STATES } from "../format.js";
import { fetched } from "../main.js";
import { filtered, jobName, stateMark } from "./parts.js";

export const title = "Now";

const GATES = ["Gate", "What waits", "Value", "Shut since", "Opens", "Cost"];
const WAITING = ["Jobs", "What", "Why", "Since"];
const RUNNING = ["Job", "Where", "Asked → used", "Since", "Usual", "Says"];

export function show(main) {
  const parts = {
    words: h("h1"),
    aside: h("p", { class: "grey" }),
    todo: h("ul", { class: "todo" }),
    backlogs: h("div"),
    gates: section("Gates", GATES),
    waiting: section("Waiting", WAITING),
    running: section("Running", RUNNING),
    notes: h("ul", { class: "grey" }),
  };
  main.append(parts.words, parts.aside, parts.todo, parts.backlogs, parts.gates.all, parts.waiting.all, parts.running.all, parts.notes);
  let told = null;
  const clock = setInterval(() => told && !document.hidden && fill(parts, told), 5000);
  return {
    async refresh() {
      told = await fetched("/api/v1/now");
      fill(parts, told);
    },
    stop: () => clearInterval(clock),
  };
}

function section(name, labels) {
  const body = h("tbody");
  const table = h("table", { class: "stack" }, head(...labels), body);
  return { body, all: h("section", { hidden: true }, h("h2", {}, name), h("div", { class: "scroll", tabindex: 0 }, table)) };
}

function fill(parts, told) {
  const { headline } = told;
  put(parts.words, headline.words);
  parts.words.classList.toggle("alarm", headline.tone === "act");
  put(parts.aside, told.has_leader || !told.as_of ? "" : `The figures below are as of ${moment(told.as_of)}.`);
  put(parts.todo, headline.todo.map(todo));
  rows(parts.backlogs, told.backlogs, (row) => row.name, () => h("div", { class: "backlog" }), backlog);
  fillSection(parts.gates, told.gates, (row) => `${row.gate} ${row.where} ${row.unit}`, gate, GATES);
  fillSection(parts.waiting, told.waiting, (row) => `${row.backlog} ${row.job_id} ${row.task}`, waiting, WAITING);
  fillSection(parts.running, told.running, (row) => `${row.job_id} ${row.attempt}`, running, RUNNING);
  put(parts.notes, told.notes.map((words) => h("li", {}, words)));
}

function fillSection(section, values, key, cellsOf, labels) {
  section.all.hidden = values.length === 0;
  rows(section.body, values, key, () => h("tr", { class: "fresh" }), (tr, row) => cells(tr, labels, cellsOf(row)));
}

function todo(item) {
  const words = item.filter ? filtered(item.filter, item.words) : item.words;
  return h("li", {}, words, item.command ? [" ", h("code", { class: "grey" }, item.command)] : null);
}

function backlog(element, row) {
  const part = (state, name) => {
    const count = row.states[state] ?? 0;
    const style = { width: `${(100 * count) / Math.max(1, row.known)}%` };
    return count ? h("span", { class: name, style }) : null;
  };
  const counts = Object.entries(STATES)
    .filter(([state]) => row.states[state])
    .map(([state, [shape, word]]) => [filtered(`backlog:${row.name} state:${state}`, `${shape} ${row.states[state].toLocaleString("en")} ${word}`), " "]);
  put(
    element,
    filtered(`backlog:${row.name}`, row.name),
    h("div", { class: "meter", role: "img", "aria-label": `${row.done} of ${row.known} done` }, part("done", "done"), part("running", "running"), part("dead", "dead"), part("review", "review")),
    h("span", { class: "number" }, percent(row.known ? row.done / row.known : 0)),
    h("span", { class: "words" }, counts),
  );
}

function gate(row) {
  const need = row.need ? ` need ${amount(row.need, row.unit)}` : "";
  const waits = row.waiting ? [many(row.waiting, "job"), need] : "";
  const state = row.is_open ? "✓ open" : row.is_never ? h("span", { class: "alarm" }, "✕ never here") : ["◌ ", ago(row.shut_since)];
  const holders = row.holders.length ? [" held by ", row.holders.slice(0, 3).map((id) => [h("a", { href: `/jobs/${id}` }, id.slice(0, 8)), " "])] : "";
  const why = row.words ? h("details", {}, h("summary", {}, row.opens_at ? moment(row.opens_at) : "why"), h("p", {}, row.words, holders)) : "";
  return [
    [[h("strong", {}, row.gate), " ", row.where], {}],
    waits,
    [row.value, { class: "nowrap" }],
    [state, { class: "nowrap" }],
    why,
    [row.lost_s ? duration(row.lost_s) : "", { class: "number" }],
  ];
}

function waiting(row) {
  const never = row.is_never ? h("strong", { class: "alarm" }, "✕ can never run: ") : null;
  const [first, ...more] = row.words;
  const rest = more.length ? h("details", {}, h("summary", {}, many(more.length, "more answer")), more.map((words) => h("p", {}, words))) : null;
  const name = row.job_id ? jobName({ id: row.job_id, task: row.task, about: row.about }) : row.task;
  return [[row.jobs.toLocaleString("en"), { class: "number" }], name, [never, first ?? "its turn comes", rest], [ago(row.since || null), { class: "nowrap" }]];
}

function running(row) {
  const used = row.usage?.vram_mib ?? null;
  const asked = row.asked_vram_mib
    ? `${mib(row.asked_vram_mib)} → ${used === null ? "…" : mib(used)} VRAM`
    : row.asked_ram_mib
      ? `${mib(row.asked_ram_mib)} → ${row.usage?.rss_mib === undefined || row.usage?.rss_mib === null ? "…" : mib(row.usage.rss_mib)} RAM`
      : "";
  const far = row.progress === null ? "" : `${percent(row.progress)} `;
  const trouble = row.trouble ? h("span", { class: "alarm" }, `${row.trouble} `) : null;
  return [
    [[stateMark(row.state), " ", jobName({ id: row.job_id, task: row.task, about: row.about })], {}],
    [row.where, { class: "nowrap" }],
    [asked, { class: "nowrap" }],
    [duration(now() - row.since), { class: "nowrap" }],
    [row.expected_s ? duration(row.expected_s) : "", { class: "nowrap" }],
    [[trouble, far, row.note], {}],
  ];
}

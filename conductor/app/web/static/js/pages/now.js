// Now: one sentence, what waits for a person, how far each backlog is, the gates, what waits, what runs.

import { fetched } from "../api.js";
import { cells, h, head, put, rows } from "../dom.js";
import { ago, amount, clock, duration, many, mib, moment, now, percent, STATES } from "../format.js";
import { word } from "../actions.js";
import { session } from "../session.js";
import { bars, command, filtered, jobName, prose, stateMark, titled } from "./parts.js";

export const title = "Now";

// Of who holds a gate, and of the first behind it: the server names so many.
const MOST_NAMED = 4;
// A closed gate → what would give it more room, as the What-if page is asked.
const MORE = {
  vram: ["gpus=1", "What if there were one more GPU?"],
  scratch: ["scratch_gb=500", "What if there were 500 GB more?"],
  rate: ["quota=2", "What if the quota were twice that?"],
  ...Object.fromEntries(["ram", "cpu", "lane"].map((gate) => [gate, ["hosts=1", "What if there were one more host?"]])),
};
const WAITING = ["Jobs", "What", "Why", "Since"];
const RUNNING = ["Job", "Where", "Asked → used", "Since", "Usual", "Says"];

export function show(main) {
  const parts = {
    words: h("h1"),
    aside: h("p", { class: "grey" }),
    todo: h("ul", { class: "todo" }),
    backlogs: h("div"),
    proved: h("p", { class: "grey" }),
    gates: h("section", { hidden: true }, h("h2", {}, "Gates"), h("div", { class: "tiles" })),
    waiting: section("Waiting", WAITING),
    running: section("Running", RUNNING),
    notes: h("ul", { class: "grey" }),
  };
  main.append(parts.words, parts.aside, parts.todo, parts.backlogs, parts.proved, parts.gates, parts.waiting.all, parts.running.all, parts.notes);
  let told = null;
  const timer = setInterval(() => told && !document.hidden && fill(parts, told), 5000);
  return {
    async refresh() {
      told = await fetched("/api/v1/now");
      fill(parts, told);
    },
    stop: () => clearInterval(timer),
  };
}

function section(name, labels) {
  const body = h("tbody");
  const table = h("table", { class: "stack" }, head(...labels), body);
  return { body, all: h("section", { hidden: true }, h("h2", {}, name), h("div", { class: "scroll", tabindex: 0 }, table)) };
}

function fill(parts, told) {
  const { headline } = told;
  put(parts.words, titled(headline.words));
  parts.words.classList.toggle("alarm", headline.tone === "act");
  put(parts.aside, told.has_leader || !told.as_of ? "" : `The figures below are as of ${moment(told.as_of)}.`);
  put(parts.todo, headline.todo.map(todo));
  rows(parts.backlogs, told.backlogs, (row) => row.name, () => h("div", { class: "backlog" }), (element, row) => backlog(element, row, told.waiting));
  put(parts.proved, told.proved);
  parts.gates.hidden = told.gates.length === 0;
  const costs = costOf(told);
  rows(parts.gates.lastElementChild, told.gates, gateKey, () => h("article", { class: "tile" }), (element, row) => tile(element, row, costs.get(gateKey(row)), told));
  waitingSection(parts.waiting, told.waiting);
  fillSection(parts.running, told.running, (row) => `${row.job_id} ${row.attempt}`, running, RUNNING);
  put(parts.notes, told.notes.map((words) => h("li", {}, prose(words))));
}

function fillSection(section, values, key, cellsOf, labels) {
  section.all.hidden = values.length === 0;
  rows(section.body, values, key, () => h("tr", { class: "fresh" }), (tr, row) => cells(tr, labels, cellsOf(row)));
}

function todo(item) {
  const words = item.filter ? filtered(item.filter, item.words) : item.words;
  return h("li", {}, words, item.command ? [" ", command(item.command)] : null);
}

const STAGES = ["waiting", "admitted", "running", "done"];
const FALLEN = ["dead", "review", "cancelled"];

/** From planned to verified: how many are where, what fell out, and when it is through. */
function backlog(element, row, waiting) {
  const part = (state, name) => {
    const count = row.states[state] ?? 0;
    const style = { width: `${(100 * count) / Math.max(1, row.known)}%` };
    return count ? h("span", { class: name, style }) : null;
  };
  const stage = (state) => {
    const [shape, word] = STATES[state];
    const words = `${shape} ${(row.states[state] ?? 0).toLocaleString("en")} ${word}`;
    return filtered(`backlog:${row.name} state:${state}`, words);
  };
  const fallen = FALLEN.filter((state) => row.states[state]);
  const first = row.first_ends_at && row.end.at ? h("span", { class: "grey" }, ` (said first: ${clock(row.first_ends_at)})`) : null;
  const goesOn = [
    row.is_paused ? [h("strong", {}, "⊘ paused"), ": nothing of it is started"] : null,
    row.end.at ? [moment(row.end.at), first] : row.end.words,
    row.per_hour ? `${row.per_hour.toLocaleString("en")} an hour` : null,
    row.is_paused ? null : heldBy(row, waiting),
    h("a", { href: `/what-if?q=${encodeURIComponent(`backlog:${row.name}`)}&priority=10` }, "what if it went first?"),
    row.is_paused ? null : h("a", { href: `/what-if?pause=${encodeURIComponent(row.name)}` }, "what if it were paused?"),
  ].filter(Boolean);
  put(
    element,
    filtered(`backlog:${row.name}`, row.name),
    h("div", { class: "meter", role: "img", "aria-label": `${row.done} of ${row.known} done` }, part("done", "done"), part("running", "running"), part("dead", "dead"), part("review", "review")),
    h("span", { class: "number" }, percent(row.known ? row.done / row.known : 0)),
    h("ol", { class: "funnel" }, h("li", {}, filtered(`backlog:${row.name}`, `${row.known.toLocaleString("en")} planned`)), STAGES.map((state) => h("li", {}, stage(state)))),
    h("p", { class: "words" }, fallen.length ? [fallen.map((state) => [stage(state), " "]), "· "] : null, row.left ? goesOn.map((words, i) => [i ? " · " : "", words]) : "nothing left", switchOf(row)),
  );
}

/** What most of it waits for, as long as that is known. */
function heldBy({ name }, waiting) {
  const most = waiting.filter((row) => row.backlog === name && row.gate && !row.is_never).sort((a, b) => b.jobs - a.jobs)[0];
  return most ? `held by ${most.gate}${most.starts_at ? `, opens ${clock(most.starts_at)}` : ""}` : null;
}

function switchOf({ name, is_paused: isPaused, left }) {
  if (!session.mayAct || !(left || isPaused)) return null;
  const [verb, words, detail] = isPaused ? ["resume", "Resume", "It is fed again at once."] : ["pause", "Pause", "Nothing of it is started until it is resumed. What runs of it is finished."];
  const act = () => word(`/api/v1/backlogs/${encodeURIComponent(name)}/${verb}`, `${words} the backlog ${name}?`, words, detail);
  return [" ", h("button", { type: "button", class: "small", "aria-label": `${words} ${name}`, onclick: act }, words)];
}

const gateKey = (row) => `${row.gate} ${row.where} ${row.unit}`;

/** A gate costs once, however many places it has: the first tile of it says what. */
function costOf({ gates, tonight }) {
  const costs = new Map();
  const told = new Set();
  for (const row of gates) {
    const seconds = tonight ? tonight.lost_s[row.gate] : row.lost_s;
    if (!told.has(row.gate) && seconds >= 1) costs.set(gateKey(row), `${row.where ? `All of ${row.gate}` : "It"} cost ${duration(seconds)} ${tonight ? `since ${clock(tonight.since)}` : "so far"}`);
    told.add(row.gate);
  }
  return costs;
}

function tile(element, row, cost, { last_hour: hours, subjects }) {
  element.className = row.is_open ? "tile" : row.is_never ? "tile never" : "tile closed";
  const since = row.closed_since ? ` for ${ago(row.closed_since)}, since ${clock(row.closed_since)}` : "";
  const state = row.is_open ? h("span", { class: "good" }, "✓ open") : row.is_never ? h("strong", { class: "alarm" }, "✕ never opens here") : [h("strong", {}, "◌ closed"), since];
  const behind = row.waiting ? h("p", {}, `${many(row.waiting, "job")} wait${row.waiting === 1 ? "s" : ""}`, row.need ? row.limit ? `, the largest needs ${amount(row.need, row.unit)}` : "" : "") : null;
  const opens = row.is_open ? null : h("p", {}, prose(row.words || "Nobody can say what opens it."), row.opens_at ? h("strong", { class: "nowrap" }, ` Opens ${moment(row.opens_at)}.`) : null);
  const link = (id) => h("li", {}, h("a", { href: `/jobs/${id}` }, subjects[id] ?? id.slice(0, 8)));
  const some = (name, ids) => (ids.length ? h("details", {}, h("summary", {}, `${name}: ${subjects[ids[0]] ?? ids[0].slice(0, 8)}`, ids.length > 1 ? ` and ${ids.length - 1} more` : ""), h("ul", {}, ids.slice(0, MOST_NAMED).map(link), ids.length > MOST_NAMED ? h("li", {}, "…") : null)) : null);
  const held = some("Held by", row.holders);
  const heads = some("First behind it", row.heads);
  const hour = hours[row.gate];
  const past = hour ? h("p", { class: "hour grey" }, "The last hour ", bars(hour, `when ${row.gate} was closed in the last hour`)) : null;
  put(
    element,
    h("h3", {}, row.gate, " ", h("span", { class: "grey" }, row.where)),
    h("p", {}, state),
    row.limit ? h("div", { class: "meter", role: "img", "aria-label": row.value }, h("span", { class: "running", style: { width: `${100 * Math.min(1, Math.max(0, 1 - (row.free ?? 0) / row.limit))}%` } })) : null,
    h("p", { class: "nowrap" }, row.value),
    behind, opens, held, heads, past,
    cost ? h("p", { class: "grey" }, `${cost}.`) : null,
    row.is_open || !MORE[row.gate] ? null : h("p", {}, h("a", { href: `/what-if?${MORE[row.gate][0]}` }, MORE[row.gate][1])),
  );
}

/** By the gate that holds them; what can never run stands first, in red. */
function waitingSection(section, values) {
  const groups = new Map();
  for (const row of values) {
    const name = row.is_never ? "" : row.gate ?? "turn";
    groups.set(name, [...(groups.get(name) ?? []), row]);
  }
  const lines = [...groups].flatMap(([name, rows]) => [{ name, rows }, ...rows]);
  section.all.hidden = values.length === 0;
  rows(section.body, lines, (line) => (line.rows ? `group ${line.name}` : `${line.backlog} ${line.job_id} ${line.task}`), (line) => h("tr", { class: line.rows ? "group" : "fresh" }), (tr, line) => (line.rows ? groupHead(tr, line) : cells(tr, WAITING, waiting(line))));
}

function groupHead(tr, { name, rows: inside }) {
  const jobs = many(inside.reduce((sum, row) => sum + row.jobs, 0), "job");
  const words = name === "" ? h("strong", { class: "alarm" }, `✕ Can never run here: ${jobs}`) : h("strong", {}, name === "turn" ? `○ Their turn comes: ${jobs}` : `◌ ${name}: ${jobs}`);
  put(tr, h("th", { colspan: WAITING.length, scope: "rowgroup" }, words));
}

function waiting(row) {
  const [first, ...more] = row.words;
  const rest = more.length ? h("details", {}, h("summary", {}, many(more.length, "more answer")), more.map((words) => h("p", {}, prose(words)))) : null;
  const name = row.job_id ? jobName({ id: row.job_id, task: row.task, about: row.about }) : row.task;
  const count = filtered(`state:waiting backlog:${row.backlog} task:${row.task}`, row.jobs.toLocaleString("en"));
  return [[count, { class: "number" }], name, [[prose(first ?? "its turn comes"), rest], {}], [ago(row.since || null), { class: "nowrap" }]];
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

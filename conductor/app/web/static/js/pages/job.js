// One job: its life as a bar, why it waits, its attempts, its log, what it read and wrote.

import { cells, h, head, put, rows } from "../dom.js";
import { amount, clock, duration, mib, moment, size } from "../format.js";
import { apart } from "../apart.js";
import { fetched, get } from "../api.js";
import { jobLog } from "../job_log.js";
import { session } from "../session.js";
import { OF_ONE, one } from "../actions.js";
import { amountCells, fillLife, withThoseBefore } from "./job_life.js";
import { idOf, prose, stateMark } from "./parts.js";

export const title = "Job";

const GATES = ["Gate", "Where", "Needs", "Has", "Of", "Closed since", "Opens", "Cost"];
const ATTEMPTS = ["Attempt", "Outcome", "Where", "Began", "Ran", "Used"];
const AMOUNTS = ["Of", ["Asked"], ["Learned"], ["Used"]];
const MADE = ["File", ["Size"], "sha256"];
const READS = ["File", ["Size"], "Made by"];
const BESIDE = ["Job", "Device", "From", "To"];
const MOST_SHOWN = 12;
// A moment behind the beginning: a browser shows a picture of it then, and not a black box.
const PLAYERS = [
  [/\.(png|jpe?g|webp|gif)$/i, (src, name) => h("img", { src, alt: name, loading: "lazy" })],
  [/\.(mp4|webm|mov|m4v|mkv)$/i, (src, name) => h("video", { src: `${src}#t=0.1`, controls: true, preload: "metadata", "aria-label": name })],
  [/\.(mp3|wav|flac|ogg|m4a)$/i, (src, name) => h("audio", { src, controls: true, preload: "none", "aria-label": name })],
];

/** `beside`: in a part of another page, whose title and address stay its own. */
export function show(main, id = decodeURIComponent(location.pathname.slice("/jobs/".length)), beside = false) {
  const part = {
    words: h(beside ? "h2" : "h1"), state: h("p"), life: h("div", { class: "life", role: "img" }), lived: h("p", { class: "grey" }), actions: h("div", { class: "actions" }),
    why: h("section"), gates: table(GATES), facts: h("dl", { class: "facts" }), previews: h("div", { class: "previews" }),
    made: titled("What it made", MADE), tried: titled("Attempts", ATTEMPTS), amounts: titled("Asked and used", AMOUNTS),
    chain: h("section", {}, h("h2", {}, "Its chain"), h("ol", { class: "chain" })), read: titled("What it read", READS), beside: titled("Beside it", BESIDE),
    log: h("pre", { tabindex: 0, role: "region", "aria-label": "Log" }), receipt: folded("Its receipts"), line: folded("Its line in the manifest"),
  };
  part.made.insertBefore(part.previews, part.made.children[1]);
  main.append(
    part.words, part.state, part.life, part.lived, part.actions, part.why, part.gates, part.made, part.tried, part.amounts,
    h("section", {}, h("h2", {}, "Log"), part.log), part.chain, part.read, part.beside, h("h2", {}, "Facts"), part.facts, part.receipt, part.line,
  );
  let isFirst = true;
  const at = `/api/v1/jobs/${encodeURIComponent(id)}`;
  const source = (path) => (known.includes(path) ? `${at}/artefacts/${path.split("/").map(encodeURIComponent).join("/")}` : null);
  const log = jobLog(part.log, id);
  const tellLog = apart((state, attempts) => log.tell(state, attempts));
  let known = []; // names of the files that may be fetched
  let knownOf = -1; // as of so many receipts
  const tellFiles = apart(async (told) => {
    if (knownOf === told.receipts.length) return;
    ({ files: known } = await get(`${at}/artefacts`));
    knownOf = told.receipts.length;
    fill(part, told, source);
  });
  return {
    async refresh() {
      const told = await fetched(at);
      fill(part, told, source);
      if (!beside) document.title = `${part.words.textContent} · Conductor`;
      tellFiles(told);
      tellLog(told.job.state, told.receipts.length);
      if (isFirst && new URLSearchParams(location.search).get("at") === "log") part.log.scrollIntoView();
      isFirst = false;
    },
    stop: () => log.stop(),
  };
}

const folded = (words) => h("details", {}, h("summary", {}, words), h("pre"));

/** A table that goes with its title where there is nothing in it. */
function titled(name, labels) {
  return h("section", { hidden: true }, h("h2", {}, name), table(labels));
}

function table(labels) {
  return h("div", { class: "scroll", tabindex: 0 }, h("table", { class: "stack" }, head(...labels), h("tbody")));
}

function fillTable(element, labels, values, key, cellsOf) {
  element.hidden = values.length === 0;
  rows(element.querySelector("tbody"), values, key, () => h("tr"), (tr, value) => cells(tr, labels, cellsOf(value)));
}

function fill(part, told, source) {
  const { job } = told;
  const about = told.file ? `${told.task} · ${told.file}` : told.task;
  put(part.words, about);
  put(part.state, stateMark(job.state), " ", idOf(job.job_id), job.cause ? h("span", { class: "alarm" }, ` ${job.cause}: ${job.message}`) : null);
  fillLife(part.life, part.lived, withThoseBefore(told.life, told.comes_after, told.now));
  const verbs = session.mayAct ? OF_ONE[job.state] ?? [] : [];
  put(part.actions, verbs.map((verb) => h("button", { type: "button", onclick: () => one(verb, job.job_id, about) }, verb)));
  const { waiting } = told;
  put(part.why, waiting ? h("p", {}, prose(waiting.sentence)) : null, [...told.notes, ...told.raised].map((words) => h("p", { class: "grey" }, prose(words))), Object.entries(told.waits_for).map(([other, state]) => h("p", {}, "Waits for ", h("a", { href: `/jobs/${other}` }, told.subjects[other] || other.slice(0, 8)), " ", idOf(other), ` (${state})`)));
  fillTable(part.gates, GATES, (waiting?.gates ?? []).filter((gate) => !gate.is_open), (gate) => `${gate.gate} ${gate.where} ${gate.reason}`, gate);
  fillTable(part.tried, ATTEMPTS, told.receipts, (receipt) => `${receipt.attempt} ${receipt.token} ${receipt.outcome}`, (receipt) => attempt(receipt, told.traces));
  fillTable(part.amounts, AMOUNTS, told.amounts, (row) => row.what, amountCells);
  fillMade(part, told.receipts.flatMap((receipt) => (receipt.outcome === "ok" || receipt.outcome === "review" ? [receipt] : [])).at(-1)?.outputs ?? [], source);
  fillChain(part.chain, told, about);
  fillTable(part.read, READS, told.read, (file) => file.path, (file) => readCells(file, told, source));
  fillTable(part.beside, BESIDE, told.beside, (each) => `${each.job_id} ${each.started_at}`, besideCells);
  facts(part.facts, told);
  part.receipt.hidden = told.receipts.length === 0;
  put(part.receipt.lastElementChild, told.receipts.map((receipt) => JSON.stringify(receipt, null, 1)).join("\n"));
  put(part.line.lastElementChild, typeof job.line === "string" ? job.line : JSON.stringify(job.line, null, 1));
}

function gate(row) {
  const opens = row.is_never ? "never" : row.reopens_at === null ? "" : moment(row.reopens_at);
  const number = { class: "number" };
  return [h("span", { title: row.words }, row.gate), row.where, [amount(row.need, row.unit), number], [amount(row.have, row.unit), number], [amount(row.limit, row.unit), number], row.closed_since === null ? "" : clock(row.closed_since), opens, [row.lost_s ? duration(row.lost_s) : "", number]];
}

const OUTCOMES = { ok: ["✓ done", "good"], review: ["◇ shown for a verdict", ""], verdict: ["◇ a verdict", ""], superseded: ["⊘ another came first", ""] };

function attempt(receipt, traces) {
  const [words, tone] = OUTCOMES[receipt.outcome] ?? [`✕ ${receipt.cause ?? receipt.outcome}`, "alarm"];
  const trace = receipt.outcome === "failed" ? traces.find((each) => each.attempt === receipt.attempt)?.text : "";
  const said = receipt.message || (trace ? "traceback" : "");
  const folded = said ? h("details", {}, h("summary", {}, said), h("pre", {}, trace || receipt.message)) : null;
  const used = [receipt.usage?.vram_mib ? `${mib(receipt.usage.vram_mib)} VRAM` : "", receipt.usage?.rss_mib ? `${mib(receipt.usage.rss_mib)} RAM` : ""].filter(Boolean).join(", ");
  return [String(receipt.attempt), [[h("span", { class: tone }, words), folded], {}], [receipt.node, ...(receipt.devices ?? [])].filter(Boolean).join("/"), clock(receipt.started_at), duration(receipt.ended_at - receipt.started_at), used];
}

function facts(element, told) {
  const pairs = [
    ["Workflow", told.workflow],
    ["Backlog", told.job.job_class?.backlog],
    ["Manifest", told.manifest],
    ["Dispatched", moment(told.job.since)],
    ["Tried", String(told.tries)],
    ["Priority", String(told.job.job_class?.priority ?? 0)],
    ["Code", told.receipts.at(-1)?.code_version],
  ];
  put(element, pairs.filter(([, value]) => value).map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));
}

/** The files of its last good body: pictures and players of the first few, and all by name, size and hash. */
function fillMade(part, outputs, source) {
  part.made.hidden = outputs.length === 0;
  const shown = outputs.filter(({ path }) => source(path) && PLAYERS.some(([ending]) => ending.test(path))).slice(0, MOST_SHOWN);
  rows(part.previews, shown, ({ path }) => path, ({ path }) => figure(source(path), path), () => {});
  part.previews.hidden = shown.length === 0;
  const link = (path) => (source(path) ? h("a", { href: source(path), download: "" }, path) : path);
  rows(part.made.querySelector("tbody"), outputs, ({ path }) => path, () => h("tr"), (tr, file) => cells(tr, MADE, [link(file.path), [size(file.bytes), { class: "number" }], h("code", {}, file.sha256.slice(0, 12))]));
}

function figure(src, name) {
  const player = PLAYERS.find(([ending]) => ending.test(name))?.[1](src, name);
  return h("figure", {}, player ?? null, h("figcaption", {}, name.split(/[/:]/).at(-1)));
}

/** What it comes after, each with its state; itself; and who waits for it. */
function fillChain(section, told, about) {
  const { comes_after: before, comes_before: behind, waiting_behind: count, job } = told;
  section.hidden = before.length === 0 && behind.length === 0;
  const one = (id, state, words) => h("li", {}, stateMark(state), " ", id === job.job_id ? h("strong", {}, words) : h("a", { href: `/jobs/${id}` }, words), " ", idOf(id));
  const other = (each) => one(each.job_id, each.state, each.subject || each.job_id.slice(0, 8));
  const more = count > behind.length ? h("li", { class: "grey" }, `… ${(count - behind.length).toLocaleString("en")} more wait for it`) : null;
  put(section.lastElementChild, before.map(other), one(job.job_id, job.state, about), behind.map(other), more);
}

function readCells(file, told, source) {
  const by = told.comes_after.find((each) => each.job_id === file.made_by);
  const name = source(file.path) ? h("a", { href: source(file.path), download: "" }, file.path) : file.path;
  return [name, [file.bytes === null ? "unknown" : size(file.bytes), { class: "number" }], file.made_by ? [h("a", { href: `/jobs/${file.made_by}` }, by?.subject || file.made_by.slice(0, 8)), " ", by ? idOf(file.made_by) : null] : "given"];
}

function besideCells(each) {
  const end = each.ended_at === null ? "runs" : `${clock(each.ended_at)} ${each.outcome}`;
  return [[[h("a", { href: `/jobs/${each.job_id}` }, each.subject), " ", idOf(each.job_id)], {}], each.device, clock(each.started_at), end];
}

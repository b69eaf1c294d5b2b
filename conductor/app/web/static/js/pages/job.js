// One job: its life as a bar, why it waits, its attempts, its log, what it read and wrote.

import { cells, h, head, put, rows } from "../dom.js";
import { amount, clock, duration, mib, moment, size } from "../format.js";
import { apart } from "../apart.js";
import { fetched, get } from "../api.js";
import { jobLog } from "../job_log.js";
import { session } from "../session.js";
import { OF_ONE, one } from "../actions.js";
import { amountCells, fillLife } from "./job_life.js";
import { idOf, prose, stateMark } from "./parts.js";

export const title = "Job";

const GATES = ["Gate", "Where", "Needs", "Has", "Of", "Closed since", "Opens", "Cost"];
const ATTEMPTS = ["Attempt", "Outcome", "Where", "Began", "Ran", "Used"];
const AMOUNTS = ["Of", ["Asked"], ["Learned"], ["Used"]];
const READS = ["Read", ["Size"], "Made by"];
const BESIDE = ["Beside it", "Device", "From", "To"];
const PLAYERS = [
  [/\.(png|jpe?g|webp|gif)$/i, (src, name) => h("img", { src, alt: name, loading: "lazy" })],
  [/\.(mp4|webm|mov|m4v)$/i, (src) => h("video", { src, controls: true, preload: "metadata" })],
  [/\.(mp3|wav|flac|ogg|m4a)$/i, (src) => h("audio", { src, controls: true, preload: "none" })],
];

export function show(main) {
  const id = decodeURIComponent(location.pathname.slice("/jobs/".length));
  const part = {
    words: h("h1"), state: h("p"), life: h("div", { class: "life", role: "img" }), lived: h("p", { class: "grey" }), actions: h("div", { class: "actions" }),
    why: h("section"), gates: table(GATES), attempts: table(ATTEMPTS), amounts: table(AMOUNTS), read: table(READS), beside: table(BESIDE), facts: h("dl", { class: "facts" }),
    files: h("div", { class: "previews" }), log: h("pre", { tabindex: 0, role: "region", "aria-label": "Log" }), line: h("pre"),
    tried: h("section", {}, h("h2", {}, "Attempts")),
  };
  main.append(
    part.words, part.state, part.life, part.lived, part.actions, part.why, part.gates,
    part.tried, h("h2", {}, "Facts"), part.facts, part.amounts, part.read, part.beside, part.files,
    h("h2", { id: "log" }, "Log"), part.log, h("details", {}, h("summary", {}, "Its line in the manifest"), part.line),
  );
  part.tried.append(part.attempts);
  let isFirst = true;
  const log = jobLog(part.log, id);
  const tellLog = apart((state, attempts) => log.tell(state, attempts));
  const tellFiles = apart(() => files(part.files, id));
  return {
    async refresh() {
      const told = await fetched(`/api/v1/jobs/${encodeURIComponent(id)}`);
      fill(part, told);
      tellLog(told.job.state, told.receipts.length);
      tellFiles();
      if (isFirst && new URLSearchParams(location.search).get("at") === "log") part.log.scrollIntoView();
      isFirst = false;
    },
    stop: () => log.stop(),
  };
}

function table(labels) {
  return h("div", { class: "scroll", tabindex: 0 }, h("table", { class: "stack" }, head(...labels), h("tbody")));
}

function fillTable(element, labels, values, key, cellsOf) {
  element.hidden = values.length === 0;
  rows(element.querySelector("tbody"), values, key, () => h("tr"), (tr, value) => cells(tr, labels, cellsOf(value)));
}

function fill(part, told) {
  const { job } = told;
  const about = told.file ? `${told.task} · ${told.file}` : told.task;
  document.title = `${about} · Conductor`;
  put(part.words, about);
  put(part.state, stateMark(job.state), " ", idOf(job.job_id), ` ${told.workflow}`, job.cause ? h("span", { class: "alarm" }, ` ${job.cause}: ${job.message}`) : null);
  fillLife(part.life, part.lived, told.life);
  const verbs = session.mayAct ? OF_ONE[job.state] ?? [] : [];
  put(part.actions, verbs.map((verb) => h("button", { type: "button", onclick: () => one(verb, job.job_id, about) }, verb)));
  const { waiting } = told;
  put(part.why, waiting ? h("p", {}, prose(waiting.sentence)) : null, [...told.notes, ...told.raised].map((words) => h("p", { class: "grey" }, prose(words))), Object.entries(told.waits_for).map(([other, state]) => h("p", {}, "Waits for ", h("a", { href: `/jobs/${other}` }, told.subjects[other] || other.slice(0, 8)), " ", idOf(other), ` (${state})`)));
  fillTable(part.gates, GATES, (waiting?.gates ?? []).filter((gate) => !gate.is_open), (gate) => `${gate.gate} ${gate.where} ${gate.reason}`, gate);
  fillTable(part.attempts, ATTEMPTS, told.receipts, (receipt) => `${receipt.attempt} ${receipt.token} ${receipt.outcome}`, (receipt) => attempt(receipt, told.traces));
  fillTable(part.amounts, AMOUNTS, told.amounts, (row) => row.what, amountCells);
  fillTable(part.read, READS, told.read, (file) => file.path, readCells);
  fillTable(part.beside, BESIDE, told.beside, (each) => `${each.job_id} ${each.started_at}`, besideCells);
  facts(part.facts, told);
  part.tried.hidden = told.receipts.length === 0;
  put(part.line, typeof job.line === "string" ? job.line : JSON.stringify(job.line, null, 1));
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
    ["Backlog", told.job.job_class?.backlog],
    ["Tried", String(told.tries)],
    ["Priority", String(told.job.job_class?.priority ?? 0)],
  ];
  put(element, pairs.filter(([, value]) => value).map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));
}

const readCells = (file) => [file.path, [file.bytes === null ? "unknown" : size(file.bytes), { class: "number" }], file.made_by ? idLink(file.made_by) : "given"];

const idLink = (id) => h("a", { href: `/jobs/${id}`, class: "id" }, id.slice(0, 8));

function besideCells(each) {
  const end = each.ended_at === null ? "runs" : `${clock(each.ended_at)} ${each.outcome}`;
  return [[[h("a", { href: `/jobs/${each.job_id}` }, each.subject), " ", idOf(each.job_id)], {}], each.device, clock(each.started_at), end];
}

/** What it read and made: pictures and players where a browser has some, the name and a link for all. */
async function files(element, id) {
  const at = `/api/v1/jobs/${encodeURIComponent(id)}/artefacts`;
  const told = await get(at).catch(() => ({ files: [] }));
  rows(element, told.files, (name) => name, (name) => figure(`${at}/${name.split("/").map(encodeURIComponent).join("/")}`, name), () => {});
}

function figure(src, name) {
  const player = PLAYERS.find(([ending]) => ending.test(name))?.[1](src, name);
  return h("figure", {}, player ?? null, h("figcaption", {}, h("a", { href: src, download: "" }, name)));
}

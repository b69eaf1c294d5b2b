// One job: its life as a bar, why it waits, its attempts, its log, what it read and wrote.

import { cells, h, head, put, rows } from "../dom.js";
import { amount, clock, duration, mib, moment, now } from "../format.js";
import { get, text } from "../api.js";
import { fetched } from "../main.js";
import { session } from "../session.js";
import { OF_ONE, one } from "../actions.js";
import { idOf, stateMark } from "./parts.js";

export const title = "Job";

const GATES = ["Gate", "Where", "Needs", "Has", "Of", "Shut since", "Opens", "Cost"];
const ATTEMPTS = ["Attempt", "Outcome", "Where", "Began", "Ran", "Used"];
const LOG_TAIL = 64 * 1024;
const PLAYERS = [
  [/\.(png|jpe?g|webp|gif)$/i, (src, name) => h("img", { src, alt: name, loading: "lazy" })],
  [/\.(mp4|webm|mov|m4v)$/i, (src) => h("video", { src, controls: true, preload: "metadata" })],
  [/\.(mp3|wav|flac|ogg|m4a)$/i, (src) => h("audio", { src, controls: true, preload: "none" })],
];

export function show(main) {
  const id = decodeURIComponent(location.pathname.slice("/jobs/".length));
  const part = {
    words: h("h1"), state: h("p"), life: h("div", { class: "life", role: "img" }), lived: h("p", { class: "grey" }), actions: h("div", { class: "actions" }),
    why: h("section"), gates: table(GATES), attempts: table(ATTEMPTS), facts: h("dl", { class: "facts" }),
    files: h("div", { class: "previews" }), log: h("pre", { tabindex: 0, role: "region", "aria-label": "Log" }), line: h("pre"),
    tried: h("section", {}, h("h2", {}, "Attempts")),
  };
  main.append(
    part.words, part.state, part.life, part.lived, part.actions, part.why, part.gates,
    part.tried, h("h2", {}, "Facts"), part.facts, part.files,
    h("h2", { id: "log" }, "Log"), part.log, h("details", {}, h("summary", {}, "Its line in the manifest"), part.line),
  );
  part.tried.append(part.attempts);
  let isFirst = true;
  return {
    async refresh() {
      const told = await fetched(`/api/v1/jobs/${encodeURIComponent(id)}`);
      fill(part, told);
      await log(part.log, id);
      await files(part.files, id);
      if (isFirst && new URLSearchParams(location.search).get("at") === "log") part.log.scrollIntoView();
      isFirst = false;
    },
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
  life(part.life, part.lived, told);
  const verbs = session.mayAct ? OF_ONE[job.state] ?? [] : [];
  put(part.actions, verbs.map((verb) => h("button", { type: "button", onclick: () => one(verb, job.job_id, about) }, verb)));
  const { waiting } = told;
  put(part.why, waiting ? h("p", {}, waiting.sentence) : null, told.notes.map((words) => h("p", { class: "grey" }, words)), told.raised.map((words) => h("p", { class: "grey" }, words)), Object.entries(told.waits_for).map(([other, state]) => h("p", {}, "Waits for ", h("a", { href: `/jobs/${other}` }, other.slice(0, 8)), ` (${state})`)));
  fillTable(part.gates, GATES, (waiting?.gates ?? []).filter((gate) => !gate.is_open), (gate) => `${gate.gate} ${gate.where} ${gate.reason}`, gate);
  fillTable(part.attempts, ATTEMPTS, told.receipts, (receipt) => receipt.attempt, attempt);
  facts(part.facts, told);
  part.tried.hidden = told.receipts.length === 0;
  put(part.line, typeof job.line === "string" ? job.line : JSON.stringify(job.line, null, 1));
}

function gate(row) {
  const opens = row.is_never ? "never" : row.reopens_at === null ? "" : moment(row.reopens_at);
  const number = { class: "number" };
  return [h("span", { title: row.words }, row.gate), row.where, [amount(row.need, row.unit), number], [amount(row.have, row.unit), number], [amount(row.limit, row.unit), number], row.closed_since === null ? "" : clock(row.closed_since), opens, [row.lost_s ? duration(row.lost_s) : "", number]];
}

function attempt(receipt) {
  const isGood = receipt.outcome === "done";
  const words = isGood ? "✓ done" : `✕ ${receipt.cause ?? receipt.outcome}`;
  const folded = receipt.message || receipt.traceback ? h("details", {}, h("summary", {}, receipt.message || "traceback"), h("pre", {}, receipt.traceback || receipt.message)) : null;
  const used = [receipt.usage?.vram_mib ? `${mib(receipt.usage.vram_mib)} VRAM` : "", receipt.usage?.rss_mib ? `${mib(receipt.usage.rss_mib)} RAM` : ""].filter(Boolean).join(", ");
  return [String(receipt.attempt), [[h("span", { class: isGood ? "good" : "alarm" }, words), folded], {}], [receipt.node, ...(receipt.devices ?? [])].filter(Boolean).join("/"), clock(receipt.started_at), duration(receipt.ended_at - receipt.started_at), used];
}

/** One bar: each wait, each attempt. Its length is the time from dispatch to the end, or to now. */
function life(element, lived, told) {
  const { job } = told;
  const steps = [];
  let at = job.since || told.receipts[0]?.started_at || told.now;
  for (const receipt of told.receipts) {
    if (receipt.started_at > at) steps.push(["wait", "waited", receipt.started_at - at]);
    steps.push([receipt.outcome === "done" ? "good" : "failed", `attempt ${receipt.attempt}: ${receipt.outcome}`, receipt.ended_at - receipt.started_at]);
    at = receipt.ended_at;
  }
  const begun = job.reservation?.started_at;
  if (job.state === "running" && begun) steps.push(["wait", "waited", Math.max(0, begun - at)], ["ran", "runs", now() - begun]);
  else if (job.state === "waiting" || job.state === "admitted") steps.push(["wait", "waits", now() - Math.max(at, job.since)]);
  const whole = steps.reduce((sum, [, , seconds]) => sum + Math.max(0, seconds), 0);
  element.hidden = whole <= 0;
  const words = steps.map(([, what, seconds]) => `${what} ${duration(seconds)}`).join(", ");
  element.setAttribute("aria-label", words);
  const gates = new Map((told.waiting?.gates ?? []).filter((row) => row.lost_s >= 1).map((row) => [row.gate, row.lost_s]));
  const by = [...gates].map(([name, seconds]) => `${name} ${duration(seconds)}`).join(", ");
  put(lived, words ? `${words}${by ? `; of its kind's waiting: ${by}` : ""}.` : "");
  put(element, steps.map(([name, words, seconds]) => h("span", { class: name, title: `${words} ${duration(seconds)}`, style: { flexGrow: String(Math.max(0, seconds)) } })));
}

function facts(element, told) {
  const needs = told.job.job_class?.needs ?? {};
  const last = told.receipts.at(-1)?.usage ?? told.job.reservation?.usage ?? {};
  const pairs = [
    ["Backlog", told.job.job_class?.backlog],
    ["Tried", String(told.tries)],
    ["VRAM", needs.vram_mib ? `asks ${mib(needs.vram_mib)}, used ${mib(last.vram_mib ?? null)}` : ""],
    ["RAM", needs.ram_mib ? `asks ${mib(needs.ram_mib)}, used ${mib(last.rss_mib ?? null)}` : ""],
    ["Priority", String(told.job.job_class?.priority ?? 0)],
  ];
  put(element, pairs.filter(([, value]) => value).map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));
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

async function log(element, id) {
  const told = await text(`/api/v1/jobs/${encodeURIComponent(id)}/log?text=true`).catch((error) => error.message);
  const isAtEnd = element.scrollTop + element.clientHeight >= element.scrollHeight - 8;
  put(element, told.length > LOG_TAIL ? `… ${told.slice(-LOG_TAIL)}` : told || "Nothing was printed yet.");
  if (isAtEnd) element.scrollTop = element.scrollHeight;
}

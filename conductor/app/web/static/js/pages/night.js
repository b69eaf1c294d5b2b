// Night: what it came to, as `conductor report` says it. Eight answers first, then the tables, and the file to keep.
// Live until nothing runs or waits any more; then it stands, as it does with `until` in its address.

import { h, head, put } from "../dom.js";
import { clock, duration, mib, size } from "../format.js";
import { get, query, Refused } from "../api.js";
import { bars, command, filtered, jobName, prose } from "./parts.js";

export const title = "Night";

// It costs the server seconds: events do not make it come more often.
const EVERY_MS = 30_000;
const TIMES = [["18:00", "since 18:00"], ["24h", "the last 24 hours"], ["3d", "the last 3 days"], ["7d", "the last 7 days"]];
const MOST_SHOWN = 8;
const SHOWN = /\.(mp4|m4v|mov|webm|mkv|jpe?g|png|webp|gif)$/i;
const SHAPES = { good: ["✓", "good"], act: ["✕", "alarm"], plain: ["○", ""] };
const NUMBER = { class: "number" };

export function show(main) {
  const asked = new URLSearchParams(location.search);
  const wanted = asked.get("since") ?? TIMES[0][0];
  const until = asked.get("until") ?? "";
  const words = h("h1", {}, "The night is being worked out …");
  const about = h("p", { class: "grey linked" });
  const body = h("div");
  main.append(words, about, body);
  let last = -Infinity;
  let isOver = false;
  const again = h("button", { type: "button", onclick: () => work() }, "Look again");
  const work = async () => {
    try {
      const night = await get(query("/api/v1/report", { since: wanted, until }));
      put(words, night.headline);
      words.classList.toggle("alarm", night.answers.some((answer) => answer.tone === "act"));
      isOver = until !== "" || !(night.jobs.running || night.jobs.waiting);
      put(about, facts(night, wanted, until), isOver ? [` · over: this stands as of ${clock(night.until)} `, again] : "");
      put(body, sections(night));
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      if (!body.childElementCount) put(words, `It cannot be worked out: ${error.message}`);
    }
  };
  return {
    // Not waited for: whoever goes to another page meanwhile is not kept.
    async refresh() {
      if (isOver || performance.now() - last < EVERY_MS) return;
      last = performance.now();
      work();
    },
  };
}

function facts(night, wanted, until) {
  const others = TIMES.filter(([since]) => since !== wanted).map(([since, name]) => [h("a", { href: query("/night", { since }) }, name), " · "]);
  const file = h("a", { href: query("/api/v1/report/file", { since: wanted, until }), download: true }, "the file to keep (every output is read for it)");
  return [`${clock(night.since)} to ${clock(night.until)} · `, others, file];
}

function sections(night) {
  return [
    h("dl", { class: "answers" }, night.answers.map(answer)),
    products(night),
    night.notes.map((note) => h("p", { class: "alarm" }, "✕ ", prose(note), ".")),
    table("Not done, by root cause", [["Jobs"], ["Behind"], "Task", "Cause", "What it said", "Which", ["Time lost"]], night.causes, causeCells),
    table("Waiting at the end", [["Jobs"], "Task", "Backlog", "For"], night.waiting, (row) => [number(row.jobs), row.task, row.backlog, row.is_never ? h("span", { class: "alarm" }, `✕ never: ${row.gates.join(", ")}`) : row.gates.join(", ")]),
    gates(night),
    table("Devices", ["Host", "Device", ["Jobs"], ["Busy"], ["In failed attempts"], "VRAM", "When"], night.devices, deviceCells),
    table("Foretold and real: the end", ["Backlog", "Said at", ["Left then"], "Said", "Was"], night.predicted_ends, (row) => [row.backlog || "all", clock(row.said_at), number(row.left), clock(row.ends_at), row.ended_at === null ? "not through" : clock(row.ended_at)]),
    table("Foretold and real: durations", ["Task", ["Jobs"], ["Expected"], ["Took"]], night.predicted_tasks, (row) => [row.task, number(row.jobs), number(duration(row.expected_s)), number(duration(row.took_s))]),
    table("Retries, by task and cause", ["Task", "Cause", ["Failed"], ["Free"], ["Jobs"], ["Recovered"], ["Dead"], ["Open"], ["Time lost"], ["Granted"], "What it says"], night.retries, retryCells),
    table("Work, by task", ["Task", ["Done"], ["Not done"], ["Attempts"], ["Time"], ["Files"], ["Size"]], night.tasks, (row) => [filtered(`task:${row.task}`, row.task), number(row.done), number(row.not_done), number(row.attempts), number(duration(row.seconds)), number(row.outputs), number(size(row.bytes))]),
    table("Files not as published", ["State", "File", "What is wrong", "Job"], night.outputs.rows.filter((row) => row.fault), (row) => [h("span", { class: "alarm" }, `✕ ${row.state}`), row.path, row.fault, jobName({ id: row.job_id, task: row.task, about: "" })]),
  ];
}

function answer(row) {
  const [shape, tone] = SHAPES[row.tone];
  const list = row.filter ? [" ", filtered(row.filter, "the list")] : [];
  const commands = row.commands.map((words) => h("div", {}, command(words)));
  return [h("dt", {}, h("span", { class: tone, "aria-hidden": "true" }, shape), " ", row.question), h("dd", {}, prose(row.words), list, commands)];
}

/** Films and pictures that were made, as the web process gives the files of a job. */
function products(night) {
  const shown = night.outputs.rows.filter((row) => !row.fault && SHOWN.test(row.path)).slice(0, MOST_SHOWN);
  if (!shown.length) return [];
  return [h("h2", {}, "What was made"), h("div", { class: "previews" }, shown.map(product))];
}

function product(row) {
  const src = `/api/v1/jobs/${row.job_id}/artefacts/${row.path.split("/").map(encodeURIComponent).join("/")}`;
  const isStill = /\.(jpe?g|png|webp|gif)$/i.test(row.path);
  const shown = isStill ? h("img", { src, alt: row.path, loading: "lazy" }) : h("video", { src, controls: true, preload: "metadata", muted: true, "aria-label": row.path });
  return h("figure", {}, shown, h("figcaption", {}, jobName({ id: row.job_id, task: row.task, about: row.path.split(/[/:]/).pop() })));
}

function table(name, labels, values, cellsOf) {
  if (!values.length) return [];
  const row = (value) => h("tr", {}, cellsOf(value).map((cell, i) => (Array.isArray(cell) ? h("td", { "data-label": String(labels[i]), ...cell[1] }, cell[0]) : h("td", { "data-label": String(labels[i]) }, cell))));
  return [h("h2", {}, name), h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": name }, h("table", { class: "stack" }, head(...labels), h("tbody", {}, values.map(row))))];
}

const number = (value) => [String(value), NUMBER];

function causeCells(row) {
  const named = row.named.map((job) => [jobName({ id: job.job_id, task: job.task, about: job.file }), " "]);
  const more = row.jobs > row.named.length ? filtered(`state:dead cause:${row.cause} task:${row.task}`, `and ${row.jobs - row.named.length} more`) : "";
  return [number(row.jobs), number(row.behind || ""), row.task, row.cause, row.message, h("span", {}, named, more), number(duration(row.seconds))];
}

function gates(night) {
  const name = "Time lost, by gate";
  if (!night.sources.ticks) return [h("h2", {}, name), h("p", {}, "Nothing was recorded: no tick of this time is kept.")];
  if (!night.gates.length) return [h("h2", {}, name), h("p", {}, "No gate held a job back.")];
  return table(name, ["Gate", ["Closed for"], ["Added up over jobs"], "When"], night.gates, (row) => [row.gate, number(duration(row.held_s)), number(duration(row.job_s)), bars(row.strip, `when ${row.gate} was closed`)]);
}

function deviceCells(row) {
  const known = [[row.mean_promised_mib, "promised"], [row.mean_used_mib, "used"], [row.peak_mib, "at its peak"], [row.total_mib, "in all"]];
  const vram = known.filter(([value]) => value !== null).map(([value, word]) => `${mib(value)} ${word}`);
  return [row.node, row.device || "no device", number(row.jobs), number(duration(row.busy_s)), number(row.failed_s ? duration(row.failed_s) : ""), vram.join(", "), bars(row.strip, `when ${row.device || row.node} was busy`)];
}

function retryCells(row) {
  return [row.task, row.cause, number(row.failed), number(row.free || ""), number(row.jobs), number(row.recovered), number(row.dead), number(row.open), number(duration(row.seconds)), number(row.budget === null ? "no limit" : row.budget), h("span", {}, prose(row.advice))];
}

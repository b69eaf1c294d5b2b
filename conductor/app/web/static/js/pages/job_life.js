// A job's life as one bar, and what it asked for against what it took.

import { h, put } from "../dom.js";
import { clock, duration, mib, size } from "../format.js";

const GOES_ON = { waited: "waits", ran: "runs", shown: "waits for a verdict" };
const OVER = { waited: "waited", ran: "ran", failed: "ran in vain", verified: "was verified", shown: "was looked at" };
// Gate → one of so many patterns; which is which the words under the bar say.
const SHADES = 6;

const BEFORE = "the jobs before it";

/** The first wait with how much of it the jobs before this one took: until then no gate was asked. */
export function withThoseBefore(steps, before, now) {
  const [first, ...rest] = steps;
  if (first?.what !== "waited" || !before.length) return steps;
  const ends = before.map((each) => (each.state === "done" ? each.ended_at : now));
  if (ends.includes(null)) return steps;
  const seconds = Math.min(first.seconds, Math.max(...ends) - first.since);
  return seconds > 0 ? [{ ...first, gates: { [BEFORE]: seconds, ...first.gates } }, ...rest] : steps;
}

/** Each wait split by its gates, each attempt, its verification; what nothing stood against is plain. */
export function fillLife(bar, legend, steps) {
  const whole = steps.reduce((sum, step) => sum + step.seconds, 0);
  bar.hidden = whole <= 0;
  bar.setAttribute("aria-label", steps.map(words).join(", "));
  const names = [...new Set(steps.flatMap((step) => Object.keys(step.gates)))];
  put(bar, steps.flatMap((step) => pieces(step, names)));
  put(legend, steps.length ? steps.map((step, i) => [i ? ", " : "", key(step, names), words(step)]) : null, steps.length ? "." : "");
}

function pieces(step, names) {
  const title = `${words(step)}, from ${clock(step.since)}`;
  const piece = (name, seconds, what = title) => h("span", { class: name, title: what, style: { flexGrow: String(Math.max(0, seconds)) } });
  if (step.what !== "waited") return [piece(step.what, step.seconds)];
  const gates = Object.entries(step.gates);
  // Gates that were closed together share the time that they held it.
  const sum = gates.reduce((all, [, seconds]) => all + seconds, 0);
  const share = sum > step.seconds ? step.seconds / sum : 1;
  const held = gates.map(([name, seconds]) => piece(`wait gate${names.indexOf(name) % SHADES}`, seconds * share, `${title}: ${name} ${duration(seconds)}`));
  const free = step.seconds - sum * share;
  return free > 0.01 * step.seconds ? [piece("wait", free), ...held] : held;
}

function key(step, names) {
  return Object.keys(step.gates).map((name) => h("span", { class: `key wait gate${names.indexOf(name) % SHADES}`, "aria-hidden": "true" }));
}

function words(step) {
  const word = (step.is_going && GOES_ON[step.what]) || OVER[step.what];
  const gates = Object.entries(step.gates).sort(([, a], [, b]) => b - a);
  const by = gates.length ? ` (${gates.map(([name, seconds]) => `${name} ${duration(seconds)}`).join(", ")})` : "";
  return `${word} ${duration(step.seconds)}${by}`;
}

const UNITS = { MiB: mib, bytes: size, s: duration };

/** Rows of the table Asked · Learned · Used. */
export function amountCells(row) {
  const number = (value) => [value === null ? "" : UNITS[row.unit](value), { class: "number" }];
  const over = row.used !== null && row.used > (row.learned ?? row.asked ?? Infinity);
  const used = row.used === null ? "" : UNITS[row.unit](row.used);
  return [row.what, number(row.asked), number(row.learned), [over ? h("strong", { class: "alarm" }, `▲ ${used}`) : used, { class: "number" }]];
}

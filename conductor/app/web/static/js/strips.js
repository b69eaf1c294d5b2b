// A place over time as a strip: what others use, what is used in all, what is promised, and the headroom. Each has a
// shape of its own (hatched, filled, a line, a band), and the words beneath say the figures.

import { h, put, svg } from "./dom.js";
import { clock, mib, size } from "./format.js";

const WIDE = 1000;
const HIGH = 64;
// The log has one note a minute: a longer gap is one.
const GAP_S = 200;

/** What the shapes mean, once for a page. */
export function legend() {
  const key = (name, words) => h("span", {}, svg("svg", { class: "strip-key", viewBox: "0 0 16 12", "aria-hidden": "true" }, svg("rect", { class: name, width: 16, height: 12 })), " ", words);
  return h("p", { class: "legend grey" }, patterns(), key("used", "used"), key("foreign", "of it by others"), key("promised", "promised to jobs"), key("headroom", "headroom, kept free"));
}

/** Hatching, by name for every drawing of the page. */
function patterns() {
  const hatch = (id, name) => svg("pattern", { id, class: name, width: 6, height: 6, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" }, svg("rect", { width: 2, height: 6 }));
  return svg("svg", { class: "patterns", width: 0, height: 0, "aria-hidden": "true" }, svg("defs", {}, hatch("hatch-foreign", "hatch-foreign"), hatch("hatch-headroom", "hatch-headroom")));
}

export function makeStrip() {
  return h("figure", { class: "strip" });
}

/** `told`: a strip of the API; `jobs`: rows of jobs that ran there. */
export function fillStrip(figure, told, since, now, jobs) {
  const amount = told.unit === "bytes" ? size : mib;
  const whole = told.whole ?? told.limit ?? Math.max(1, ...told.used.map((value) => value ?? 0));
  const x = (at) => (WIDE * (at - since)) / Math.max(1, now - since);
  const y = (value) => HIGH - (HIGH * Math.min(value, whole)) / Math.max(1, whole);
  const words = figures(told, told.at.length - 1, amount);
  const caption = h("figcaption", {}, h("strong", {}, told.place), " ", h("span", { class: "at" }, words), peak(told, amount));
  const drawing = svg(
    "svg",
    { viewBox: `0 0 ${WIDE} ${HIGH}`, preserveAspectRatio: "none", role: "img", "aria-label": `${told.place} since ${clock(since)}: ${words}` },
    told.limit !== null && told.limit < whole ? svg("rect", { class: "headroom", x: 0, y: 0, width: WIDE, height: y(told.limit) }) : null,
    area("used", told, told.used, x, y),
    area("foreign", told, told.foreign, x, y),
    line("promised", told, told.promised, x, y),
  );
  drawing.addEventListener("pointermove", (event) => {
    const box = drawing.getBoundingClientRect();
    const at = since + ((event.clientX - box.left) / box.width) * (now - since);
    const i = told.at.reduce((best, each, n) => (Math.abs(each - at) < Math.abs(told.at[best] - at) ? n : best), 0);
    put(caption.querySelector(".at"), `${clock(told.at[i])}: ${figures(told, i, amount)}`);
  });
  drawing.addEventListener("pointerleave", () => put(caption.querySelector(".at"), words));
  const axis = h("div", { class: "axis grey" }, h("span", {}, clock(since)), h("span", {}, clock((since + now) / 2)), h("span", {}, "now"));
  figure.replaceChildren(...[caption, drawing, blocks(jobs, x, now), axis].filter(Boolean));
}

function figures(told, i, amount) {
  const say = (values, words) => (values[i] === null || values[i] === undefined ? null : `${words} ${amount(values[i])}`);
  const room = told.limit ?? told.whole;
  return [say(told.used, "used"), say(told.foreign, "others"), say(told.promised, "promised"), room === null ? null : `of ${amount(room)}`].filter(Boolean).join(", ");
}

function peak(told, amount) {
  const most = Math.max(...told.used.map((value) => value ?? -1));
  return most < 0 ? null : h("span", { class: "grey" }, ` · at most ${amount(most)}, ${clock(told.at[told.used.indexOf(most)])}`);
}

/** Runs of points that are known and follow each other. */
function runs(told, values) {
  const found = [];
  let run = [];
  told.at.forEach((at, i) => {
    const isBroken = values[i] === null || (run.length && at - run.at(-1)[0] > GAP_S * Math.max(1, told.at.length / 100));
    if (isBroken && run.length) {
      found.push(run);
      run = [];
    }
    if (values[i] !== null) run.push([at, values[i]]);
  });
  return run.length ? [...found, run] : found;
}

const path = (run, x, y) => run.map(([at, value], i) => `${i ? "L" : "M"}${x(at).toFixed(1)} ${y(value).toFixed(1)}`).join("");
const longer = (run) => (run.length > 1 ? run : [run[0], [run[0][0] + 60, run[0][1]]]);

function area(name, told, values, x, y) {
  return runs(told, values).map(longer).map((run) => svg("path", { class: name, d: `${path(run, x, y)}L${x(run.at(-1)[0]).toFixed(1)} ${HIGH}L${x(run[0][0]).toFixed(1)} ${HIGH}Z` }));
}

function line(name, told, values, x, y) {
  return runs(told, values).map(longer).map((run) => svg("path", { class: name, d: path(run, x, y), "vector-effect": "non-scaling-stroke" }));
}

/** Who ran there, each as a link. */
function blocks(jobs, x, now) {
  if (!jobs.length) return null;
  const block = (row) => {
    const from = Math.max(0, x(row.started_at));
    const to = Math.min(WIDE, x(row.ended_at ?? now));
    const name = row.file ? `${row.task} · ${row.file}` : row.task;
    const style = { left: `${from / 10}%`, width: `${Math.max(0.2, (to - from) / 10)}%` };
    return h("a", { href: `/jobs/${row.job_id}`, class: `block ${row.state}`, style, title: name, "aria-label": `${name}, ${row.state}`, tabindex: -1 });
  };
  return h("div", { class: "blocks", role: "group", "aria-label": `${jobs.length} jobs that ran here` }, jobs.map(block));
}

// Jobs: a window on a list of a million. The search is in the address; the foot says how many there are.

import { cells, h, head, put, rows } from "../dom.js";
import { duration, many, moment, mib, now } from "../format.js";
import { apart } from "../apart.js";
import { fetched, get, query } from "../api.js";
import { go } from "../navigation.js";
import { session } from "../session.js";
import { windowed } from "../windowed.js";
import { bulk, BULK } from "../actions.js";
import { completing } from "../completion.js";
import { idOf, stateMark } from "./parts.js";

export const title = "Jobs";

const PAGE = 200;
const GROUPS = ["state", "cause", "task", "file", "node", "backlog", "workflow"];
const SUMS = ["Group", ["Jobs"], ["Ran"], ["On devices"]];
const STATES = ["waiting", "running", "done", "dead", "review", "cancelled"];
// Somebody who types is not asked for each letter.
const TYPING_MS = 200;

export function show(main) {
  const asked = () => new URLSearchParams(location.search).get("q") ?? "";
  const search = h("input", {
    type: "search", name: "q", value: asked(), autocomplete: "off", spellcheck: "false",
    "aria-label": "Search the jobs", placeholder: "state:dead cause:timeout file:holiday since:18:00",
  });
  const heading = h("h1");
  const quick = h("p", {}, h("a", { href: "/jobs" }, "all"), STATES.map((state) => [" ", h("a", { href: `/jobs?q=state:${state}` }, stateMark(state))]));
  const foot = h("div", { class: "foot" });
  const askedBy = () => new URLSearchParams(location.search).get("by") ?? "";
  const choice = h("select", { "aria-label": "Group by" }, h("option", { value: "" }, "not grouped"), GROUPS.map((name) => h("option", { value: name }, `by ${name}`)));
  choice.value = askedBy();
  const groups = h("div", { class: "scroll groups", tabindex: 0, role: "region", "aria-label": "Groups", hidden: true }, h("table", { class: "stack" }, head(...SUMS), h("tbody")));
  const list = windowed({
    label: "Jobs", key: (row) => row.job_id, fill, more, open: (row) => go(`/jobs/${row.job_id}`),
  });
  main.append(heading, h("form", { role: "search", onsubmit: (event) => event.preventDefault() }, completing(search), choice), quick, groups, list.box, foot);

  let known = []; // the rows so far
  let cursor = "";
  let count = 0;
  let isExact = true;
  let isAsking = false;
  let notes = [];
  let words = asked();
  let sums = null;
  let timer;

  choice.addEventListener("change", () => {
    history.replaceState({}, "", query("/jobs", { q: words, by: choice.value }));
    addUp();
  });

  const addUp = apart(async () => {
    const [q, by] = [words, choice.value];
    // What is wrong with the words the list says.
    const told = await get(query("/api/v1/sums", { q, by })).catch(() => null);
    if (!told || q !== words || by !== choice.value) return;
    sums = told;
    groups.hidden = !told.groups.length;
    rows(groups.querySelector("tbody"), told.groups, (row) => row.name, () => h("tr"), (tr, row) => cells(tr, SUMS, groupCells(row, by, q)));
    tell();
  });

  search.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      const q = search.value.trim();
      history.replaceState({}, "", query("/jobs", { q, by: choice.value }));
      begin(q);
    }, TYPING_MS);
  });

  function begin(q) {
    words = q;
    list.chosen.clear();
    list.box.scrollTop = 0;
    sums = null;
    addUp();
    return load(false).catch((error) => put(heading, h("span", { class: "alarm" }, error.message)));
  }

  async function load(isMore) {
    if (isAsking) return;
    isAsking = true;
    const mine = words;
    try {
      const limit = isMore ? PAGE : Math.max(PAGE, Math.min(known.length, 5 * PAGE));
      const page = await fetched(query("/api/v1/jobs", { q: words, cursor: isMore ? cursor : "", limit }));
      if (mine !== words) return;
      if (isMore) known = known.concat(page.rows);
      else if (page.rows.length >= known.length || list.box.scrollTop === 0) known = page.rows;
      else known = merged(known, page.rows);
      if (isMore || known === page.rows) cursor = page.cursor;
      ({ count, is_count_exact: isExact, notes } = page);
      list.set(known);
      tell();
    } finally {
      isAsking = false;
      if (mine !== words) await load(false);
    }
  }

  function more() {
    if (cursor && !isAsking) load(true).catch(() => {});
  }

  function tell() {
    const number = `${isExact ? "" : "at least "}${many(count, "job")}`;
    put(heading, words ? `${number} of «${words}»` : number);
    const picked = list.chosen.size ? `${list.chosen.size} chosen` : "";
    const what = list.chosen.size ? `id:${[...list.chosen].join(",")}` : words;
    const buttons = session.mayAct && what ? BULK.map((action) => h("button", { type: "button", onclick: () => bulk(action, what) }, action)) : [];
    const maybe = what ? h("a", { href: query("/what-if", { q: what, priority: 10 }) }, "what if these went first?") : null;
    const how = session.mayAct ? "" : "Actions need a token: conductor web --link.";
    put(foot, `${known.length.toLocaleString("en")} of ${number} loaded`, sums?.seconds ? h("span", {}, summed(sums)) : null, picked ? h("span", {}, picked) : null, notes.map((note) => h("span", {}, note)), buttons, maybe, how ? h("span", {}, how) : null);
  }

  return {
    async refresh() {
      if (asked() !== words) {
        search.value = asked();
        words = asked();
      }
      choice.value = askedBy();
      addUp();
      await load(false);
    },
    key(event) {
      if (list.key(event)) return tell();
      const row = list.current();
      if (row && (event.key === "e" || event.key === "l")) go(`/jobs/${row.job_id}${event.key === "l" ? "?at=log" : ""}`);
    },
    stop: () => clearTimeout(timer),
  };
}

/** «ran 3 h 10 min, 2.5 GPU hours»: what they come to. */
function summed({ jobs, seconds, device_s: devices, is_exact: isExact }) {
  const of = isExact ? "" : ` (the latest ${jobs.toLocaleString("en")})`;
  return `ran ${duration(seconds)}${devices ? `, ${hours(devices)} on devices` : ""}${of}`;
}

const hours = (seconds) => (seconds >= 360 ? `${(seconds / 3600).toFixed(1)} h` : seconds ? duration(seconds) : "");

function groupCells(row, by, q) {
  const number = { class: "number" };
  const value = /[\s",:\\]/.test(row.name) ? `"${row.name.replaceAll(/["\\]/g, "\\$&")}"` : row.name;
  const name = row.name ? h("a", { href: query("/jobs", { q: `${q} ${by}:${value}`.trim() }) }, row.name) : h("span", { class: "grey" }, "none");
  return [name, [row.jobs.toLocaleString("en"), number], [row.seconds ? duration(row.seconds) : "", number], [hours(row.device_s), number]];
}

/** Rows that were loaded keep their place; what changed of them is shown, new ones come at the top. */
function merged(known, fresh) {
  const found = new Map(fresh.map((row) => [row.job_id, row]));
  const kept = known.map((row) => {
    const next = found.get(row.job_id);
    found.delete(row.job_id);
    return next ?? row;
  });
  return [...found.values(), ...kept];
}

function fill(element, row, isChosen) {
  const when = row.state === "running" ? `${duration(now() - row.started_at)} so far` : row.seconds === null ? "" : duration(row.seconds);
  const cell = (props, ...content) => h("span", { role: "gridcell", ...props }, ...content);
  put(
    element,
    cell({ "aria-label": isChosen ? "chosen" : "not chosen" }, isChosen ? "☑" : ""),
    cell({}, stateMark(row.state)),
    cell({}, h("a", { href: `/jobs/${row.job_id}`, tabindex: -1 }, row.file ? `${row.task} · ${row.file}` : row.task), " ", idOf(row.job_id)),
    cell({ class: "wide", title: row.message }, row.cause || [row.node, row.device].filter(Boolean).join("/")),
    cell({ class: "wide grey" }, row.backlog),
    cell({ class: "wide number" }, when),
    cell({ class: "wide number", title: moment(row.at) }, row.used_vram_mib ? mib(row.used_vram_mib) : ""),
  );
}

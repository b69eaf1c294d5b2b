// Jobs: a window on a list of a million. The search is in the address; the foot says how many there are.

import { h, put } from "../dom.js";
import { duration, many, moment, mib, now } from "../format.js";
import { query } from "../api.js";
import { fetched, go } from "../main.js";
import { session } from "../session.js";
import { windowed } from "../windowed.js";
import { bulk, BULK } from "../actions.js";
import { completing } from "../completion.js";
import { idOf, stateMark } from "./parts.js";

export const title = "Jobs";

const PAGE = 200;
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
  const list = windowed({
    label: "Jobs", key: (row) => row.job_id, fill, more, open: (row) => go(`/jobs/${row.job_id}`),
  });
  main.append(heading, h("form", { role: "search", onsubmit: (event) => event.preventDefault() }, completing(search)), quick, list.box, foot);

  let known = []; // the rows so far
  let cursor = "";
  let count = 0;
  let isExact = true;
  let isAsking = false;
  let notes = [];
  let words = asked();
  let timer;

  search.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      const q = search.value.trim();
      history.replaceState({}, "", query("/jobs", { q }));
      begin(q);
    }, TYPING_MS);
  });

  function begin(q) {
    words = q;
    list.chosen.clear();
    list.box.scrollTop = 0;
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
      told();
    } finally {
      isAsking = false;
      if (mine !== words) await load(false);
    }
  }

  function more() {
    if (cursor && !isAsking) load(true).catch(() => {});
  }

  function told() {
    const number = `${isExact ? "" : "at least "}${many(count, "job")}`;
    put(heading, words ? `${number} of «${words}»` : number);
    const picked = list.chosen.size ? `${list.chosen.size} chosen` : "";
    const what = list.chosen.size ? `id:${[...list.chosen].join(",")}` : words;
    const buttons = session.mayAct && what ? BULK.map((action) => h("button", { type: "button", onclick: () => bulk(action, what) }, action)) : [];
    const maybe = what ? h("a", { href: query("/what-if", { q: what, priority: 10 }) }, "what if these went first?") : null;
    const how = session.mayAct ? "" : "Actions need a token: conductor web --link.";
    put(foot, `${known.length.toLocaleString("en")} of ${number} loaded`, picked ? h("span", {}, picked) : null, notes.map((note) => h("span", {}, note)), buttons, maybe, how ? h("span", {}, how) : null);
  }

  return {
    async refresh() {
      if (asked() !== words) {
        search.value = asked();
        words = asked();
      }
      await load(false);
    },
    key(event) {
      if (list.key(event)) return told();
      const row = list.current();
      if (row && (event.key === "e" || event.key === "l")) go(`/jobs/${row.job_id}${event.key === "l" ? "?at=log" : ""}`);
    },
    stop: () => clearTimeout(timer),
  };
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

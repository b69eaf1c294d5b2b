// Jobs: a window on a list of a million. The search is in the address; the foot says how many there are.

import { cells, h, head, put, rows } from "../dom.js";
import { duration, many } from "../format.js";
import { apart } from "../apart.js";
import { fetched, get, query, Refused } from "../api.js";
import { go } from "../navigation.js";
import { session } from "../session.js";
import { windowed } from "../windowed.js";
import { bulk, bulkVerbs } from "../actions.js";
import { completing } from "../completion.js";
import { cellsOf, chooser, heads, widths } from "./job_columns.js";
import { jobBeside } from "./job_beside.js";
import { command, stateMark } from "./parts.js";

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
    "aria-label": "Search the jobs", "aria-describedby": "search-fault", placeholder: "state:dead cause:timeout file:holiday since:18:00",
  });
  const heading = h("h1", {}, "Jobs");
  const fault = h("p", { id: "search-fault", class: "grey", role: "status" });
  const quick = h("p", {}, h("a", { href: "/jobs" }, "all"), STATES.map((state) => [" ", h("a", { href: `/jobs?q=state:${state}` }, stateMark(state))]));
  const foot = h("div", { class: "foot" });
  const askedBy = () => new URLSearchParams(location.search).get("by") ?? "";
  const choice = h("select", { "aria-label": "Group by" }, h("option", { value: "" }, "not grouped"), GROUPS.map((name) => h("option", { value: name }, `by ${name}`)));
  choice.value = askedBy();
  const groups = h("div", { class: "scroll groups", tabindex: 0, role: "region", "aria-label": "Groups", hidden: true }, h("table", { class: "stack" }, head(...SUMS), h("tbody")));
  const list = windowed({
    label: "Jobs", key: (row) => row.job_id, heads, fill, more, none, open: (row) => beside.open(row.job_id),
  });
  const split = h("div", { class: "split" });
  const tellPane = apart(() => beside.refresh());
  const beside = jobBeside((id) => {
    split.classList.toggle("two", id !== "");
    keepAddress();
    list.draw();
    tellPane();
  });
  split.append(h("div", {}, list.box, list.empty), beside.pane);
  const form = h("form", { role: "search", onsubmit: (event) => event.preventDefault() }, completing(search), choice);

  let known = []; // the rows so far
  let cursor = "";
  let count = 0;
  let isExact = true;
  let isAsking = false;
  let notes = [];
  let words = asked(); // what is asked for
  let accepted = words; // what the list is of: half a word is refused, and the list stays
  let refused = null;
  let sums = null;
  let timer;

  function keepAddress() {
    history.replaceState({}, "", query("/jobs", { q: words, by: choice.value, job: beside.id() }));
  }

  function wide() {
    list.box.style.setProperty("--columns", widths());
    list.draw();
  }

  choice.addEventListener("change", () => {
    keepAddress();
    addUp();
  });

  const addUp = apart(async () => {
    const [q, by] = [words, choice.value];
    if (refused === q) return;
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
      begin(search.value.trim());
    }, TYPING_MS);
  });

  function begin(q) {
    words = q;
    keepAddress();
    list.chosen.clear();
    list.box.scrollTop = 0;
    sums = null;
    refused = null;
    addUp();
    return load(false);
  }

  async function load(isMore) {
    if (isAsking || refused === words) return;
    isAsking = true;
    const mine = words;
    try {
      const limit = isMore ? PAGE : Math.max(PAGE, Math.min(known.length, 5 * PAGE));
      const page = await fetched(query("/api/v1/jobs", { q: words, cursor: isMore ? cursor : "", limit }));
      if (mine !== words) return;
      said("");
      accepted = mine;
      if (isMore) known = known.concat(page.rows);
      else if (page.rows.length >= known.length || list.box.scrollTop === 0) known = page.rows;
      else known = merged(known, page.rows);
      if (isMore || known === page.rows) cursor = page.cursor;
      ({ count, is_count_exact: isExact, notes } = page);
      list.set(known);
      tell();
    } catch (error) {
      // Somebody types: what is wrong so far stands at the field, and nothing else changes.
      if (!(error instanceof Refused) || error.status !== 400) throw error;
      if (mine !== words) return;
      refused = mine;
      said(error.message);
    } finally {
      isAsking = false;
      if (mine !== words) await load(false);
    }
  }

  function said(wrong) {
    put(fault, wrong);
    search.setAttribute("aria-invalid", String(wrong !== ""));
    if (wrong) tell();
  }

  function none() {
    if (accepted) return ["No job fits «", accepted, "». ", h("a", { href: "/jobs" }, "All jobs")];
    return ["No job has been dispatched yet: ", command("conductor plan"), ", then ", command("conductor dispatch"), "."];
  }

  function more() {
    if (cursor && !isAsking && accepted === words) load(true).catch(() => {});
  }

  function tell() {
    const number = `${isExact ? "" : "at least "}${many(count, "job")}`;
    if (refused !== null && !known.length) return put(heading, "Jobs");
    put(heading, accepted ? `${number} of «${accepted}»` : number);
    const picked = list.chosen.size ? `${list.chosen.size} chosen` : "";
    const what = list.chosen.size ? `id:${[...list.chosen].join(",")}` : refused === null ? accepted : "";
    const buttons = session.mayAct && what ? bulkVerbs(what).map((action) => h("button", { type: "button", onclick: () => bulk(action, what) }, action)) : [];
    const maybe = what ? h("a", { href: query("/what-if", { q: what, priority: 10 }) }, "what if these went first?") : null;
    const how = session.mayAct ? null : h("span", {}, "Actions need a token: ", command("conductor web --link"));
    const far = known.length < count || !isExact ? `${known.length.toLocaleString("en")} of ${number} loaded` : null;
    put(foot, far, sums?.seconds ? h("span", {}, summed(sums)) : null, picked ? h("span", {}, picked) : null, notes.map((note) => h("span", {}, note)), buttons, maybe, how);
  }

  main.append(heading, form, fault, h("div", { class: "above" }, quick, chooser(wide)), groups, split, foot);
  wide();
  const opened = new URLSearchParams(location.search).get("job");
  if (opened) beside.open(opened);

  return {
    async refresh() {
      if (asked() !== words) {
        search.value = asked();
        words = asked();
      }
      choice.value = askedBy();
      addUp();
      tellPane();
      await load(false);
    },
    key(event) {
      if (event.key === "Escape") return beside.close();
      const was = list.current();
      const isOurs = list.key(event);
      const row = list.current();
      if (isOurs && row !== was) beside.follow(row.job_id);
      if (isOurs) return tell();
      if (row && (event.key === "e" || event.key === "l")) go(`/jobs/${row.job_id}${event.key === "l" ? "?at=log" : ""}`);
    },
    stop() {
      clearTimeout(timer);
      beside.stop();
    },
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
  put(element, cellsOf(row, isChosen));
}

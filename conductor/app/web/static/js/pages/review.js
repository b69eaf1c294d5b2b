// Review: one thing fills the screen, a key accepts or rejects it and goes on. The last word is on its way for some
// seconds only, so that it can be taken back; it is sent with the next one, or when the page is left.

import { h, put, say } from "../dom.js";
import { duration, many, now } from "../format.js";
import { Refused, fetched, post, query } from "../api.js";
import { session } from "../session.js";
import { command, idOf } from "./parts.js";
import { fillTasks, tasksTable } from "./review_tasks.js";

export const title = "Review";

const PAGE = 200;
const UNDO_MS = 4000;
const PICTURE = /\.(png|jpe?g|webp|gif)$/i;

export function show(main) {
  const heading = h("h1");
  const shown = h("section", { class: "review", "aria-live": "polite" });
  const foot = h("p", { class: "grey" });
  const tasks = tasksTable();
  main.append(heading, shown, foot, tasks);

  let queue = []; // what is open: { row, shown }
  let at = 0;
  let pending = null; // { one, isAccepted, note, timer }
  let isWhole = true;
  const judged = new Set(); // keys that this page has said a word on

  const keyOf = (one) => `${one.row.job_id} ${one.row.body} ${one.shown.number}`;
  const current = () => queue[at] ?? null;

  function step(by) {
    at = Math.min(Math.max(0, at + by), Math.max(0, queue.length - 1));
    tell();
  }

  // ── the word ─────────────────────────────────────────────────────────────────────────────────────────────

  function judge(isAccepted) {
    const one = current();
    if (!one || !session.mayAct) return;
    const note = isAccepted ? "" : shown.querySelector("input")?.value ?? "";
    flush();
    queue.splice(at, 1);
    at = Math.min(at, Math.max(0, queue.length - 1));
    judged.add(keyOf(one));
    pending = { one, isAccepted, note, timer: setTimeout(flush, UNDO_MS) };
    say(`${isAccepted ? "Accepted" : "Rejected"}: ${one.shown.item.words}. U takes it back.`);
    tell();
  }

  function undo() {
    if (!pending) return say("The last word was sent already.");
    clearTimeout(pending.timer);
    judged.delete(keyOf(pending.one));
    queue.splice(at, 0, pending.one);
    pending = null;
    say("Taken back.");
    tell();
  }

  async function flush(options) {
    if (!pending) return;
    const { one, isAccepted, note, timer } = pending;
    clearTimeout(timer);
    pending = null;
    try {
      const body = { is_accepted: isAccepted, note, items: [one.shown.number] };
      await post(`/api/v1/review/${encodeURIComponent(one.row.job_id)}`, body, options);
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      // Nobody heard it: it is open again. Or somebody was first, and that is said.
      if (error.status !== 409) judged.delete(keyOf(one));
      say(error.message);
    }
  }

  const leave = () => flush({ keepalive: true });
  window.addEventListener("pagehide", leave);

  // ── what is seen ─────────────────────────────────────────────────────────────────────────────────────────

  function tell() {
    const one = current();
    put(heading, one ? `${queue.length}${isWhole ? "" : " and more"} to look at` : "Nothing to look at.");
    if (!one) return put(shown), put(foot, "What a task is not sure of, or wants an eye for, comes here by itself.");
    put(foot, session.mayAct ? "A accepts, R rejects, U takes the last word back, ← → step." : ["Verdicts need a token: ", command("conductor web --link")]);
    if (shown.dataset.key !== keyOf(one)) {
      shown.dataset.key = keyOf(one);
      put(shown, face(one));
    }
    const next = queue[at + 1];
    if (next && PICTURE.test(next.shown.item.picture)) new Image().src = source(next, next.shown.item.picture);
  }

  function face(one) {
    const { row, shown: { item, number } } = one;
    const name = row.file ? `${row.task} · ${row.file}` : row.task;
    const facts = [
      item.sure === null ? "" : `${Math.round(item.sure * 100)} % sure`,
      item.at_s === null ? "" : `at ${duration(item.at_s)}${item.ends_s === null ? "" : ` to ${duration(item.ends_s)}`}`,
      `item ${number} of ${row.items.length}`,
      row.since ? `made ${duration(now() - row.since)} ago` : "",
    ].filter(Boolean);
    const then = row.behind ? `${many(row.behind, "job")} ${row.behind === 1 ? "waits" : "wait"} for this job.` : "Nothing waits for this job.";
    const rest = row.is_canary ? " It is one of the first of its kind: the rest starts when these are accepted." : "";
    const no = row.rejected === "dies" ? " Rejected, it is dead." : " What is rejected is left out.";
    return [
      h("h2", { class: "name" }, item.words),
      h("p", {}, h("a", { href: `/jobs/${row.job_id}` }, name), " ", idOf(row.job_id)),
      h("p", { class: "grey" }, facts.join(" · ")),
      h("div", { class: "previews" }, item.clip ? player(one, item.clip) : null, item.picture ? player(one, item.picture) : null),
      h("p", { class: "grey" }, then, rest, no),
      session.mayAct ? buttons() : null,
    ];
  }

  function buttons() {
    return h(
      "div", { class: "actions" },
      h("button", { type: "button", class: "primary", onclick: () => judge(true) }, "Accept ", h("kbd", {}, "A")),
      h("button", { type: "button", class: "danger", onclick: () => judge(false) }, "Reject ", h("kbd", {}, "R")),
      h("button", { type: "button", onclick: undo }, "Undo ", h("kbd", {}, "U")),
      h("label", {}, "Why ", h("input", { type: "text", maxlength: 500, autocomplete: "off" })),
    );
  }

  const source = (one, path) => `/api/v1/jobs/${encodeURIComponent(one.row.job_id)}/artefacts/${path.split("/").map(encodeURIComponent).join("/")}`;

  function player(one, path) {
    if (PICTURE.test(path)) return h("img", { src: source(one, path), alt: one.shown.item.words });
    const film = h("video", { src: source(one, path), controls: true, preload: "auto", muted: true, loop: true });
    film.addEventListener("loadedmetadata", () => (film.currentTime = one.shown.item.at_s ?? 0), { once: true });
    return film;
  }

  // ── fresh ────────────────────────────────────────────────────────────────────────────────────────────────

  async function load() {
    const q = new URLSearchParams(location.search).get("q") ?? "";
    const page = await fetched(query("/api/v1/review/pending", { q, limit: PAGE }));
    const before = current();
    const open = page.rows.flatMap((row) => row.items.filter((each) => !each.verdict).map((each) => ({ row, shown: each })));
    queue = open.filter((one) => !judged.has(keyOf(one)));
    isWhole = !page.cursor;
    fillTasks(tasks, page.rows, isWhole, q);
    // What one looks at stays under the eyes, whatever came or went around it.
    const found = before ? queue.findIndex((one) => keyOf(one) === keyOf(before)) : -1;
    at = found >= 0 ? found : Math.min(at, Math.max(0, queue.length - 1));
    tell();
  }

  const KEYS = { a: () => judge(true), r: () => judge(false), u: undo, ArrowRight: () => step(1), ArrowLeft: () => step(-1) };
  return {
    refresh: load,
    key(event) {
      const act = KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
      if (!act) return;
      event.preventDefault();
      act();
    },
    stop() {
      leave();
      window.removeEventListener("pagehide", leave);
    },
  };
}

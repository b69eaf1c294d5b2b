// The log of one job: followed as it is printed while the job runs and somebody looks, fetched once when it has ended.
// A browser has six connections a host: a hidden tab gives its own back, and of the tabs that are seen at once so many
// follow as there are slots; the others fetch the log with each look at the job.

import { h, put, visible } from "./dom.js";
import { get } from "./api.js";

const MOST_LINES = 3000;
const SLOTS = 3;
const GOES_ON = new Set(["admitted", "running"]);

/** One of the slots of this browser, as a function that gives it back; null: all are taken. */
async function slot() {
  if (!navigator.locks) return () => {};
  for (let n = 0; n < SLOTS; n += 1) {
    const free = await new Promise((answer) => {
      navigator.locks.request(`conductor.log.${n}`, { ifAvailable: true }, (lock) => {
        if (!lock) return answer(null);
        return new Promise((given) => answer(given));
      });
    });
    if (free) return free;
  }
  return null;
}

function linesOf(body) {
  if (!body.text) return [];
  const errors = new Set(body.stderr_lines);
  const text = body.text.endsWith("\n") ? body.text.slice(0, -1) : body.text;
  return text.split("\n").map((line, n) => ({ text: visible(line), isError: errors.has(n) }));
}

/** Lines of one stream that follow each other are one element; those of stderr are marked at the edge. */
function runs(lines) {
  const found = [];
  for (const { text, isError } of lines) {
    if (found.at(-1)?.isError !== isError) found.push({ text: "", isError });
    found.at(-1).text += `${text}\n`;
  }
  return found.map(({ text, isError }) =>
    h("span", isError ? { class: "stderr", title: "stderr" } : { class: "stdout" }, text));
}

/** `element`: where it is shown. Answers with { tell(state), stop() }; `state`: of the job, as it is now. */
export function jobLog(element, id) {
  const at = `/api/v1/jobs/${encodeURIComponent(id)}/log`;
  let source = null;
  let lines = [];
  let free = null; // gives the slot back
  let isTaking = false;
  let isOver = false;
  let isDue = false;
  let state = "";
  let fetchedFor = "";

  function isAtEnd() {
    return element.scrollTop + element.clientHeight >= element.scrollHeight - 8;
  }

  function draw() {
    isDue = false;
    const wasAtEnd = isAtEnd();
    put(element, lines.length ? runs(lines) : GOES_ON.has(state) || state === "waiting" ? "Nothing was printed yet." : "Nothing was printed, or it is not kept on this host.");
    if (wasAtEnd) element.scrollTop = element.scrollHeight;
  }

  function add(line, stream) {
    lines.push({ text: visible(line), isError: stream === "stderr" });
    if (lines.length > MOST_LINES) lines = lines.slice(-MOST_LINES);
    if (!isDue) requestAnimationFrame(draw);
    isDue = true;
  }

  async function follow() {
    if (source || isTaking || document.hidden) return;
    isTaking = true;
    const freed = await slot();
    isTaking = false;
    if (!freed) return;
    if (isOver || source || document.hidden || !GOES_ON.has(state)) return freed();
    free = freed;
    lines = [];
    let attempt = 0;
    source = new EventSource(`${at}?follow=true`);
    // Who comes back is told all of it again.
    source.onopen = () => (lines = []);
    source.onmessage = ({ data }) => {
      const told = JSON.parse(data);
      if (told.attempt !== attempt && lines.length) add(`── attempt ${told.attempt} ──`);
      attempt = told.attempt;
      add(told.line, told.stream);
    };
    source.addEventListener("end", leave);
    source.addEventListener("again", leave);
    // Refused (as many follow as may): it is fetched instead, with each look.
    source.onerror = () => source?.readyState === EventSource.CLOSED && leave();
  }

  function leave() {
    source?.close();
    source = null;
    free?.();
    free = null;
  }

  async function fetchOnce() {
    try {
      lines = (await get(at)).bodies.flatMap(linesOf).slice(-MOST_LINES);
    } catch (error) {
      lines = [{ text: error.message, isError: false }];
    }
    draw();
  }

  function onVisible() {
    if (document.hidden) leave();
    else if (GOES_ON.has(state)) follow();
  }

  document.addEventListener("visibilitychange", onVisible);
  return {
    async tell(next, attempts) {
      state = next;
      if (GOES_ON.has(state)) {
        fetchedFor = "";
        if ("EventSource" in window) await follow();
        if (!source) await fetchOnce();
        return;
      }
      leave();
      // What has ended prints nothing more: it is fetched again after another attempt only.
      if (fetchedFor === `${state} ${attempts}`) return;
      fetchedFor = `${state} ${attempts}`;
      await fetchOnce();
    },
    stop() {
      isOver = true;
      document.removeEventListener("visibilitychange", onVisible);
      leave();
    },
  };
}

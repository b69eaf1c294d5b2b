// The log of one job: followed as it is printed while the job runs and somebody looks, fetched once when it has ended.
// A browser has six connections a host: a hidden tab gives its own back.

import { put, visible } from "./dom.js";
import { text } from "./api.js";

const MOST_LINES = 3000;
const GOES_ON = new Set(["admitted", "running"]);

/** `element`: where it is shown. Answers with { tell(state), stop() }; `state`: of the job, as it is now. */
export function jobLog(element, id) {
  const at = `/api/v1/jobs/${encodeURIComponent(id)}/log`;
  let source = null;
  let lines = [];
  let isDue = false;
  let state = "";
  let fetchedFor = "";

  function isAtEnd() {
    return element.scrollTop + element.clientHeight >= element.scrollHeight - 8;
  }

  function draw() {
    isDue = false;
    const wasAtEnd = isAtEnd();
    put(element, lines.length ? lines.join("\n") : "Nothing was printed yet.");
    if (wasAtEnd) element.scrollTop = element.scrollHeight;
  }

  function add(line) {
    lines.push(visible(line));
    if (lines.length > MOST_LINES) lines = lines.slice(-MOST_LINES);
    if (!isDue) requestAnimationFrame(draw);
    isDue = true;
  }

  function follow() {
    if (source || document.hidden) return;
    lines = [];
    let attempt = 0;
    source = new EventSource(`${at}?follow=true`);
    // Who comes back is told all of it again.
    source.onopen = () => (lines = []);
    source.onmessage = ({ data }) => {
      const told = JSON.parse(data);
      if (told.attempt !== attempt && lines.length) add(`── attempt ${told.attempt} ──`);
      attempt = told.attempt;
      add(told.line);
    };
    source.addEventListener("end", leave);
    source.addEventListener("again", leave);
    // Refused (as many follow as may): it is fetched instead, with each look.
    source.onerror = () => source?.readyState === EventSource.CLOSED && leave();
  }

  function leave() {
    source?.close();
    source = null;
  }

  async function fetchOnce() {
    const told = await text(`${at}?text=true`).catch((error) => error.message);
    lines = told ? told.split("\n").slice(-MOST_LINES) : [];
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
        if ("EventSource" in window) follow();
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
      document.removeEventListener("visibilitychange", onVisible);
      leave();
    },
  };
}

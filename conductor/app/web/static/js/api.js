// The HTTP API: one way to ask, errors as sentences.

import { setNow } from "./format.js";

export class Refused extends Error {
  constructor(status, words, exitCode = 1) {
    super(words);
    this.status = status;
    this.isLedgerAway = status === 503 && exitCode === 4;
  }
}

async function ask(path, options = {}) {
  let answer;
  try {
    answer = await fetch(path, { credentials: "same-origin", cache: "no-store", ...options });
  } catch {
    throw new Refused(0, "The web server does not answer.");
  }
  if (answer.ok) return answer;
  const told = await answer.json().catch(() => null);
  const words = told?.error ?? told?.detail ?? told?.message;
  throw new Refused(answer.status, typeof words === "string" ? words : `The server answered with ${answer.status}.`, told?.exit_code);
}

export const get = async (path) => (await ask(path)).json();

/** How it stands with the ledger behind the server: since when it does not answer (epoch seconds of this machine). */
export const ledger = { silentSince: null, heardAt: null };

/** An answer that carries the ledger's time: the page counts ages from it. */
export async function fetched(path) {
  let heard;
  try {
    heard = await ask(path);
  } catch (error) {
    if (error.isLedgerAway) ledger.silentSince ??= ledger.heardAt ?? Date.now() / 1000;
    throw error;
  }
  const answer = await heard.json();
  const there = Date.now() / 1000;
  if (heard.headers.get("X-Stale")) ledger.silentSince = there - Number(heard.headers.get("X-Age-S"));
  else if (answer.is_live === false) ledger.silentSince ??= ledger.heardAt ?? there;
  else [ledger.silentSince, ledger.heardAt] = [null, there];
  if (typeof answer.now === "number") setNow(answer.now);
  return answer;
}

/** An action. The server wants JSON, and takes it from this page only. */
export async function post(path, body = {}, options = {}) {
  return (await acted(path, body, options)).told;
}

/** The same with the number of the deed, where it is one that is remembered. */
export async function acted(path, body = {}, options = {}) {
  const answer = await ask(path, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
    ...options,
  });
  return { told: answer.status === 204 ? null : await answer.json(), deed: Number(answer.headers.get("X-Deed")) };
}

export function query(path, values) {
  const given = Object.entries(values).filter(([, value]) => value !== "" && value !== null && value !== undefined);
  const words = new URLSearchParams(given).toString();
  return words ? `${path}?${words}` : path;
}

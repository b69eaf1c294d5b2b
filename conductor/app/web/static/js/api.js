// The HTTP API: one way to ask, errors as sentences.

import { setNow } from "./format.js";

export class Refused extends Error {
  constructor(status, words) {
    super(words);
    this.status = status;
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
  throw new Refused(answer.status, typeof words === "string" ? words : `The server answered with ${answer.status}.`);
}

export const get = async (path) => (await ask(path)).json();

/** Since when (epoch seconds of this machine) what is shown is not fresh any more: the ledger does not answer the server. */
export const ledger = { silentSince: null };

/** An answer that carries the ledger's time: the page counts ages from it. */
export async function fetched(path) {
  const heard = await ask(path);
  const answer = await heard.json();
  ledger.silentSince = heard.headers.get("X-Stale") ? Date.now() / 1000 - Number(heard.headers.get("X-Age-S") ?? 0) : null;
  if (typeof answer.now === "number") setNow(answer.now);
  return answer;
}

export const text = async (path) => (await ask(path)).text();

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

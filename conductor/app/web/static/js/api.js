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

/** An answer that carries the ledger's time: the page counts ages from it. */
export async function fetched(path) {
  const answer = await get(path);
  if (typeof answer.now === "number") setNow(answer.now);
  return answer;
}

export const text = async (path) => (await ask(path)).text();

/** An action. The server wants JSON, and takes it from this page only. */
export async function post(path, body = {}, options = {}) {
  const answer = await ask(path, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
    ...options,
  });
  return answer.status === 204 ? null : answer.json();
}

export function query(path, values) {
  const given = Object.entries(values).filter(([, value]) => value !== "" && value !== null && value !== undefined);
  const words = new URLSearchParams(given).toString();
  return words ? `${path}?${words}` : path;
}

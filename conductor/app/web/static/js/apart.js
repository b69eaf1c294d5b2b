// Parts of a page that are fetched beside each other: a slow one holds none of the others up.

import { say } from "./dom.js";
import { Refused } from "./api.js";

/** `work` at once, and once more after what came while it was at it. Nobody waits for it. */
export function apart(work) {
  let isAtIt = false;
  let again = null;
  return async function run(...given) {
    if (isAtIt) {
      again = given;
      return;
    }
    isAtIt = true;
    try {
      await work(...given);
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      if (error.status !== 0) say(error.message);
    } finally {
      isAtIt = false;
      const next = again;
      again = null;
      if (next) run(...next);
    }
  };
}

// What acts: it is said what will happen to how many, then it is done. The server asks for the count that was shown,
// so that what came in meanwhile is not taken along unseen.

import { acted, post, Refused } from "./api.js";
import { confirm } from "./dialog.js";
import { say } from "./dom.js";
import { sayDone } from "./deeds.js";
import { many } from "./format.js";

const BULK = {
  retry: ["dead", "cancelled", "review"],
  requeue: ["waiting", "admitted", "running"],
  cancel: ["waiting", "admitted", "running", "review", "dead"],
  drop: ["waiting", "review", "dead"],
};

/** The actions in which there may be something to do for the jobs of a filter. */
export function bulkVerbs(filter) {
  const states = /(?:^|\s)state:(\S+)/.exec(filter)?.[1].split(",");
  return Object.keys(BULK).filter((verb) => !states || states.some((state) => BULK[verb].includes(state)));
}

export const OF_ONE = {
  waiting: ["cancel"],
  admitted: ["requeue", "cancel"],
  running: ["requeue", "fail", "cancel"],
  dead: ["retry", "cancel"],
  review: ["retry", "cancel"],
};

const name = (verb) => verb[0].toUpperCase() + verb.slice(1);

async function attempted(act) {
  try {
    return await act();
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    say(error.message);
    return null;
  }
}

export async function one(verb, job, about) {
  if (!(await confirm(`${name(verb)} ${about}?`, name(verb)))) return;
  const done = await attempted(() => acted(`/api/v1/jobs/${job}/${verb}`));
  if (!done) return;
  const { is_taken: isTaken, was, kept } = done.told;
  if (isTaken) sayDone(`${name(verb)}: done.`, done.deed);
  else say(kept || `Nothing was done: it is ${was ?? "gone"}.`);
}

/** A word on something that is no job: said first, then done. */
export async function word(path, question, verb, detail) {
  if (!(await confirm(question, verb, detail))) return;
  const done = await attempted(() => acted(path));
  if (done) sayDone(`${verb}: done.`, done.deed);
}

/** `priority`: of the action of that name. */
export async function bulk(verb, filter, priority) {
  const asked = { action: verb, filter, ...(priority === undefined ? {} : { priority }) };
  const shown = await attempted(() => post("/api/v1/bulk", asked));
  if (!shown) return;
  const { count } = shown;
  if (!count) return say("No job that this could be done to.");
  const what = priority === undefined ? name(verb) : `Set the priority ${priority} for`;
  if (!(await confirm(`${what} ${many(count, "job")}?`, priority === undefined ? `${name(verb)} ${count}` : `Set ${count}`, filter))) return;
  const done = await attempted(() => acted("/api/v1/bulk", { ...asked, count }));
  if (done) sayDone(`${name(verb)}: done to ${many(done.told.taken, "job")}${left(done.told.left)}.`, done.deed);
}

const left = (states) => {
  const words = Object.entries(states).map(([state, count]) => `${count} ${state}`);
  return words.length ? `; left as they are: ${words.join(", ")}` : "";
};

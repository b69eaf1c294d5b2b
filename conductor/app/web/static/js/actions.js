// What acts: it is said what will happen to how many, then it is done. The server asks for the count that was shown,
// so that what came in meanwhile is not taken along unseen.

import { post, Refused } from "./api.js";
import { confirm } from "./dialog.js";
import { say } from "./dom.js";
import { many } from "./format.js";

export const BULK = ["retry", "requeue", "cancel", "drop"];
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
  const done = await attempted(() => post(`/api/v1/jobs/${job}/${verb}`));
  if (done) say(done.words ?? `${name(verb)}: done.`);
}

export async function bulk(verb, filter) {
  const shown = await attempted(() => post("/api/v1/bulk", { action: verb, filter }));
  if (!shown) return;
  const { count } = shown;
  if (!count) return say("No job that this could be done to.");
  if (!(await confirm(`${name(verb)} ${many(count, "job")}?`, `${name(verb)} ${count}`, filter))) return;
  const done = await attempted(() => post("/api/v1/bulk", { action: verb, filter, count }));
  if (done) say(done.words ?? `${name(verb)}: ${many(count, "job")}.`);
}

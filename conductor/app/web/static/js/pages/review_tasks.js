// What waits for a verdict, task by task: how much of it, what waits behind it, since when.

import { cells, h, head, rows } from "../dom.js";
import { ago } from "../format.js";
import { query } from "../api.js";

const LABELS = ["Task", ["Jobs"], ["To look at"], ["Jobs behind"], "Oldest"];

export function tasksTable() {
  return h("section", { hidden: true }, h("h2", {}, "By task"), h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "By task" }, h("table", { class: "stack" }, head(...LABELS), h("tbody"))), h("p", { class: "grey" }));
}

/** `waiting`: rows of the API; `q`: the filter that they are of. */
export function fillTasks(section, waiting, isWhole, q) {
  const sums = new Map();
  for (const row of waiting) {
    const sum = sums.get(row.task) ?? { task: row.task, jobs: 0, left: 0, behind: 0, since: null };
    sum.jobs += 1;
    sum.left += row.left;
    sum.behind += row.behind;
    if (row.since) sum.since = Math.min(sum.since ?? Infinity, row.since);
    sums.set(row.task, sum);
  }
  const found = [...sums.values()].sort((a, b) => b.behind - a.behind || b.left - a.left);
  section.hidden = !found.length;
  rows(section.querySelector("tbody"), found, (sum) => sum.task, () => h("tr"), (tr, sum) => cells(tr, LABELS, taskCells(sum)));
  const words = [isWhole ? "" : `Of the ${waiting.length} latest jobs. `, q ? h("a", { href: "/review" }, "All tasks") : ""];
  section.lastElementChild.replaceChildren(...words);
}

function taskCells(sum) {
  const number = { class: "number" };
  const link = h("a", { href: query("/review", { q: `task:${sum.task}` }) }, sum.task);
  return [link, [String(sum.jobs), number], [String(sum.left), number], [sum.behind ? String(sum.behind) : "", number], ago(sum.since)];
}

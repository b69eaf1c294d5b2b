// Alerts: what is wrong now, since when, what to do; and whether anybody would hear of it.

import { fetched } from "../api.js";
import { cells, h, head, put, rows } from "../dom.js";
import { ago, clock, many, moment } from "../format.js";
import { word } from "../actions.js";
import { session } from "../session.js";

export const title = "Alerts";

const ALERTS = ["Level", "What", "For", "Told", "What to do"];
const ACTS = [...ALERTS, "Actions"];
const CHANNELS = ["Channel", "State"];
const STALE_S = 60;

export function show(main) {
  const words = h("h1");
  const aside = h("p", { class: "grey" });
  const alerts = h("tbody");
  const channels = h("tbody");
  const table = (labels, body) => h("div", { class: "scroll", tabindex: 0 }, h("table", { class: "stack" }, head(...labels), body));
  const raised = table(session.mayAct ? ACTS : ALERTS, alerts);
  const dead = h("section", { hidden: true }, h("h2", {}, "Channels"), table(CHANNELS, channels));
  main.append(words, aside, raised, dead);
  return {
    async refresh() {
      const told = await fetched("/api/v1/alerts");
      put(words, headline(told));
      words.classList.toggle("alarm", told.alerts.length > 0);
      put(aside, silences(told));
      raised.hidden = told.alerts.length === 0;
      rows(alerts, told.alerts, (alert) => `${alert.rule} ${alert.subject}`, () => h("tr", { class: "fresh" }), (tr, alert) => cells(tr, ACTS, [...alertCells(alert, told), ...(session.mayAct ? [[hush(alert, told), {}]] : [])]));
      const known = Object.entries(told.channels);
      dead.hidden = known.length === 0;
      rows(channels, known, ([name]) => name, () => h("tr"), (tr, [name, tally]) => cells(tr, CHANNELS, [name, tally.fault ? h("span", { class: "alarm" }, `✕ ${tally.fault} (${tally.failed} failed, ${tally.held} wait)`) : "✓ messages arrive"]));
    },
  };
}

function headline(told) {
  if (!told.judged_at) return "Nobody has looked yet: a node does, once one is up.";
  if (told.now - told.judged_at > STALE_S) return `Nobody has looked for ${ago(told.judged_at)}: is a node up?`;
  return told.alerts.length ? `${many(told.alerts.length, "alert")} raised.` : "Nothing is raised.";
}

function silences(told) {
  const words = Object.entries(told.silenced).map(([rule, until]) => `${rule} is silenced until ${clock(until)}. `);
  return words.length ? words : "";
}

/** A rule is silenced, or heard again. */
function hush({ rule }, told) {
  const at = `/api/v1/alerts/${encodeURIComponent(rule)}/silence`;
  const [path, words, detail] = told.silenced[rule] ? [`${at}?for_s=0`, "Tell again", "Channels hear of it again."] : [at, "Silence for 2 h", "Nobody is told of this rule for so long. It is judged all the same."];
  return h("button", { type: "button", "aria-label": `${words}: ${rule}`, onclick: () => word(path, `${words}: ${rule}?`, words, detail) }, words);
}

function alertCells(alert, told) {
  const isUrgent = alert.level === "urgent";
  const level = h("span", { class: isUrgent ? "alarm" : "" }, isUrgent ? "✕ urgent" : "△ warning");
  const heard = told.silenced[alert.rule] ? "silenced" : alert.told_at === null ? "nobody yet" : `${alert.times} ×, last ${moment(alert.told_at)}`;
  return [level, [[h("strong", {}, [alert.rule, alert.subject].filter(Boolean).join(" ")), ": ", alert.words], {}], ago(alert.since), heard, h("code", {}, `docs/runbooks/${alert.runbook}`)];
}

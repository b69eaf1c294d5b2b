// What was done by somebody's word, and the way back: offered where it was done, and kept in a list.

import { acted, fetched, post, Refused } from "./api.js";
import { closeDialog, confirm, openDialog } from "./dialog.js";
import { h, say } from "./dom.js";
import { moment } from "./format.js";
import { session } from "./session.js";

/** What was done, and beside it the way back where there is one. */
export async function sayDone(words, number) {
  say(words);
  if (!number) return;
  const deed = (await list()).find((each) => each.number === number);
  if (deed?.back) say(words, h("button", { type: "button", onclick: () => takeBack(deed) }, "Take it back"));
}

async function list() {
  const told = await fetched("/api/v1/deeds").catch(() => null);
  return told?.deeds ?? [];
}

async function takeBack(deed) {
  if (!(await confirm(`Take back «${deed.words}»?`, "Take it back", deed.back))) return;
  try {
    const { told } = await acted(`/api/v1/deeds/${deed.number}/back`);
    say(told.words);
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    say(error.message);
  }
}

/** The list of them, as a dialog. */
export async function showDeeds() {
  const deeds = await list();
  const who = session.mayAct ? h("p", {}, `You act as ${session.name}. `, h("button", { type: "button", onclick: leave }, "Leave")) : h("p", {}, "You are looking only: ", h("code", {}, "conductor web --link"), " prints a link with which you may act.");
  const all = deeds.length ? h("ol", { class: "deeds" }, deeds.map(row)) : h("p", { class: "grey" }, "Nothing was done through this page since the web process began.");
  openDialog("What was done", who, all, h("div", { class: "actions" }, h("button", { type: "button", autofocus: true, onclick: closeDialog }, "Close")));
}

function row(deed) {
  const way = deed.taken_back_by ? h("span", { class: "grey" }, `taken back by ${deed.taken_back_by}`) : !deed.back ? h("span", { class: "grey" }, "no way back") : session.mayAct ? h("button", { type: "button", "aria-label": `Take back ${deed.words}`, onclick: () => takeBack(deed) }, "Take it back") : null;
  return h("li", {}, h("strong", {}, deed.words), h("div", { class: "grey" }, `${moment(deed.at)}, ${deed.who} `), way);
}

async function leave() {
  await post("/api/v1/logout").catch(() => null);
  location.reload();
}

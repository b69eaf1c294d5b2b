// The one dialog: the keys, and the question before an action.

import { h } from "./dom.js";

const dialog = document.getElementById("dialog");

const KEYS = [
  ["/", "search the jobs"],
  ["j  k", "down and up in a list"],
  ["Enter", "open what is chosen beside the list; once more, its page"],
  ["x", "choose a job for an action"],
  ["e  l", "of the chosen job: why it is where it is, its log"],
  ["c", "copy the next command of the page"],
  ["i", "copy the id of the job"],
  ["d", "what was done, and the way back"],
  ["A  R  U", "of a review: accept, reject, undo"],
  ["← →", "of a review: step"],
  ["Esc", "back, or close"],
  ["g", "the next page"],
  ["?", "these keys"],
];

export function closeDialog() {
  const was = dialog.open;
  dialog.close();
  return was;
}

export function openDialog(title, ...content) {
  dialog.replaceChildren(h("h1", { id: "dialog-title" }, title), ...content);
  if (!dialog.open) dialog.showModal();
  dialog.querySelector("[autofocus]")?.focus();
}

export function showKeys() {
  const rows = KEYS.flatMap(([key, words]) => [h("dt", {}, h("kbd", {}, key)), h("dd", {}, words)]);
  openDialog("Keys", h("dl", { class: "facts" }, rows), h("button", { type: "button", onclick: closeDialog }, "Close"));
}

/** Says what will be done, and does it if the answer is yes. True where it was. */
export function confirm(words, verb, detail = "") {
  return new Promise((answer) => {
    const done = (value) => () => {
      dialog.onclose = null;
      closeDialog();
      answer(value);
    };
    dialog.onclose = () => answer(false);
    const yes = h("button", { type: "button", class: "danger", onclick: done(true) }, verb);
    const no = h("button", { type: "button", onclick: done(false), autofocus: true }, "Leave it");
    openDialog(words, detail ? h("p", { class: "grey" }, detail) : null, h("div", { class: "actions" }, yes, no));
  });
}

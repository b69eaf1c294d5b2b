// A job beside the list that it was opened from, where there is room for both; its own page where there is not.

import { h } from "../dom.js";
import { go } from "../navigation.js";
import * as jobPage from "./job.js";

const ROOMY = matchMedia("(min-width: 1100px)");
// Somebody who walks down the list does not ask for each job on the way.
const WALKING_MS = 150;

/** `moved(id)`: another job is shown, or none (""). */
export function jobBeside(moved) {
  const body = h("div");
  const close = h("button", { type: "button", class: "small", onclick: () => open("") }, "Close");
  const whole = h("a", {}, "its page");
  const pane = h("aside", { class: "pane", "aria-label": "The chosen job", hidden: true }, h("p", {}, whole, " ", close), body);
  let shown = null;
  let id = "";
  let timer;

  function open(next) {
    clearTimeout(timer);
    if (next === id) return;
    if (next && !ROOMY.matches) return go(`/jobs/${next}`);
    shown?.stop();
    id = next;
    pane.hidden = !id;
    body.replaceChildren();
    whole.href = `/jobs/${id}`;
    shown = id ? jobPage.show(body, id, true) : null;
    moved(id);
  }

  return {
    pane,
    id: () => id,
    /** Once more of the same: its own page. */
    open: (next) => (next === id ? go(`/jobs/${next}`) : open(next)),
    close: () => id && (open(""), true),
    follow(next) {
      clearTimeout(timer);
      if (id) timer = setTimeout(() => open(next), WALKING_MS);
    },
    refresh: async () => shown?.refresh(),
    stop() {
      clearTimeout(timer);
      shown?.stop();
    },
  };
}

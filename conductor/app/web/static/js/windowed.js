// A list of any length: only the rows in sight are elements. More is fetched when the end of what is known comes near.

import { h, put, rows } from "./dom.js";

export const ROW_PX = 32;
const BEYOND = 12; // rows above and below what is seen

/**
 * `fill(element, item)` writes a row, `heads()` are the cells above them all; `more()` is called when the end comes
 * near; `open(item)` on Enter or a click; `none()`: what stands in `empty` where there are no rows.
 */
export function windowed({ label, key, heads, fill, more, open, none }) {
  const top = h("div", { class: "row heads", role: "row" });
  const inside = h("div", { class: "inside", role: "presentation" });
  const box = h("div", { class: "list", role: "grid", "aria-label": label, "aria-multiselectable": "true", tabindex: 0 }, top, inside);
  const empty = h("p", { class: "empty", hidden: true });
  let items = [];
  let isKnown = false; // whether there are none, too
  let at = -1; // the row that the keys are on
  const chosen = new Set();

  function draw() {
    put(top, heads());
    empty.hidden = !isKnown || items.length > 0;
    if (!empty.hidden) put(empty, none());
    inside.style.height = `${items.length * ROW_PX}px`;
    const first = Math.max(0, Math.floor(box.scrollTop / ROW_PX) - BEYOND);
    const last = Math.min(items.length, Math.ceil((box.scrollTop + box.clientHeight) / ROW_PX) + BEYOND);
    const seen = items.slice(first, last).map((item, i) => ({ item, index: first + i }));
    rows(inside, seen, ({ item }) => key(item), make, place);
    if (last > items.length - 2 * BEYOND) more();
  }

  function make({ item }) {
    return h("div", { class: "row", role: "row", onclick: (event) => event.target.closest("a, .id") || open(item) });
  }

  function place(element, { item, index }) {
    element.style.transform = `translateY(${index * ROW_PX}px)`;
    element.id = `row-${key(item)}`;
    element.setAttribute("aria-selected", String(chosen.has(key(item)) || index === at));
    fill(element, item, chosen.has(key(item)));
  }

  function move(step) {
    if (!items.length) return;
    at = Math.min(items.length - 1, Math.max(0, at + step));
    // The heads stay where they are: that much of the box is theirs.
    const [first, seen] = [at * ROW_PX, box.clientHeight - ROW_PX];
    if (first < box.scrollTop) box.scrollTop = first;
    if (first + ROW_PX > box.scrollTop + seen) box.scrollTop = first + ROW_PX - seen;
    draw();
    box.setAttribute("aria-activedescendant", `row-${key(items[at])}`);
  }

  box.addEventListener("scroll", draw, { passive: true });
  box.addEventListener("keydown", (event) => {
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      move(event.key === "ArrowDown" ? 1 : -1);
    }
  });
  new ResizeObserver(draw).observe(box);

  return {
    box,
    empty,
    chosen,
    draw,
    current: () => items[at] ?? null,
    set(next) {
      items = next;
      isKnown = true;
      if (at >= items.length) at = items.length - 1;
      draw();
    },
    key(event) {
      if (event.key === "j") move(1);
      else if (event.key === "k") move(-1);
      else if (event.key === "Enter" && items[at]) open(items[at]);
      else if (event.key === "x" && items[at]) {
        const name = key(items[at]);
        if (!chosen.delete(name)) chosen.add(name);
        draw();
      } else return false;
      return true;
    },
  };
}

// From page to page without loading anew. The shell listens for `popstate`, as the browser's own way back sends it.

/** Goes to another page of ours; `replace`: the way back leaves this step out. */
export function go(to, { replace = false } = {}) {
  history[replace ? "replaceState" : "pushState"]({}, "", to);
  dispatchEvent(new PopStateEvent("popstate"));
}

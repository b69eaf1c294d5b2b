// Light and dark follow the system until somebody chooses; the choice is kept in this browser.

const KEY = "conductor.theme";
const NEXT = { "": "dark", dark: "light", light: "" };
const root = document.documentElement;

function set(theme) {
  if (theme) root.dataset.theme = theme;
  else delete root.dataset.theme;
}

export function chooseTheme() {
  const theme = NEXT[root.dataset.theme ?? ""];
  set(theme);
  localStorage.setItem(KEY, theme);
}

set(localStorage.getItem(KEY) ?? "");

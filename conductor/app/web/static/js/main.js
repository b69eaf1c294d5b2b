// The shell: which page is shown, how it is kept fresh, the keys. A page is { title, show(view) } in its own module.

import { put, h } from "./dom.js";
import { ledger, Refused } from "./api.js";
import { listen, liveState, start } from "./live.js";
import { clock } from "./format.js";
import { go } from "./navigation.js";
import { chooseTheme } from "./theme.js";
import { closeDialog, showKeys } from "./dialog.js";
import { showDeeds } from "./deeds.js";
import { session } from "./session.js";
import { copyId, copyNext, prose } from "./pages/parts.js";
import * as nowPage from "./pages/now.js";
import * as jobsPage from "./pages/jobs.js";
import * as jobPage from "./pages/job.js";
import * as hostsPage from "./pages/hosts.js";
import * as nightPage from "./pages/night.js";
import * as reviewPage from "./pages/review.js";
import * as schedulesPage from "./pages/schedules.js";
import * as alertsPage from "./pages/alerts.js";
import * as whatIfPage from "./pages/what_if.js";

const NAV = [
  ["/", "Now", nowPage],
  ["/jobs", "Jobs", jobsPage],
  ["/hosts", "Hosts", hostsPage],
  ["/review", "Review", reviewPage],
  ["/night", "Night", nightPage],
  ["/schedules", "Schedules", schedulesPage],
  ["/alerts", "Alerts", alertsPage],
  ["/what-if", "What if", whatIfPage],
];
// Two fetches are at least so far apart, however many events come.
const PAUSE_MS = 150;

const main = document.getElementById("main");
const nav = document.getElementById("nav");
const live = document.getElementById("live");
const trouble = document.getElementById("trouble");

let page = null; // what is shown: { refresh(event), key(key), stop() }
let path = "";
let heardAt = Date.now() / 1000; // a server that never answers is missed as one that is gone

function pageOf(pathname) {
  if (pathname.startsWith("/jobs/")) return jobPage;
  return NAV.find(([at]) => at === pathname)?.[2] ?? null;
}

async function show() {
  if (location.pathname + location.search === path) return;
  path = location.pathname + location.search;
  page?.stop?.();
  const found = pageOf(location.pathname);
  put(nav, NAV.map(([at, name]) => h("a", { href: at, "aria-current": isUnder(at) ? "page" : null }, name)));
  main.replaceChildren();
  put(trouble);
  if (!found) {
    main.append(h("h1", {}, "There is no such page."), h("p", {}, h("a", { href: "/" }, "Now")));
    page = null;
    return;
  }
  document.title = `${found.title} · Conductor`;
  page = found.show(main);
  // Until there is something to say, and where nothing can be said.
  const heading = main.querySelector("h1");
  if (heading && !heading.textContent) put(heading, found.title);
  await refresh({ type: "poll" });
}

const isUnder = (at) => (at === "/" ? location.pathname === "/" : location.pathname.startsWith(at));

// ── fresh ──────────────────────────────────────────────────────────────────────────────────────────────────

let asking = null; // the page that is being brought up to date: another one does not wait for it
let again = null;
let last = 0;

/** At once, and again after what came meanwhile; never more often than each PAUSE_MS. */
async function refresh(event) {
  if (event.type === "state") return mark();
  if (document.hidden || !page) return;
  if (asking === page) {
    again = event;
    return;
  }
  const mine = (asking = page);
  again = null;
  const wait = last + PAUSE_MS - performance.now();
  if (wait > 0) await new Promise((done) => setTimeout(done, wait));
  last = performance.now();
  try {
    await mine.refresh(event);
    heardAt = Date.now() / 1000;
    put(trouble);
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    // It stays for as long as it is so: what stands below is from before, or there is nothing.
    if (error.status !== 0) heardAt = Date.now() / 1000;
    if (error.status !== 0 && asking === mine) put(trouble, prose(error.message));
  } finally {
    mark();
    if (asking === mine) {
      asking = null;
      const next = again;
      again = null;
      if (next) refresh(next);
    }
  }
}

function mark() {
  const isOld = Date.now() / 1000 - heardAt > 15;
  const words = isOld ? `✕ this is from ${clock(heardAt)}, the server does not answer` : ledger.silentSince ? `✕ this is from ${clock(ledger.silentSince)}, Redis does not answer` : "";
  live.dataset.state = words ? "old" : liveState();
  live.textContent = words || (liveState() === "live" ? "● live" : "◌ polling");
}

// ── links and keys ─────────────────────────────────────────────────────────────────────────────────────────

document.addEventListener("click", (event) => {
  const link = event.target.closest("a[href]");
  if (!link || event.defaultPrevented || event.button || event.metaKey || event.ctrlKey || event.shiftKey) return;
  const to = new URL(link.href, location.href);
  if (to.origin !== location.origin || to.pathname.startsWith("/api/") || link.hasAttribute("download")) return;
  event.preventDefault();
  go(to.pathname + to.search);
});

document.addEventListener("keydown", (event) => {
  const isTyping = event.target.matches?.("input, textarea, select");
  if (event.key === "Escape") {
    if (closeDialog()) return;
    if (isTyping) return event.target.blur();
    if (location.pathname.startsWith("/jobs/")) return history.back();
    return page?.key?.(event);
  }
  if (isTyping || event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  if (event.key === "?") return showKeys();
  if (event.key === "c") return copyNext();
  if (event.key === "i") return copyId();
  if (event.key === "d") return showDeeds();
  if (event.key === "/") {
    event.preventDefault();
    if (location.pathname !== "/jobs") go("/jobs");
    document.querySelector('input[type="search"]')?.focus();
    return;
  }
  if (event.key === "g") return go(NAV[(NAV.findIndex(([at]) => isUnder(at)) + 1) % NAV.length][0]);
  page?.key?.(event);
});

window.addEventListener("popstate", show);
document.getElementById("deeds").addEventListener("click", showDeeds);
document.getElementById("keys").addEventListener("click", showKeys);
document.getElementById("theme").addEventListener("click", chooseTheme);

await session.begin();
start();
listen(refresh);
setInterval(mark, 5000);
show();

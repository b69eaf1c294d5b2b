"""What the page and the API cost behind a long night, in a real browser and over real HTTP.

    python benchmarks/web.py [--waiting 1000000] [--ended 200000] [--times 20] [--json FILE]

A project with so many jobs, its Valkey, `conductor web` and, for the last figure, `conductor conduct`. Goals:
`/api/v1/jobs` by any filter and first paint, 95 of 100: 100 ms and 300 ms; from the event stream to the
screen, 95 of 100: 300 ms; `/metrics`: 50 ms; 100,000 receipts into an index that is not there: 10 s; CPU of
the conductor with ten who watch: 3 % more. By the clock where a person waits, CPU where it is a share.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

import httpx
import psutil
from history import FILTERS, a_manifest, receipts, timed
from playwright.sync_api import Browser, Page, sync_playwright

from conductor.adapters.files.web_files import web_url_file
from conductor.adapters.open_ledger import open_ledger
from conductor.base.settings.settings import CONFIG_NAME, Settings, load
from conductor.dispatch.catalogue import load_catalogue
from conductor.model.job_class import class_of
from conductor.model.job_filter import filter_words
from conductor.model.ledger_entries import Entry
from conductor.model.report import NodeReport, QueueReport
from conductor.model.snapshot import Lookahead
from conductor.model.spec import from_line
from conductor.model.told_event import ToldEvent
from conductor.ports import Ledger
from conductor.record.index.history import HistoryIndex
from conductor.record.index.schema import remove

CONFIG = "[roots.scratch]\npath = 'scratch'\n[roots.published]\npath = 'published'\n[web]\nport = 0\n"
PAGES = ("/", "/jobs", "/jobs?q=state:dead", "/hosts", "/alerts")
WATCHERS, PAIRS, WATCHED_S = 10, 6, 12.0
PUT, TTL_S = 5_000, 7200.0
LOOK = Lookahead()
PAINT = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime"
#: What the page's heading showed when, by the clock of this machine.
HEARD = """() => {
  window.heard = [];
  new MutationObserver(() => window.heard.push([performance.timeOrigin + performance.now(),
    document.querySelector('h1').textContent])).observe(document.body, {subtree: true, childList: true,
    characterData: true});
}"""


def filled(ledger: Ledger, settings: Settings, waiting: int, ended: int, read: int) -> dict[str, Any]:
    """The record of it all and the ledger; what it takes to index `read` receipts from nothing."""
    folder = settings.project
    settings.receipts_dir.mkdir(parents=True, exist_ok=True)
    index = HistoryIndex(settings.state_dir, settings.receipts_dir)
    receipts(folder, 0, read)
    took = timed(index.refresh)
    remove(index.file)
    receipts(folder, read, max(read, ended))
    a_manifest(folder, "night.jsonl", 0, ended + waiting)
    put(ledger, folder / "night.jsonl", ended)
    # It has no worker: everything waits, and the conductor says why at each tick.
    queue = QueueReport(queue="cpu-bench", lane="cpu")
    ledger.reports.publish(NodeReport(node="bench", host="bench", queues=(queue,)), TTL_S)
    return {"receipts": read, **took}


def put(ledger: Ledger, manifest: Path, ended: int) -> None:
    """What waits. What has ended is told of by the record alone."""
    catalogue, entries = load_catalogue(), list[Entry]()
    with manifest.open("rb") as lines:
        for n, line in enumerate(lines):
            if n < ended:
                continue
            spec = from_line(line)
            job_class = class_of(spec, catalogue.get(spec.task) or catalogue["diagnostics.echo"], "night")
            entries.append(Entry(job_id=spec.id, line=line.strip(), job_class=job_class))
            if len(entries) == PUT:
                ledger.intake.put("night", entries)
                entries = []
    if entries:
        ledger.intake.put("night", entries)


@contextmanager
def command(settings: Settings, *words: str) -> Generator[psutil.Process]:
    log = (settings.project / f"{words[0]}.out").open("wb")
    argv = [sys.executable, "-P", "-m", "conductor", *words]
    process = subprocess.Popen(argv, cwd=settings.project, stdout=log, stderr=log)
    try:
        yield psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait(30)


def tell(words: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {words} …", file=sys.stderr, flush=True)


def until(what: Callable[[], Any], limit_s: float = 120.0) -> Any:
    deadline = time.monotonic() + limit_s
    while not (answer := what()):
        if time.monotonic() > deadline:
            raise TimeoutError("it did not come to pass")
        time.sleep(0.01)
    return answer


def spread(values: Sequence[float]) -> dict[str, float]:
    return {
        "p50_ms": round(statistics.median(values), 1),
        "p95_ms": round(statistics.quantiles(values, n=20)[-1], 1),
        "most_ms": round(max(values), 1),
    }


def cpu_s(process: psutil.Process) -> float:
    """Of all its threads that live, by the scheduler's nanoseconds: `cpu_times` counts in steps of 10 ms."""
    tasks = Path(f"/proc/{process.pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text("ascii").split()[0]) for task in tasks) / 1e9


# ── over HTTP ─────────────────────────────────────────────────────────────────────────────────────────────


def asked(ask: httpx.Client, path: str, times: int, pause_s: float = 0.0, **params: str) -> list[float]:
    took: list[float] = []
    for _ in range(times):
        began = time.perf_counter()
        answer = ask.get(path, params=params)
        took.append((time.perf_counter() - began) * 1000)
        assert answer.status_code == 200, answer.text[:200]
        time.sleep(pause_s)
    return took


def lists(ask: httpx.Client, web: psutil.Process, times: int) -> Iterator[tuple[str, dict[str, float]]]:
    every: list[float] = []
    for name, wanted in FILTERS.items():
        before = cpu_s(web)
        took = asked(ask, "/api/v1/jobs", times, q=filter_words(wanted))
        every += took
        yield name, {**spread(took), "cpu_ms": round((cpu_s(web) - before) * 1000 / times, 1)}
    yield "any filter", spread(every)


# ── in a browser ──────────────────────────────────────────────────────────────────────────────────────────


def first_paints(browser: Browser, url: str, path: str, times: int) -> list[float]:
    """Each in a browser's profile that has nothing cached."""
    took: list[float] = []
    for _ in range(times):
        context = browser.new_context(base_url=url)
        page = context.new_page()
        page.goto(path)
        page.get_by_role("heading", level=1).wait_for()
        took.append(until(lambda page=page: page.evaluate(PAINT)))
        context.close()
    return took


def to_screen(ledger: Ledger, page: Page, times: int) -> list[float]:
    """From when a job that is cancelled is told of on the stream to when the heading counts it."""
    page.goto("/")
    page.get_by_text("● live").wait_for()
    page.evaluate(HEARD)
    heads = [head.job_id for each in ledger.waiting.candidates(LOOK) for head in each.heads]
    took: list[float] = []
    for job_id in heads[:times]:
        page.evaluate("() => { window.heard.length = 0; }")
        ledger.commands.cancel(job_id)
        at = time.time() * 1000
        ledger.events.append([ToldEvent(name="operator.acted", at=time.time(), fields={"job_id": job_id})])
        first = "() => window.heard.length ? window.heard[0][0] : 0"
        took.append(until(lambda first=first: page.evaluate(first)) - at)
        time.sleep(0.1 + 0.037 * (len(took) % 20))
    return took


# ── ten who watch ─────────────────────────────────────────────────────────────────────────────────────────


def watched(url: str, is_over: threading.Event) -> None:
    """As a tab: the stream, and with each event what there is now."""
    with httpx.Client(base_url=url, timeout=30.0) as ask, ask.stream("GET", "/api/v1/events") as stream:
        for line in stream.iter_lines():
            if is_over.is_set():
                return
            if line.startswith("data:"):
                ask.get("/api/v1/now")


def with_watchers(settings: Settings, ledger: Ledger, url: str) -> dict[str, Any]:
    """CPU of a leader that ticks behind all of it, in turns alone and watched."""
    shares: list[float] = []
    alone_s: list[float] = []
    with command(settings, "conduct") as leader:
        until(lambda: ledger.gate_record.gates().at)
        time.sleep(5.0)
        for _ in range(PAIRS):
            alone = ticked(leader, ledger)
            is_over = threading.Event()
            tabs = [
                threading.Thread(target=watched, args=(url, is_over), daemon=True) for _ in range(WATCHERS)
            ]
            for tab in tabs:
                tab.start()
            time.sleep(1.0)
            with_them = ticked(leader, ledger)
            is_over.set()
            ledger.events.append([ToldEvent(name="operator.acted", at=time.time())])
            for tab in tabs:
                tab.join(20.0)
            alone_s.append(alone)
            shares.append(with_them / alone)
    return {
        "alone_cpu_ms_per_s": round(1000 * statistics.median(alone_s) / WATCHED_S, 2),
        "watched_to_alone": round(statistics.median(shares), 3),
        "least": round(min(shares), 3),
        "most": round(max(shares), 3),
    }


def ticked(leader: psutil.Process, ledger: Ledger) -> float:
    """CPU seconds, while something is told four times a second."""
    before, until_s = cpu_s(leader), time.monotonic() + WATCHED_S
    while time.monotonic() < until_s:
        ledger.events.append([ToldEvent(name="operator.acted", at=time.time())])
        time.sleep(0.25)
    return cpu_s(leader) - before


def measured(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    figures: dict[str, Any] = {"load_before": round(os.getloadavg()[0], 1)}
    (folder / CONFIG_NAME).write_text(CONFIG, encoding="utf-8")
    settings = load(folder)
    with open_ledger(settings) as ledger:
        read = min(options.ended, 100_000)
        tell("filling")
        figures["index_from_nothing"] = filled(ledger, settings, options.waiting, options.ended, read)
        tell("web")
        figures |= served(settings, ledger, options)
    figures["load_after"] = round(os.getloadavg()[0], 1)
    return figures


def served(settings: Settings, ledger: Ledger, options: argparse.Namespace) -> dict[str, Any]:
    figures: dict[str, Any] = {}
    with command(settings, "web") as web:
        until(web_url_file(settings.state_dir).exists)
        url = web_url_file(settings.state_dir).read_text(encoding="utf-8").strip()
        with httpx.Client(base_url=url, timeout=600.0) as ask:
            # The first feed is through: who asks while it goes on waits for it, for a second and a half.
            whole = options.waiting + options.ended
            until(lambda: ask.get("/api/v1/jobs").json()["count"] >= whole, 900.0)
            until(lambda: asked(ask, "/api/v1/jobs", 1)[0] < 1000, 900.0)
            tell("lists")
            figures["lists"] = dict(lists(ask, web, options.times))
            figures["sums"] = {
                q or "all": spread(asked(ask, "/api/v1/sums", options.times, q=q, by="cause"))
                for q in ("", "state:dead", "since:1h")
            }
            tell("metrics and now")
            figures["metrics"] = spread(asked(ask, "/metrics", options.times, 1.05))
            figures["now"] = spread(asked(ask, "/api/v1/now", options.times, 0.3))
        tell("first paint")
        with sync_playwright() as driver:
            browser = driver.chromium.launch(
                executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
            )
            paints = {path: spread(first_paints(browser, url, path, options.times)) for path in PAGES}
            figures["first_paint"] = paints
            tell("event to screen")
            page = browser.new_page(base_url=url)
            figures["event_to_screen"] = spread(to_screen(ledger, page, options.times))
            browser.close()
        tell("watchers")
        figures["watchers"] = with_watchers(settings, ledger, url)
    return figures


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--waiting", type=int, default=1_000_000)
    parser.add_argument("--ended", type=int, default=200_000)
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="web"))
    try:
        text = json.dumps(measured(folder, options), indent=1, ensure_ascii=False)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(text)
    if options.json:
        options.json.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

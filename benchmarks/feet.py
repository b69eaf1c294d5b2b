"""What Conductor costs while nothing happens: `python benchmarks/feet.py [--seconds 60] [--runs 20] [--json
FILE]`.

An idle conductor, a standby and a node with its workers, as real processes on a Valkey of their own: CPU (%
of one core), memory and wake-ups of each. Then `conductor up` as it comes, and with all its workers started:
what a further worker, with its child, adds. Then the first moments of commands: wall and CPU time of help,
completion and `status`, and the imports that weigh most in each. All of it is byte-compiled, as it is from
the second call on.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
from recovery import machine, telling, until

from conductor.adapters.open_ledger import open_ledger
from conductor.adapters.redis import valkey
from conductor.base.settings.settings import Settings, load
from conductor.ports import Ledger

CONFIG = """
node = "bench"
[lanes]
gpu.workers = 0
cpu.workers = {workers}
io.workers = 1
cloud.workers = 1
[workers]
idle_s = 0
[limits]
ram_headroom_mib = 0
[dashboard]
is_on = false
"""
UP_CONFIG = """
node = "bench"
[web]
port = 0
[dashboard]
port = 0
"""
TICK_S = 1 / os.sysconf("SC_CLK_TCK")
#: After the workers are up: forecasts and first looks are over.
SETTLED_S = 8.0
#: The goals: % of one core for the conductor and for the node's own process; seconds of a command that needs
#: no ledger.
MOST_CPU_PCT, MOST_WALL_S = 1.0, 0.150
#: PSS of all processes of an idle `up`, and of one more worker with its child.
MOST_UP_MIB, MOST_WORKER_MIB = 250.0, 15.0
HEAVIEST = 6
STARTED = {"conductor": "conduct", "standby": "conduct", "node": "node"}
COMMANDS: dict[str, tuple[tuple[str, ...], Mapping[str, str]]] = {
    "--help": (("--help",), {}),
    "status --help": (("status", "--help"), {}),
    "completion": (
        (),
        {"_CONDUCTOR_COMPLETE": "complete_bash", "COMP_WORDS": "conductor st", "COMP_CWORD": "1"},
    ),
    "completion of options": (
        (),
        {"_CONDUCTOR_COMPLETE": "complete_bash", "COMP_WORDS": "conductor status --", "COMP_CWORD": "2"},
    ),
    "status": (("status",), {}),
}


# ── idle processes ────────────────────────────────────────────────────────────────────────────────────────


def idle(
    folder: Path, seconds: float, workers: int, then: Callable[[], Any]
) -> tuple[list[dict[str, Any]], Any]:
    """A row a process, and what `then` gives while all of it is up."""
    (folder / "conductor.toml").write_text(CONFIG.format(workers=workers), encoding="utf-8")
    settings = load(folder)
    with open_ledger(settings) as ledger, telling(folder), running(settings, ledger, workers + 2) as roots:
        time.sleep(SETTLED_S)
        pids = {pid: name for name, root in roots.items() for pid, name in named(root, name).items()}
        before, began = {pid: spent(pid) for pid in pids}, time.monotonic()
        time.sleep(seconds)
        passed = time.monotonic() - began
        rows = [row(name, before[pid], spent(pid), pid, passed) for pid, name in sorted(pids.items())]
        return rows, then()


@contextmanager
def running(settings: Settings, ledger: Ledger, workers: int) -> Generator[dict[str, int]]:
    """Name → pid of what was started and of the server, all workers up."""
    going: list[subprocess.Popen[bytes]] = []
    try:
        for name, word in STARTED.items():
            log = (settings.project / f"{name}.out").open("wb")
            argv = [sys.executable, "-P", "-m", "conductor", word]
            going.append(subprocess.Popen(argv, cwd=settings.project, stdout=log, stderr=log))
            until(ledger.leadership.leader)
        until(lambda: sum(q.workers for r in ledger.reports.live() for q in r.queues) >= workers)
        server = int(valkey.place_of(settings.valkey).pid_file.read_text())
        yield {**{name: process.pid for name, process in zip(STARTED, going, strict=True)}, "valkey": server}
    finally:
        for process in reversed(going):
            process.terminate()
        for process in going:
            process.wait(30)


# ── the whole project ─────────────────────────────────────────────────────────────────────────────────────


def whole(folder: Path, seconds: float) -> list[dict[str, Any]]:
    """A row for `up` as it comes, and one with all its workers started."""
    (folder / "conductor.toml").write_text(UP_CONFIG, encoding="utf-8")
    # What is compiled on the way stays in the memory of who compiled it: once for nothing.
    with up(folder, "0"):
        pass
    with up(folder, "60") as pid:
        asleep = summed("up", pid, seconds)
    with up(folder, "0") as pid:
        awake = summed("up, all workers started", pid, seconds)
    awake["mib_a_worker"] = round((awake["pss_mib"] - asleep["pss_mib"]) / awake["workers"], 1)
    return [asleep, awake]


@contextmanager
def up(folder: Path, idle_s: str) -> Generator[int]:
    """Its pid, once it is up and at rest."""
    env = {**compiling(folder), "CONDUCTOR_WORKERS__IDLE_S": idle_s}
    log = folder / "up.out"
    with log.open("wb") as sink:
        argv = [sys.executable, "-P", "-m", "conductor", "up"]
        going = subprocess.Popen(argv, cwd=folder, env=env, stdout=sink, stderr=sink)
    try:
        until(lambda: b"Up" in log.read_bytes())
        time.sleep(SETTLED_S)
        yield going.pid
    finally:
        going.terminate()
        going.wait(60)


def summed(what: str, root: int, seconds: float) -> dict[str, Any]:
    """All processes below it in one row."""
    pids = {root, *(below.pid for below in psutil.Process(root).children(recursive=True))}
    before, began = {pid: spent(pid) for pid in pids}, time.monotonic()
    time.sleep(seconds)
    passed = time.monotonic() - began
    rows = [row(str(pid), before[pid], spent(pid), pid, passed) for pid in pids if psutil.pid_exists(pid)]
    sums = {key: round(sum(each[key] for each in rows), 1) for key in ("cpu_pct", "wakeups_per_s", "pss_mib")}
    workers = sum("--lane" in psutil.Process(pid).cmdline() for pid in pids)
    return {"what": what, "processes": len(rows), "workers": workers, **sums}


def named(pid: int, name: str) -> dict[int, str]:
    """The process and all below it: pid → what it is."""
    found = {pid: name}
    for below in psutil.Process(pid).children(recursive=True):
        words = below.cmdline()
        if "valkey-server" in " ".join(words[:1]):
            continue
        found[below.pid] = kind_of(words)
    return found


def kind_of(words: Sequence[str]) -> str:
    if "--lane" in words:
        return f"worker {words[words.index('--lane') + 1]}"
    if "--fork-server" in words:
        return "fork server"
    return (
        "child"
        if "workers.isolation.child_main" in words
        else next((Path(w).stem for w in words[1:] if w.endswith(".py")), "?")
    )


def spent(pid: int) -> dict[str, float]:
    """CPU seconds, and waits that somebody or a timer ended, of all its threads."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()
    waits = sum(
        int(number)
        for status in Path(f"/proc/{pid}/task").glob("*/status")
        for number in re.findall(
            r"^voluntary_ctxt_switches:\s+(\d+)", status.read_text(encoding="utf-8"), re.MULTILINE
        )
    )
    return {"cpu_s": (int(fields[11]) + int(fields[12])) * TICK_S, "waits": waits}


def row(
    name: str, before: dict[str, float], after: dict[str, float], pid: int, seconds: float
) -> dict[str, Any]:
    sizes = dict(
        re.findall(r"^(\w+):\s+(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
    )
    return {
        "process": name,
        "cpu_pct": round(100 * (after["cpu_s"] - before["cpu_s"]) / seconds, 2),
        "wakeups_per_s": round((after["waits"] - before["waits"]) / seconds, 1),
        "rss_mib": round(int(sizes["Rss"]) / 1024, 1),
        "pss_mib": round(int(sizes["Pss"]) / 1024, 1),
        "threads": len(list(Path(f"/proc/{pid}/task").iterdir())),
        "files": len(list(Path(f"/proc/{pid}/fd").iterdir())),
    }


# ── commands ──────────────────────────────────────────────────────────────────────────────────────────────


def timed(folder: Path, runs: int) -> dict[str, dict[str, Any]]:
    """The installed `conductor`, one run after another; the first, which compiles, does not count."""
    found: dict[str, dict[str, Any]] = {}
    for name, (words, own) in COMMANDS.items():
        env = {**compiling(folder), **own}
        runs_of = [once(folder, [program(), *words], env) for _ in range(runs + 1)][1:]
        found[name] = {**figures(runs_of), "imports": heaviest(folder, words, env)}
    return found


def program() -> str:
    """As it is installed: completion goes by its name."""
    return str(Path(sys.executable).with_name("conductor"))


def compiling(folder: Path) -> dict[str, str]:
    """An environment in which bytecode is kept, here, whatever ours says."""
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**env, "PYTHONPYCACHEPREFIX": str(folder / "pycache")}


def once(folder: Path, argv: Sequence[str], env: Mapping[str, str]) -> tuple[float, float]:
    """(wall, CPU) seconds."""
    began = time.monotonic()
    process = subprocess.Popen(argv, cwd=folder, env=env, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, (argv, process.returncode)
    return time.monotonic() - began, usage.ru_utime + usage.ru_stime


def figures(runs: Sequence[tuple[float, float]]) -> dict[str, Any]:
    walls, cpus = sorted(wall for wall, _ in runs), sorted(cpu for _, cpu in runs)
    return {
        "n": len(runs),
        "wall_p50_ms": round(1000 * statistics.median(walls), 1),
        "wall_min_ms": round(1000 * walls[0], 1),
        "wall_max_ms": round(1000 * walls[-1], 1),
        "cpu_p50_ms": round(1000 * statistics.median(cpus), 1),
    }


def heaviest(folder: Path, words: Sequence[str], env: Mapping[str, str]) -> list[str]:
    """«module 12.3 ms», with all that it brings along; the packages only, the heaviest first."""
    argv = [sys.executable, "-X", "importtime", program(), *words]
    done = subprocess.run(argv, cwd=folder, env=env, capture_output=True, text=True, check=False)
    rows = re.findall(r"^import time:\s+\d+ \|\s+(\d+) \|\s+(\S+)$", done.stderr, re.MULTILINE)
    whole: dict[str, int] = {}
    for micros, module in rows:
        top = ".".join(module.split(".")[: 3 if module.startswith("conductor.") else 1])
        if module == top:
            whole[module] = int(micros)
    first = sorted(whole.items(), key=lambda item: -item[1])[:HEAVIEST]
    return [f"{module} {micros / 1000:.1f} ms" for module, micros in first]


# ── the account ───────────────────────────────────────────────────────────────────────────────────────────


def misses(result: Mapping[str, Any]) -> list[str]:
    """What is beyond its goal."""
    said = [
        f"{row['process']}: {row['cpu_pct']} % of a core, wanted < {MOST_CPU_PCT:g}"
        for row in result["idle"]
        if row["cpu_pct"] >= MOST_CPU_PCT
    ]
    asleep, awake = result["up"]
    if asleep["pss_mib"] > MOST_UP_MIB:
        said.append(f"up: {asleep['pss_mib']} MiB, wanted ≤ {MOST_UP_MIB:g}")
    if awake["mib_a_worker"] > MOST_WORKER_MIB:
        said.append(f"a worker: {awake['mib_a_worker']} MiB, wanted ≤ {MOST_WORKER_MIB:g}")
    for name, command in result["commands"].items():
        if name != "status" and command["wall_p50_ms"] >= 1000 * MOST_WALL_S:
            said.append(f"conductor {name}: {command['wall_p50_ms']} ms, wanted < {1000 * MOST_WALL_S:g}")
    return said


def text(result: Mapping[str, Any]) -> str:
    lines = [result["machine"]]
    for each in result["idle"]:
        lines.append(
            f"  {each['process']:<14} {each['cpu_pct']:>5.2f} % CPU  {each['wakeups_per_s']:>6.1f} "
            "wake-ups/s  "
            f"RSS {each['rss_mib']:>6.1f} MiB  PSS {each['pss_mib']:>6.1f} MiB  "
            f"{each['threads']:>2} threads  "
            f"{each['files']:>2} files"
        )
    lines += [f"  {', '.join(f'{key} {value}' for key, value in each.items())}" for each in result["up"]]
    for name, each in result["commands"].items():
        lines.append(
            f"  {name:<22} wall p50 {each['wall_p50_ms']:>6.1f} ms (min {each['wall_min_ms']:.1f}, max "
            f"{each['wall_max_ms']:.1f})  CPU {each['cpu_p50_ms']:>6.1f} ms"
        )
        lines.append(f"    {', '.join(each['imports'])}")
    return "\n".join([*lines, *(f"  MISSED: {line}" for line in result["missed"])])


def main() -> int:
    """1 when a goal is missed."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seconds", type=float, default=60.0, help="of idleness that are measured")
    options.add_argument("--runs", type=int, default=20, help="of each command")
    options.add_argument(
        "--workers", type=int, default=2, help="of the cpu lane, beside one each of io and cloud"
    )
    options.add_argument("--json", type=Path)
    given = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="feet-") as name:
        folder = Path(name)
        ups = whole(folder, given.seconds)
        rows, commands = idle(folder, given.seconds, given.workers, lambda: timed(folder, given.runs))
    result: dict[str, Any] = {
        "machine": machine(),
        "seconds": given.seconds,
        "idle": rows,
        "up": ups,
        "commands": commands,
    }
    result["missed"] = misses(result)
    print(text(result))
    if given.json:
        given.json.write_text(json.dumps(result), encoding="utf-8")
    return 1 if result["missed"] else 0


if __name__ == "__main__":
    sys.exit(main())

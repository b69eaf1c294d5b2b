"""All figures into benchmarks/RESULTS.md: `python benchmarks/results.py [SECTION ..]`, one after another.

Sections: peers, throughput, backlog, tick, decision, one_rule, prediction, price, ablation, simulate, scale,
feet, web, studio, match, captions, soak; default: all of these (two hours, on a machine that has nothing else
to do); card: what `tests/gpu` measures, where there is one.
Each replaces its own part of the page and leaves the others, and says of what commit, on what and when it was
taken. Options behind `--` go to the benchmark: `results.py ablation -- --seeds 2 --rounds 2`.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree import ElementTree

HERE = Path(__file__).resolve().parent
PAGE = HERE / "RESULTS.md"
INTRO = """# Results

Written by `python benchmarks/results.py`, part by part; each says of what commit, on what machine and when it
was taken. A part without a commit is of the last commit before its date.
Absolute figures drift with the machine; ratios of one run hold.
"""

Row = Mapping[str, Any]


class ResultSection(NamedTuple):
    """`command`: run with a file's name behind it, into which it writes its figures as JSON."""

    title: str
    command: tuple[str, ...]
    tables: Callable[[Any], Sequence[Sequence[Row]]]
    words: str = ""


def of_throughput(found: Mapping[str, Row]) -> Sequence[Sequence[Row]]:
    """Rates and latencies have other columns."""
    rows = [{"figure": name, **{k: v for k, v in row.items() if k != "all"}} for name, row in found.items()]
    return [part for part in ([r for r in rows if "p50" in r], [r for r in rows if "p50" not in r]) if part]


def of_feet(found: Row) -> Sequence[Sequence[Row]]:
    commands = found["commands"].items()
    return [
        *([row] for row in found["up"]),
        found["idle"],
        [{"command": name, **{k: v for k, v in row.items() if k != "imports"}} for name, row in commands],
    ]


def of_soak(found: Row) -> Sequence[Sequence[Row]]:
    whole = {
        key: found[key] for key in ("jobs", "kills", "is_sound", "manifests", "unverified", "keys_per_1000")
    }
    slopes = [
        {"process": kind, "KiB for each 1,000 jobs": kib}
        for kind, kib in found["slopes_kib_per_1000"].items()
    ]
    return [[{**whole, "missed": "; ".join(found["missed"]) or "nothing"}], slopes]


def of_backlog(found: Sequence[Row]) -> Sequence[Sequence[Row]]:
    """The plot shows the spread."""
    return [[{key: value for key, value in row.items() if key != "spread"} for row in found]]


def of_ablation(found: Mapping[str, Sequence[Row]]) -> Sequence[Sequence[Row]]:
    return [found[name] for name in ("verdicts", "plays", "pairs") if found[name]]


def of_web(found: Row) -> Sequence[Sequence[Row]]:
    """Answers of the API, first paints by page, and what is one figure each."""
    paints = [{"first paint of": page, **row} for page, row in found["first_paint"].items()]
    lists = [{"/api/v1/jobs by": name, **row} for name, row in found["lists"].items()]
    once = [
        {"what": name, **found[name]}
        for name in ("event_to_screen", "metrics", "now", "index_from_nothing", "watchers")
    ]
    return [lists, paints, *([row] for row in once)]


def of_studio(found: Mapping[str, Sequence[Row]]) -> Sequence[Sequence[Row]]:
    return [found[name] for name in ("pairs", "growth") if found[name]]


def of_scale(found: Mapping[str, Sequence[Row]]) -> Sequence[Sequence[Row]]:
    return [found[name] for name in ("long", "short") if name in found]


def as_it_is(found: Sequence[Row]) -> Sequence[Sequence[Row]]:
    return [found]


SECTIONS = {
    "throughput": ResultSection(
        "A job, from plan to verified receipt",
        ("throughput.py", "--json"),
        of_throughput,
        "`gate`: one device, each job decided when the one before has ended; `successor`: named "
        "while it runs; `beside`: named for a worker of another lane; "
        "`files`: and both may write to the disk; `lane`: the next job lies in the queue already.",
    ),
    "backlog": ResultSection(
        "Behind a backlog of so many waiting jobs",
        ("backlog.py", "--plot", "--json"),
        of_backlog,
        "100 classes from 100 jobs on.\n\n![what a longer backlog costs](backlog.png)",
    ),
    "tick": ResultSection("One decision, CPU milliseconds", ("tick.py", "--json"), as_it_is),
    "decision": ResultSection(
        "How it packs, orders and keeps disks",
        ("decision.py", "--json"),
        as_it_is,
        "Ours by the rule that a conductor without settings of its own follows live, `[waiting]` "
        "included; simple "
        "rules bare, as published. Counts and simulated seconds: the load of the machine changes nothing.",
    ),
    "one_rule": ResultSection(
        "One rule beside simple ones",
        ("one_rule.py", "--json"),
        as_it_is,
        "Simple rules bare, as published; the shortest first starves, so its longest wait is its price. "
        "Simulated seconds: the load of the machine changes nothing. At twice the arrivals the limit on the "
        "longest wait is not what is too weak: with first-fit's own wait of each job known beforehand and "
        "held as the limit, the orders that are played leave 1.20 to 1.24.",
    ),
    "prediction": ResultSection(
        "How right is the forecast of a run",
        ("prediction.py", "--json"),
        as_it_is,
        "The highlights workflow over 30 clips, anew in each run. `named_s`: what the forecast says is left; "
        "`ideal_s`: the same moment played with what each job really took; `slower`: what jobs took ÷ what "
        "was expected of them, which the load of the machine moves; `off_without_it`: with that taken out.",
    ),
    "price": ResultSection(
        "Is `price` right",
        ("price_nights.py", "--json"),
        as_it_is,
        "Ten nights of a trace with one more GPU, ten of four workflows each on a larger disk. Asked by "
        "durations learned from another night, sizes 15 % off; then played with what each job takes. `gain`: "
        "named (and as it came). Simulated seconds: the load of the machine changes nothing.",
    ),
    "ablation": ResultSection(
        "Does each mechanism earn its keep",
        ("ablation.py", "--json"),
        of_ablation,
        "Without it ÷ with it, median (lowest – highest): above 1, waits and makespans are longer without "
        "it. Estimates lie by up to half. Where a mechanism changed nothing there is no row.",
    ),
    "simulate": ResultSection(
        "`simulate`: 1,000,000 jobs, 1,000 nodes of 8 devices", ("simulate.py", "--json"), as_it_is
    ),
    "scale": ResultSection(
        "One leader and one Redis over more and more nodes",
        ("scale.py", "--json"),
        of_scale,
        "First nodes of 8 devices that are full of jobs of a minute, a tick a second; then nodes of 4 "
        "workers and jobs that do nothing. `_ms`, `_us`: CPU of the leader, and of the server (`server`); "
        "commands: those of the Lua steps with them; KiB: over the wire, both ways. More: docs/scale.md.",
    ),
    "real": ResultSection(
        "Real work beside a shell script",
        ("real.py", "--json"),
        as_it_is,
        "Films of 8 to 11 s at 720p to h264, one thread each, as many at once as there are cores; the same "
        "ffmpeg with the same options by xargs. `cold`: from plan to verified, with all that has to be "
        "started and ended; `again`: when nothing is to be done.",
    ),
    "proof": ResultSection(
        "What the proof costs beside `sha256sum`",
        ("proof.py", "--json"),
        as_it_is,
        "Films of 720p, from the page cache (`--cold`: the disk); sha256sum in as many processes as there "
        "are cores; "
        "`of_sha256sum`: by the clock, of the runs beside each other. Goal: 1.15.",
    ),
    "feet": ResultSection("What it costs when there is nothing to do", ("feet.py", "--json"), of_feet),
    "web": ResultSection(
        "The page and the API behind a million waiting and 200,000 ended jobs",
        ("web.py", "--json"),
        of_web,
        "Milliseconds by the clock of who waits; `watchers`: CPU of the conductor, while ten watch ÷ alone.",
    ),
    "studio": ResultSection(
        "The studio's render beside one xfade graph by hand",
        ("studio.py", "--json"),
        of_studio,
        "Eight clips of 10 s at 720p, two workers; `wall_s` has the start of all processes in it, "
        "`jobs_wall_s` goes from the first body to the last. Then films of scenes of 3 s: the "
        "memory of the largest job.",
    ),
    "match": ResultSection(
        "A match that is looked at beside decoding it alone",
        ("match.py", "--json"),
        as_it_is,
        "Ten looks a second with the detector that comes with it; decoding's time ÷ that of looking, by "
        "turns. `load`: of the machine behind the pairs; it is in the wall times.",
    ),
    "captions": ResultSection(
        "What captions cost beside the model",
        ("captions.py", "--json"),
        as_it_is,
        "CPU seconds of the whole task, ffmpeg's too, and of the recogniser within it; goal: below 1.05.",
    ),
    "soak": ResultSection(
        "Half an hour of short work, with kills: does anything grow",
        # In ten minutes caches still fill: a slope of a fifth of a MiB for each 1,000 jobs, which is none
        # later.
        ("soak.py", "--minutes", "30", "--json"),
        of_soak,
    ),
}
#: «house» is written by hand: pairs against the commit before the house.
ORDER = ("peers", *SECTIONS, "house", "card")


def machine() -> dict[str, Any]:
    words = Path("/proc/cpuinfo").read_text(encoding="utf-8") if sys.platform == "linux" else ""
    names = [line.partition(":")[2].strip() for line in words.splitlines() if line.startswith("model name")]
    return {
        "cpu": names[0] if names else platform.processor(),
        "cores": os.cpu_count(),
        "system": platform.platform(terse=True),
        "python": platform.python_version(),
        "load_before": os.getloadavg()[0],
        "on": time.strftime("%Y-%m-%d"),
        "commit": commit(),
    }


def commit() -> str:
    """«02b433dc», with «+» where the tree has changes that are in no commit; «no commit» without git."""
    argv = ["git", "-C", str(HERE), "describe", "--always", "--abbrev=8", "--dirty=+", "--exclude=*"]
    try:
        told = subprocess.run(argv, check=False, capture_output=True, text=True).stdout.strip()
    except FileNotFoundError:
        told = ""
    return told or "no commit"


def stamp(command: str, about: Mapping[str, Any]) -> str:
    return (
        "`{command}` of {commit} on {on}: {cpu}, {cores} cores, {system}, Python {python}; load before: "
        "{load_before:.1f}."
    ).format(command=command, **about)


def write(name: str, title: str, text: str, page: Path = PAGE) -> None:
    """That part of the page anew. Raises `ValueError` for a part that the page does not have."""
    if name not in ORDER:
        raise ValueError(f"the page has no part {name!r}: {', '.join(ORDER)}")
    before = page.read_text("utf-8") if page.exists() else ""
    parts = dict(re.findall(r"<!-- (\w+) -->\n(.*?)<!-- end -->\n", before, re.S))
    parts[name] = f"## {title}\n\n{text.strip()}\n"
    found = [f"<!-- {each} -->\n{parts[each]}<!-- end -->\n" for each in ORDER if each in parts]
    page.write_text("\n".join([INTRO, *found]), encoding="utf-8")


def table(rows: Sequence[Row]) -> str:
    columns = list(dict.fromkeys(key for row in rows for key in row))
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    return "\n".join(
        lines + ["| " + " | ".join(shown(row.get(c, "–")) for c in columns) + " |" for row in rows]
    )


def shown(value: object) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def take(name: str, options: Sequence[str] = ()) -> None:
    """`options` are handed to the benchmark. Raises `SystemExit` or `CalledProcessError` where it fails: then
    the page keeps what it had.
    """
    if name == "peers":
        subprocess.run([sys.executable, str(HERE / "peers.py"), "--results"], check=True)
        return
    if name == "card":
        write(name, "A card, filled", card())
        return
    section, about = SECTIONS[name], machine()
    script, *words = (section.command[0], *options, *section.command[1:])
    with tempfile.TemporaryDirectory(prefix="results-") as folder:
        file = Path(folder) / "figures.json"
        ran = subprocess.run([sys.executable, str(HERE / script), *words, str(file)], check=False)
        # 1: a figure was missed. It stands on the page all the same.
        if ran.returncode not in (0, 1) or not file.exists():
            raise SystemExit(f"{script} ended with {ran.returncode}: the page keeps what it had")
        found = json.loads(file.read_text("utf-8"))
    command = " ".join(["python", f"benchmarks/{script}", *words, "FILE"])
    parts = [stamp(command, about), section.words, *map(table, section.tables(found))]
    write(name, section.title, "\n\n".join(part for part in parts if part), PAGE)


def card() -> str:
    """What the tests say of it. Raises `SystemExit` where there is none."""
    about = machine()
    with tempfile.TemporaryDirectory(prefix="results-") as folder:
        file = Path(folder) / "report.xml"
        argv = [sys.executable, "-m", "pytest", "-q", "-rs", "tests/gpu", f"--junitxml={file}"]
        subprocess.run(argv, cwd=HERE.parent, check=True)
        found = ElementTree.parse(file).iter("property")
        said = [each.get("value", "") for each in found if each.get("name") == "figures"]
    if not said:
        raise SystemExit("no figures: every test of tests/gpu was skipped, see the reason above")
    return "\n\n".join(
        [stamp("python benchmarks/results.py card", about), *(f"```\n{text}\n```" for text in said)]
    )


def main() -> int:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("sections", nargs="*", choices=[*ORDER, []])
    own, more = split(sys.argv[1:])
    sections = options.parse_args(own).sections or ["peers", *SECTIONS]
    if more and (len(sections) > 1 or sections[0] not in SECTIONS):
        options.error("options behind -- go to one benchmark: name one section")
    for name in sections:
        print(f"{name} …", file=sys.stderr, flush=True)
        take(name, more)
    return 0


def split(words: Sequence[str]) -> tuple[Sequence[str], Sequence[str]]:
    """What stands before the first `--`, and what behind it."""
    at = words.index("--") if "--" in words else len(words)
    return words[:at], words[at + 1 :]


if __name__ == "__main__":
    sys.exit(main())

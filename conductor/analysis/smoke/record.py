"""What smoke runs came to, a file each, so that one is held against the one before."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import msgspec

from conductor.analysis.smoke.run import SmokeFigures
from conductor.base.text import table
from conductor.model.spec import Value

FOLDER = Path("benchmarks") / "smoke"
#: Figure → its name for people, and whether more of it is better.
FIGURES = {
    "put_s": ("put", False),
    "first_admission_s": ("first admission", False),
    "first_done_s": ("first done", False),
    "end_s": ("end", False),
    "jobs_per_s": ("throughput", True),
    "verify_s": ("verify", False),
}


class SmokeRecord(Value, frozen=True, kw_only=True, omit_defaults=False):
    """`at`: epoch seconds."""

    at: float
    transport: str
    commit: str
    host: dict[str, str | int | float]
    figures: SmokeFigures


def record_of(figures: SmokeFigures, transport: str, project: Path) -> SmokeRecord:
    return SmokeRecord(
        at=time.time(), transport=transport, commit=commit_of(project), host=host_facts(), figures=figures
    )


def commit_of(project: Path) -> str:
    """Of the checkout that runs: its commit, «-dirty» where it was edited; without git the version."""
    here = Path(__file__).parent
    for folder in (here, project):
        try:
            words = ("git", "-C", str(folder), "describe", "--always", "--dirty")
            said = subprocess.run(words, capture_output=True, text=True, timeout=5.0, check=False)
        except (OSError, subprocess.TimeoutExpired):
            break
        if said.returncode == 0:
            return said.stdout.strip()
    try:
        return version("conductor-jobs")
    except PackageNotFoundError:
        return "unknown"


def host_facts() -> dict[str, str | int | float]:
    import psutil

    return {
        "name": platform.node(),
        "cpus": os.cpu_count() or 0,
        "ram_mib": psutil.virtual_memory().total >> 20,
        "load_1m": round(os.getloadavg()[0], 2),
        "kernel": platform.release(),
        "python": sys.version.split()[0],
    }


def keep(record: SmokeRecord, project: Path) -> Path:
    folder = project / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    at = time.strftime("%Y-%m-%dT%H%M%SZ", time.gmtime(record.at))
    file = folder / f"{at}-{record.transport}.json"
    draft = file.with_suffix(".draft")
    draft.write_bytes(msgspec.json.format(msgspec.json.encode(record), indent=2) + b"\n")
    draft.replace(file)
    return file


def last(project: Path, like: SmokeRecord) -> SmokeRecord | None:
    """The newest before it of the same transport and number of jobs."""
    found: list[SmokeRecord] = []
    for file in sorted((project / FOLDER).glob(f"*-{like.transport}.json")):
        try:
            record = msgspec.json.decode(file.read_bytes(), type=SmokeRecord)
        except (OSError, msgspec.DecodeError):
            continue  # of another version, or half copied
        if record.figures.jobs == like.figures.jobs and record.at < like.at:
            found.append(record)
    return max(found, key=lambda record: record.at, default=None)


def lines(now: SmokeRecord, before: SmokeRecord | None) -> list[str]:
    """A row a figure: now, and where there was one, before and by how much it is another."""
    head: list[object] = [f"{now.figures.jobs} jobs by {now.transport}", now.commit]
    if before is not None:
        head += [before.commit, "change"]
    rows: list[list[object]] = [head]
    for name, (words, is_more_better) in FIGURES.items():
        value = float(getattr(now.figures, name))
        row: list[object] = [words, _shown(name, value)]
        if before is not None:
            was = float(getattr(before.figures, name))
            row += [_shown(name, was), _change(value, was, is_more_better)]
        rows.append(row)
    out = table(rows, indent="")
    if before is not None:
        at = time.strftime("%Y-%m-%d %H:%M", time.localtime(before.at))
        out.append(f"before: {at} on {before.host.get('name', '?')}")
    return out


def _shown(name: str, value: float) -> str:
    return f"{value:.1f} jobs/s" if name == "jobs_per_s" else f"{value * 1000:.0f} ms"


def _change(now: float, was: float, is_more_better: bool) -> str:
    if not was:
        return ""
    share = now / was - 1
    if abs(share) < 0.005:
        return "the same"
    return f"{share:+.0%} ({'better' if (share > 0) == is_more_better else 'worse'})"

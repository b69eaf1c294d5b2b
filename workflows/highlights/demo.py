"""`./scripts/demo [FOLDER]`: the highlights workflow over six sample clips or your own videos, and its
account.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

from conductor.adapters.open_ledger import open_ledger
from conductor.app.cli.app import say, say_unexpected
from conductor.app.conduct import INTERRUPTED, Ending, conduct
from conductor.app.up import address_files, pages_of
from conductor.app.workflow_lookup import checks_for, plan
from conductor.base.errors import ConductorError, UsageError
from conductor.base.files.paths import resolve
from conductor.base.logs.logs import set_up
from conductor.base.settings.settings import Settings, load
from conductor.base.text import duration, many, printable
from conductor.dispatch.catalogue import catalogue_of
from conductor.dispatch.dispatch import dispatch
from conductor.ports import Ledger
from conductor.record.manifest import read
from conductor.verify.report import VerifyReport
from conductor.verify.verify import verify
from conductor.views.run_summary import lines
from workflows.highlights.plan import NAME, SAMPLES
from workflows.highlights.samples import CLIPS, make_samples

PAGES_S = 15.0


@contextmanager
def stage(folder: Path) -> Generator[Sequence[str]]:
    """Six sample clips in the demo's own project."""
    make_samples(folder / SAMPLES)
    yield []


def main(argv: Sequence[str]) -> int:
    """Plan, dispatch, conduct, verify. → 0 all verified, 1 something is missing or bad, 130 interrupted."""
    parser = argparse.ArgumentParser(prog="scripts/demo", description=__doc__)
    parser.add_argument(
        "folder", nargs="?", type=Path, help="videos of your own; left out: six sample clips are made"
    )
    folder: Path | None = parser.parse_args(argv).folder
    began = time.monotonic()
    try:
        return run(folder, began)
    except ConductorError as e:
        return say(e)
    except KeyboardInterrupt:
        return interrupted(folder)
    except Exception as e:  # noqa: BLE001  the last boundary: the user gets a sentence, the log the trace
        return say_unexpected(e)


def run(folder: Path | None, began: float) -> int:
    settings = settings_for(folder)
    set_up(settings.logs_dir, "demo")
    videos = folder.expanduser().resolve() if folder else samples(settings)
    target = settings.manifests_dir / f"{name_of(folder)}.jsonl"
    manifest, _ = plan(NAME, [str(videos), "-o", str(target)], settings.for_code)
    # The ledger stays open to the end: the project's own Valkey starts once, not three times.
    with open_ledger(settings) as ledger:
        is_work = put(settings, ledger, manifest, name_of(folder))
        ending, shown = feed(settings, name_of(folder), is_work)
    if ending is not None and ending.exit_code == INTERRUPTED:
        return interrupted(folder)
    report = verify(manifest, settings.receipts_dir, settings.layout, checks_for((NAME,), settings.for_code))
    show(settings, manifest, report, ending, shown, time.monotonic() - began)
    return report.exit_code


def settings_for(folder: Path | None) -> Settings:
    """The project's settings; for this run jobs may read the user's folder, too."""
    settings = load()
    if folder is None:
        return settings
    videos = folder.expanduser().resolve()
    if not videos.is_dir():
        raise UsageError(f"{printable(str(folder))} is not a folder with videos")
    if not any(videos.is_relative_to(known.resolve()) for known in settings.inputs):
        # In the environment: the workers of this run are to see it as well.
        os.environ["CONDUCTOR_INPUTS"] = json.dumps([*map(str, settings.inputs), str(videos)])
    return load()


def samples(settings: Settings) -> Path:
    folder = settings.project / SAMPLES
    if missing := sum(not (folder / name).exists() for name in CLIPS):
        tell(f"making {many(missing, 'sample clip')} in {folder}")
    make_samples(folder)
    return folder


def name_of(folder: Path | None) -> str:
    """Of the manifest and the backlog: one for the samples, one for each folder."""
    if folder is None:
        return "demo"
    return "demo-" + hashlib.sha256(os.fsencode(folder.expanduser().resolve())).hexdigest()[:8]


def put(settings: Settings, ledger: Ledger, manifest: Path, backlog: str) -> bool:
    """Dispatch; is there anything to run?"""
    result = dispatch(
        ledger,
        manifest,
        backlog,
        catalogue_of(settings.for_code),
        settings.receipts_dir,
        vram_headroom_mib=settings.limits.vram_headroom_mib,
        is_gpu_on_cpu=settings.lanes.gpu.on_cpu,
    )
    again = f", {result.again} again: what they made was removed" if result.again else ""
    tell(f"dispatched {manifest.name}: {result.new} new, {result.known} known{again}")
    counts = ledger.tallies.counts(backlog)
    return any(counts.get(state, 0) for state in ("waiting", "admitted", "running"))


def feed(settings: Settings, backlog: str, is_work: bool) -> tuple[Ending | None, str]:
    """Run what there is to run. → how it ended, and the addresses of its pages while it did."""
    if not is_work:
        return None, ""
    with pages(settings) as shown:
        footer = f"while this runs: {shown}" if shown else ""
        return conduct(settings, backlog, until_done=True, footer=footer), shown


@contextmanager
def pages(settings: Settings) -> Generator[str]:
    """The addresses of the page and of rq-dashboard for as long as the block lasts; empty where both are off
    or do not come up."""
    from conductor.adapters.host.processes import spawn

    files = address_files(settings.state_dir)
    wanted = {"web": settings.web.is_on, "dashboard": settings.dashboard.is_on}
    missing = [part for part, is_on in wanted.items() if is_on and not files[part].exists()]
    env = {"CONDUCTOR_PROJECT": str(settings.project)}
    servers = {
        part: spawn([sys.executable, "-m", "conductor", part], env=env, output=subprocess.DEVNULL)
        for part in missing
    }
    try:
        deadline = time.monotonic() + PAGES_S
        while time.monotonic() < deadline and any(
            not files[part].exists() and server.poll() is None for part, server in servers.items()
        ):
            time.sleep(0.05)
        yield pages_of(settings.state_dir)
    finally:
        for server in servers.values():
            server.terminate()
        for server in servers.values():
            server.wait()


# ── what the user reads ───────────────────────────────────────────────────────────────────────────────────


def show(
    settings: Settings,
    manifest: Path,
    report: VerifyReport,
    ending: Ending | None,
    shown: str,
    seconds: float,
) -> None:
    say_out("")
    if ending is not None:
        for line in lines(ending.account):
            say_out(line)
    else:
        say_out("nothing to run: every job was done, or known to have failed, before")
    say_out(report.to_text())
    if reel := reel_of(settings, manifest, report):
        say_out(f"reel: {printable(str(reel))}")
    if shown:
        say_out(f"while it ran: {shown} (`conductor up` keeps them)")
    say_out(f"all in all {duration(seconds)}; look around: source .venv/bin/activate; conductor status")


def reel_of(settings: Settings, manifest: Path, report: VerifyReport) -> Path | None:
    """The published reel, if nothing was found against it."""
    bad = {finding.job_id for finding in report.findings}
    for spec in read(manifest):
        if spec.task == "files.publish" and spec.id not in bad:
            return resolve(settings.layout, spec.writes[0].path, for_writing=False)
    return None


def interrupted(folder: Path | None) -> int:
    again = f"./scripts/demo {folder}" if folder else "./scripts/demo"
    tell(f"interrupted; what is done stays done: {printable(again)} goes on from here")
    return INTERRUPTED


def tell(sentence: str) -> None:
    sys.stderr.write(printable(sentence) + "\n")


def say_out(line: str) -> None:
    print(line)  # noqa: T201  the demo's own output


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""What a workflow is: `plan.py` and `verify.py` with these names, and the commands they have when run as
scripts.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol

import orjson

from conductor.app.workflow_lookup import checks_for, plan
from conductor.base.errors import ConductorError, ManifestError
from conductor.base.files.layout import CodeSettings
from conductor.base.logs import standard_streams
from conductor.base.settings.settings import load
from conductor.base.text import printable
from conductor.model.spec import JobSpec
from conductor.planning import planned
from conductor.verify.file_facts import nothing_noted
from conductor.verify.read_back import notes_of
from conductor.verify.verify import Checks, sound, verify

#: So many problems of a manifest are printed.
SHOWN = 20


class PlanModule(Protocol):
    """`workflows/NAME/plan.py`. Its docstring is the help text. Optional: `manifest_name(options) -> str`."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None: ...

    def plan(self, options: argparse.Namespace, settings: CodeSettings) -> Iterable[JobSpec]: ...


class VerifyModule(Protocol):
    """`workflows/NAME/verify.py`: what it knows about its results beyond receipts, checksums and
    durations.
    """

    def checks(self, settings: CodeSettings) -> Checks: ...


def run_plan_script(name: str, argv: Sequence[str] | None = None) -> int:
    """`python workflows/NAME/plan.py …`, the same as `conductor plan NAME …`. → exit code."""
    standard_streams.settle()
    try:
        path, jobs = plan(
            name, sys.argv[1:] if argv is None else argv, load().for_code, command=Path(sys.argv[0]).name
        )
    except ConductorError as e:
        return complain(e)
    print(planned(path, jobs))  # noqa: T201  a script's own output
    return 0 if jobs else 1


def run_verify_script(name: str, argv: Sequence[str] | None = None) -> int:
    """`python workflows/NAME/verify.py MANIFEST [--json]`, or `--file MANIFEST`. → 0, 1 when something is
    wrong, 3 bad manifest.
    """
    standard_streams.settle()
    parser = argparse.ArgumentParser(
        description=f"Hold every job of a {name} manifest against receipts and outputs."
    )
    parser.add_argument(
        "manifest", nargs="?", type=Path, metavar="MANIFEST", help="the manifest that was dispatched"
    )
    parser.add_argument("--file", type=Path, metavar="MANIFEST", help="the same")
    parser.add_argument("--json", action="store_true", help="all findings as JSON")
    parser.add_argument(
        "--strict", action="store_true", help="report receipts of jobs that are not in the manifest too"
    )
    parser.add_argument("--again", action="store_true", help="read all outputs, also those read back before")
    options = parser.parse_args(argv)
    if (options.manifest is None) == (options.file is None):
        parser.error("name one manifest: verify.py MANIFEST, or verify.py --file MANIFEST")
    manifest = options.manifest or options.file
    try:
        settings = load().for_code
        sound(manifest)
        checks = checks_for((name,), settings)
        noted = nothing_noted if options.again else notes_of(settings.state_dir).known
        report = verify(
            manifest, settings.receipts_dir, settings, checks, is_strict=options.strict, noted=noted
        )
    except ConductorError as e:
        return complain(e)
    text = (
        orjson.dumps(report.to_json(), option=orjson.OPT_INDENT_2).decode()
        if options.json
        else report.to_text()
    )
    print(text)  # noqa: T201  a script's own output
    return report.exit_code


def complain(error: ConductorError) -> int:
    sys.stderr.write(printable(str(error)) + "\n")
    if isinstance(error, ManifestError):
        for problem in error.problems[:SHOWN]:
            sys.stderr.write(f"  {printable(problem)}\n")
        if (more := len(error.problems) - SHOWN) > 0:
            sys.stderr.write(f"  … and {more} more\n")
    return error.exit_code

"""The report of a night: its figures, and the file. Worked out by a process of its own, one at a
time, for all who ask."""

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Depends, HTTPException, Query, Request, Response

from conductor.app.web.answers import Problem, gives, json_answer
from conductor.app.web.command_runs import CommandResult, answered, run_command
from conductor.app.web.rights import looks
from conductor.app.web.routes.overview import stack_of
from conductor.base.files.safe_open import make_own
from conductor.views.night.document import NightReport

#: An answer that is no older is given again.
FRESH_S = 20.0
#: So many questions are remembered, and so many wait for theirs.
MOST_KNOWN, MOST_WAITING = 16, 32
#: Longer is no moment that anybody means.
MOST_WORD = 40
BUSY = gives(Problem, "Too many reports are being worked out", 503)

Since = Annotated[str, Query(max_length=MOST_WORD, description="18:00 (the last one), 12h, 2026-11-28T18:00")]
Until = Annotated[str, Query(max_length=MOST_WORD, description="Empty: now")]

router = APIRouter()


class ReportDesk:
    """Of one process. A night costs seconds of a processor: whoever asks meanwhile waits for the
    same answer."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._known: dict[tuple[str, ...], tuple[float, CommandResult]] = {}
        self._waiting = 0

    async def run(self, project: Path, *words: str) -> CommandResult:
        """Raises 503 where too many wait."""
        if self._waiting >= MOST_WAITING:
            raise HTTPException(503, "too many reports are being worked out: try again in a moment")
        self._waiting += 1
        try:
            async with self._lock:
                known = self._known.get(words)
                if known is not None and time.monotonic() - known[0] < FRESH_S:
                    return known[1]
                found = await run_command(project, "report", *words)
                self._known[words] = time.monotonic(), found
                while len(self._known) > MOST_KNOWN:
                    del self._known[next(iter(self._known))]
                return found
        finally:
            self._waiting -= 1

    async def file(self, project: Path, folder: Path, *words: str) -> tuple[CommandResult, bytes]:
        """The same, with the file that it writes; not remembered."""
        make_own(folder)
        with tempfile.TemporaryDirectory(prefix=".report-", dir=folder) as own:
            target = Path(own) / "report.html"
            async with self._lock:
                found = await run_command(project, "report", *words, "--html", str(target))
            return found, target.read_bytes() if target.is_file() else b""


def words_of(since: str, until: str) -> tuple[str, ...]:
    """As one word each: what a visitor says is never an option of its own."""
    return ("--json", f"--since={since}", *((f"--until={until}",) if until else ()))


@router.get(
    "/api/v1/report", dependencies=[Depends(looks)], responses={**gives(NightReport, "The night"), **BUSY}
)
async def report(request: Request, since: Since = "18:00", until: Until = "") -> Response:
    """What `conductor report --quick --json` says: files are looked at and not read, and nothing is
    played."""
    desk: ReportDesk = request.app.state.reports
    project = stack_of(request).code.project
    found = await desk.run(project, "--quick", *words_of(since, until))
    if found.exit_code or found.said is None:
        return answered(found)
    return json_answer({name: value for name, value in found.said.items() if name != "file"})


@router.get("/api/v1/report/file", dependencies=[Depends(looks)], responses=BUSY)
async def report_file(
    request: Request,
    since: Since = "18:00",
    until: Until = "",
    is_quick: Annotated[
        bool, Query(alias="quick", description="Files are not read, nothing is played")
    ] = False,
) -> Response:
    """What `conductor report --html FILE` writes, as a download."""
    desk: ReportDesk = request.app.state.reports
    code = stack_of(request).code
    quick = ("--quick",) * is_quick
    found, page = await desk.file(code.project, code.state_dir / "web", *quick, *words_of(since, until))
    if found.exit_code or not page:
        return answered(found)
    day = time.strftime("%Y-%m-%d", time.localtime(float(found.said["until"])))
    headers = {
        "Content-Disposition": f'attachment; filename="night-{day}.html"',
        "Content-Security-Policy": "default-src 'none'; sandbox",
    }
    return Response(page, 200, headers, "text/html; charset=utf-8")

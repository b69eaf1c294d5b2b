"""The typed client of the HTTP API: hand work in, follow it, wait for its end, act on it.

    with Client.here() as conductor:
        job = conductor.submit(spec, backlog="night")
        story = conductor.wait(job.job_ids[0], timeout_s=600)

Answers are the views' own values. Errors are those of the command line: `UsageError`, `ConfigError`,
`ManifestError` with its problems, `Unreachable`.
"""

from __future__ import annotations

import base64
import getpass
import json
import ssl
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import quote

import httpx
import msgspec

from conductor.adapters.files.web_files import web_socket
from conductor.base.errors import ConductorError, ConfigError, ManifestError, Unreachable, UsageError
from conductor.model.grouped_by import GroupedBy
from conductor.model.job_row import JobPage, JobSums
from conductor.model.spec import JobSpec, to_line
from conductor.model.told_event import ToldEvent
from conductor.recovery.operator_commands import CommandTaken, JobCommand
from conductor.recovery.verdicts import VerdictTaken
from conductor.views.explain_job import Story
from conductor.views.health import Health
from conductor.views.night.document import NightReport
from conductor.views.review_list import ReviewPage
from conductor.views.task_list import TaskList
from conductor.views.whole_status import HeadedStatus

T = TypeVar("T")

ENDED = frozenset({"done", "dead", "cancelled", "review"})
ERRORS: tuple[type[ConductorError], ...] = (UsageError, ConfigError, Unreachable)
#: While it waits it looks so often, where no event told it anything.
LOOK_S = 1.0
#: Where a stream says nothing for so long, it looks all the same; a server says every 15 s that it lives.
QUIET_S = 10.0
#: An answer is waited for so long; dispatch and plan take longer.
ANSWER_S, DISPATCH_S = 30.0, 600.0
NO_WORDS: Mapping[str, str] = {}


class Submitted(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a manifest: what `conductor dispatch --json` says, and the ids that it holds."""

    job_ids: tuple[str, ...]
    exit_code: int
    said: dict[str, Any]


class Client:
    """One connection. `url`: the address of the page; `token`: to act. Not for threads."""

    def __init__(
        self,
        url: str,
        token: str = "",
        *,
        actor: str = "",
        timeout_s: float = ANSWER_S,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        headers = {"X-Conductor-Actor": actor or getpass.getuser()}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        self._http = httpx.Client(base_url=url, headers=headers, timeout=timeout_s, transport=transport)
        self._timeout_s = timeout_s

    @classmethod
    def here(cls, project: Path | None = None, *, actor: str = "") -> Client:
        """Of the project in that folder (default: as commands find it), over its owner's socket."""
        from conductor.base.settings.settings import load

        socket = web_socket(load(project).state_dir)
        # No certificates are asked for on a socket, and to read them takes longer than to ask.
        transport = httpx.HTTPTransport(uds=str(socket), verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
        return cls("http://localhost", actor=actor, transport=transport)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    # ── look ──────────────────────────────────────────────────────────────────────────────────────────────

    def health(self) -> Health:
        return self._decoded(self._send("GET", "/api/v1/health", (200, 503)), Health)

    def status(self) -> HeadedStatus:
        return self._decoded(self._send("GET", "/api/v1/status"), HeadedStatus)

    def report(self, since: str = "18:00", until: str = "") -> NightReport:
        """Of a night, as `conductor report --quick` works it out."""
        words = {"since": since, "until": until}
        return self._decoded(self._send("GET", "/api/v1/report", words=words), NightReport)

    def job(self, job_id: str) -> Story:
        """By its id, or the first letters of it."""
        said = self._send("GET", job_path(job_id)).json()
        # Shown as text; a value of bytes is base64 in JSON.
        said["job"]["line"] = base64.b64encode(said["job"]["line"].encode()).decode()
        return msgspec.convert(said, Story, strict=False)

    def jobs(self, words: str = "", *, limit: int = 50, cursor: str = "") -> JobPage:
        """By the words of `conductor jobs`: `state:dead since:18:00`; `cursor`: that of the page before."""
        asked = {"q": words, "limit": str(limit), "cursor": cursor}
        return self._decoded(self._send("GET", "/api/v1/jobs", words=asked), JobPage)

    def sums(self, words: str = "", *, by: GroupedBy | None = None) -> JobSums:
        """How many jobs the words mean, and how long their last attempts ran; also by groups of `by`."""
        asked = {"q": words} | ({"by": by} if by else {})
        return self._decoded(self._send("GET", "/api/v1/sums", words=asked), JobSums)

    def reviews(self, words: str = "", *, limit: int = 20, cursor: str = "") -> ReviewPage:
        """What waits for a person's verdict, item by item."""
        asked = {"q": words, "limit": str(limit), "cursor": cursor}
        return self._decoded(self._send("GET", "/api/v1/review/pending", words=asked), ReviewPage)

    def judge(
        self, job_id: str, *, is_accepted: bool, note: str = "", items: Iterable[int] = ()
    ) -> VerdictTaken:
        """Say what becomes of a job's items (numbers from 1; none: all that are open). Raises where somebody
        was first, or nothing waits."""
        said = {"is_accepted": is_accepted, "note": note, "items": list(items)}
        path = f"/api/v1/review/{quote(job_id, safe='')}"
        return self._decoded(self._send("POST", path, content=msgspec.json.encode(said)), VerdictTaken)

    def log(self, job_id: str) -> str:
        return self._send("GET", f"{job_path(job_id)}/log", words={"text": "true"}).text

    def tasks(self) -> TaskList:
        return self._decoded(self._send("GET", "/api/v1/tasks"), TaskList)

    def workflows(self) -> dict[str, str]:
        """Name → what it says of itself."""
        said = self._send("GET", "/api/v1/workflows").json()
        return {str(row["name"]): str(row["about"]) for row in said["workflows"]}

    def whoami(self) -> dict[str, Any]:
        """`name`, `may_act`, `has_token`."""
        return self._send("GET", "/api/v1/whoami").json()

    def events(self, job_id: str = "", after: str = "") -> Iterator[ToldEvent]:
        """As they happen, of all jobs or of one; ends when the server does. One named `reset` says that more
        was missed than is kept."""
        path = f"{job_path(job_id)}/events" if job_id else "/api/v1/events"
        for name, value in self._heard(path, {"Last-Event-ID": after} if after else {}):
            if name:
                yield ToldEvent(name=name, at=time.time())
            else:
                yield msgspec.json.decode(value, type=ToldEvent)

    def follow_log(self, job_id: str) -> Iterator[tuple[int, str]]:
        """(attempt, line) as its bodies print them, until the job has ended. Raises `Unreachable` where it
        could not be followed so far."""
        for name, value in self._heard(f"{job_path(job_id)}/log?follow=true", {}):
            said = json.loads(value)
            if name == "end":
                return
            if name:
                raise Unreachable(f"the log is not followed any more: {said['why']}")
            yield said["attempt"], said["line"]

    def _heard(self, path: str, headers: Mapping[str, str]) -> Iterator[tuple[str, str]]:
        """(name, data) of server-sent events; the server says something every 15 s, whatever happens."""
        try:
            with self._http.stream("GET", path, headers=dict(headers), timeout=ANSWER_S) as answer:
                if answer.status_code != 200:
                    answer.read()
                    raise error_of(answer)
                yield from told(answer.iter_lines())
        except httpx.HTTPError as e:
            raise Unreachable(f"the web process of this project was lost: {e}") from None

    # ── act ───────────────────────────────────────────────────────────────────────────────────────────────

    def submit(self, *specs: JobSpec, backlog: str | None = None, is_dry_run: bool = False) -> Submitted:
        """Jobs, by the checks of a dispatch; known ones stay as they are."""
        return self._dispatched(b"".join(to_line(spec) + b"\n" for spec in specs), backlog, is_dry_run)

    def submit_manifest(self, file: Path, backlog: str | None = None, is_dry_run: bool = False) -> Submitted:
        return self._dispatched(file.read_bytes(), backlog, is_dry_run)

    def _dispatched(self, lines: bytes, backlog: str | None, is_dry_run: bool) -> Submitted:
        words = {"target": f"backlog:{backlog}"} if backlog else {}
        if is_dry_run:
            words["dry_run"] = "true"
        said: dict[str, Any] = self._send(
            "POST", "/api/v1/manifests", content=lines, wait_s=DISPATCH_S, words=words
        ).json()
        ids = tuple(str(json.loads(line)["id"]) for line in lines.splitlines() if line.strip())
        return Submitted(job_ids=ids, exit_code=said["exit_code"], said=said)

    def plan(
        self, workflow: str, options: Mapping[str, Any], arguments: Iterable[str] = ()
    ) -> dict[str, Any]:
        """`plan`, its name; `jobs`, how many. `options`: without dashes; `True` for one that has no value."""
        asked = {"workflow": workflow, "options": dict(options), "arguments": list(arguments)}
        return self._send(
            "POST", "/api/v1/plans", content=msgspec.json.encode(asked), wait_s=DISPATCH_S
        ).json()

    def dispatch_plan(
        self, plan: str, backlog: str | None = None, *, is_dry_run: bool = False
    ) -> dict[str, Any]:
        """One that was made by `plan`. What `conductor dispatch --json` says."""
        words = {"target": f"backlog:{backlog}"} if backlog else {}
        if is_dry_run:
            words["dry_run"] = "true"
        path = f"/api/v1/plans/{quote(plan, safe='')}/dispatch"
        return self._send("POST", path, wait_s=DISPATCH_S, words=words).json()

    def command(self, job_id: str, word: JobCommand, **words: str) -> CommandTaken:
        """cancel, fail (`cause=`), requeue or retry."""
        return self._decoded(self._send("POST", f"{job_path(job_id)}/{word}", words=words), CommandTaken)

    def cancel(self, job_id: str) -> CommandTaken:
        return self.command(job_id, "cancel")

    def wait(self, job_id: str, timeout_s: float) -> Story:
        """Until it has ended: done, dead, cancelled or in review. Raises `Unreachable` after `timeout_s`.

        It looks when an event tells of the job, and every `LOOK_S` where it is told none."""
        deadline = time.monotonic() + timeout_s
        while (story := self.job(job_id)).job.state not in ENDED:
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                raise Unreachable(f"{job_id} is {story.job.state} after {timeout_s:g} s")
            story = self._heard_to_end(job_id, deadline) or story
            if story.job.state in ENDED:
                return story
            time.sleep(min(LOOK_S, max(0.01, deadline - time.monotonic())))
        return story

    def _heard_to_end(self, job_id: str, deadline: float) -> Story | None:
        """As its events tell. None: the stream ended, or none was to be had (as many listen as may)."""
        story = None
        wait_s = max(0.01, min(QUIET_S, deadline - time.monotonic()))
        with (
            suppress(httpx.HTTPError),
            self._http.stream("GET", f"{job_path(job_id)}/events", timeout=wait_s) as answer,
        ):
            if answer.status_code != 200:
                return None
            # Now that it listens nothing is missed: what was before is seen by this look.
            story = self.job(job_id)
            if story.job.state in ENDED:
                return story
            for _ in told(answer.iter_lines()):
                story = self.job(job_id)
                if story.job.state in ENDED or time.monotonic() > deadline:
                    break
        return story

    # ── the wire ──────────────────────────────────────────────────────────────────────────────────────────

    def _send(
        self,
        method: str,
        path: str,
        good: tuple[int, ...] = (200,),
        *,
        content: bytes | None = None,
        wait_s: float | None = None,
        words: Mapping[str, str] = NO_WORDS,
    ) -> httpx.Response:
        try:
            answer = self._http.request(
                method, path, params=dict(words), content=content, timeout=wait_s or self._timeout_s
            )
        except httpx.HTTPError as e:
            raise Unreachable(f"no `conductor web` answers at {self._http.base_url}: {e}") from None
        if answer.status_code not in good:
            raise error_of(answer)
        return answer

    @staticmethod
    def _decoded(answer: httpx.Response, kind: type[T]) -> T:
        try:
            return msgspec.json.decode(answer.content, type=kind, strict=False)
        except msgspec.DecodeError as e:
            raise Unreachable(f"what answers is no `conductor web` of this version: {e}") from None


def job_path(job_id: str) -> str:
    """An id is one part of a path, whatever stands in it."""
    return f"/api/v1/jobs/{quote(job_id, safe='')}"


def error_of(answer: httpx.Response) -> ConductorError:
    """As the command line would have ended."""
    try:
        said = answer.json()
        sentence, code, problems = (
            str(said["error"]),
            int(said["exit_code"]),
            tuple(map(str, said["problems"])),
        )
    except (ValueError, KeyError):
        return Unreachable(f"what answers is no `conductor web` (status {answer.status_code})")
    if problems:
        return ManifestError(sentence, problems)
    return next((kind(sentence) for kind in ERRORS if kind.exit_code == code), ConductorError(sentence))


def told(lines: Iterable[str]) -> Iterator[tuple[str, str]]:
    name = ""
    for line in lines:
        field, _, value = line.partition(": ")
        if field == "event":
            name = value
        elif field == "data":
            yield name, value
            name = ""

"""Jobs into the index, some thousands at a time: read together, changed in memory, written together."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Mapping

import orjson

from conductor.model.receipt import Receipt
from conductor.record.index.indexed_job import COLUMNS, GROUP, IndexedJob, LiveState, row_of
from conductor.record.index.schema import has_search, key_of

_SELECT = (
    f"SELECT {', '.join(f'job.{name}' for name in COLUMNS)}, {', '.join(f'grp.{name}' for name in GROUP)},"
    " job.g FROM job JOIN grp ON grp.g = job.g WHERE job.id IN (SELECT value FROM json_each(?))"
)
_INSERT = f"INSERT INTO job ({', '.join(COLUMNS)}, g, k) VALUES ({', '.join('?' * (len(COLUMNS) + 2))})"
_UPDATE = f"UPDATE job SET {', '.join(f'{name} = ?' for name in COLUMNS[2:])}, g = ?, k = ? WHERE n = ?"
#: Texts that are remembered: most messages are few.
_MOST_TEXTS = 20_000
#: How long its last attempt ran, and the same times its devices.
Taken = tuple[float, float]


def taken_of(job: IndexedJob) -> Taken:
    seconds = job.seconds or 0.0
    return seconds, seconds * len(job.device.split(",")) if job.device else 0.0


def _add(sums: list[float], sign: int, taken: Taken) -> None:
    sums[0] += sign
    sums[1] += sign * taken[0]
    sums[2] += sign * taken[1]


class IndexWriter:
    """One writer of one connection. `open` a batch, change its jobs, `write` it, in a transaction."""

    def __init__(self, conn: sqlite3.Connection) -> None:
        self._conn = conn
        self._has_search = has_search(conn)
        self._next = 1 + (conn.execute("SELECT max(n) FROM job").fetchone()[0] or 0)
        groups = conn.execute(f"SELECT {', '.join(GROUP)}, g FROM grp")
        self._groups: dict[tuple[str, ...], int] = {row[:-1]: row[-1] for row in groups}
        self._messages: dict[str, int] = {}
        self._manifests: dict[str, int] = {}
        self._jobs: dict[str, IndexedJob] = {}
        self._before: dict[int, tuple[str, int, Taken]] = {}
        self._attempts: list[tuple[object, ...]] = []
        #: Attempts that asked for a verdict, and have it: that line has all that the first one said.
        self._answered: list[tuple[object, ...]] = []
        self.was_asked = conn.execute("SELECT 1 FROM meta WHERE name = 'asked'").fetchone() is not None

    def open(self, ids: Iterable[str]) -> None:
        """These jobs are going to be changed; those not known are new."""
        self._jobs, self._before = {}, {}
        wanted = dict.fromkeys(ids)
        for row in self._conn.execute(_SELECT, (orjson.dumps(list(wanted)).decode(),)):
            job = IndexedJob(*row)
            self._jobs[job.id] = job
            self._before[job.n] = (job.file, job.g, taken_of(job))
        for job_id in wanted:
            if job_id not in self._jobs:
                self._jobs[job_id] = IndexedJob(n=self._next, id=job_id, is_new=True)
                self._next += 1

    def job(self, job_id: str) -> IndexedJob:
        return self._jobs[job_id]

    def take(self, receipt: Receipt, source: str, place: int) -> None:
        """`source`, `place`: the file's name, and where the line begins in it, unpacked."""
        job = self._jobs[receipt.job_id]
        message = self.message(receipt.message)
        if job.take(receipt, message):
            use, devices = receipt.usage, ",".join(receipt.devices)
            self._attempts.append(
                (job.n, receipt.attempt, receipt.token, receipt.outcome, receipt.cause or "", message,
                 receipt.node, devices, receipt.started_at, receipt.ended_at, receipt.seconds, use.vram_mib,
                 use.rss_mib, source, place)
            )  # fmt: skip
            if receipt.is_repeated:
                self._answered.append((job.n, receipt.attempt, receipt.token))

    def message(self, text: str) -> int:
        """Its number; 0 for none."""
        if not text:
            return 0
        if len(self._messages) > _MOST_TEXTS:
            self._messages.clear()
        if (known := self._messages.get(text)) is None:
            known = self._messages[text] = self._new_message(text)
        return known

    def _new_message(self, text: str) -> int:
        row = self._conn.execute("SELECT m FROM message WHERE text = ?", (text,)).fetchone()
        if row is not None:
            return row[0]
        number = self._conn.execute("INSERT INTO message (text) VALUES (?)", (text,)).lastrowid or 0
        if self._has_search:
            self._conn.execute("INSERT INTO words (rowid, text) VALUES (?, ?)", (number, text))
        return number

    def manifest(self, name: str) -> int:
        if name not in self._manifests:
            self._conn.execute("INSERT OR IGNORE INTO manifest (name) VALUES (?)", (name,))
            row = self._conn.execute("SELECT f FROM manifest WHERE name = ?", (name,)).fetchone()
            self._manifests[name] = row[0]
        return self._manifests[name]

    def write(self) -> int:
        """The batch that is open; how many jobs it had."""
        jobs = self._jobs.values()
        self._settle(jobs)
        moved: dict[int, list[float]] = defaultdict(lambda: [0, 0.0, 0.0])
        new: list[IndexedJob] = []
        changed: list[IndexedJob] = []
        for job in jobs:
            job.g = self._group(job.group)
            if job.is_new:
                new.append(job)
            else:
                changed.append(job)
                _, was, taken = self._before[job.n]
                _add(moved[was], -1, taken)
            _add(moved[job.g], 1, taken_of(job))
        run = self._conn.executemany
        run(_INSERT, [(*row_of(job), job.g, key_of(job.at, job.n)) for job in new])
        run(_UPDATE, [(*row_of(job)[2:], job.g, key_of(job.at, job.n), job.n) for job in changed])
        run("INSERT OR REPLACE INTO attempt VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)", self._attempts)
        run(
            "DELETE FROM attempt WHERE n = ? AND attempt = ? AND token = ? AND outcome = 'review'",
            self._answered,
        )
        run(
            "UPDATE grp SET jobs = jobs + ?, seconds = seconds + ?, device_s = device_s + ? WHERE g = ?",
            [(*by, g) for g, by in moved.items() if any(by)],
        )
        if self._has_search:
            named = [job for job in new if job.file]
            named += [job for job in changed if job.file and not self._before[job.n][0]]
            run("INSERT INTO names (rowid, file) VALUES (?, ?)", [(job.n, job.file) for job in named])
        count = len(self._jobs)
        self._jobs, self._attempts, self._answered = {}, [], []
        return count

    def _settle(self, jobs: Iterable[IndexedJob]) -> None:
        """With what the ledger said of them last."""
        numbers = [job.n for job in jobs if not job.is_new]
        statement = "SELECT n, state, cause FROM live WHERE n IN (SELECT value FROM json_each(?))"
        rows = self._conn.execute(statement, (orjson.dumps(numbers).decode(),)) if numbers else ()
        live = {n: LiveState(state, cause) for n, state, cause in rows}
        for job in jobs:
            job.settle(live.get(job.n), was_asked=self.was_asked)

    def _group(self, group: tuple[str, ...]) -> int:
        if (known := self._groups.get(group)) is None:
            columns = ", ".join(GROUP)
            statement = f"INSERT INTO grp ({columns}, jobs, seconds, device_s) VALUES (?,?,?,?,?,?,0,0.0,0.0)"
            known = self._groups[group] = self._conn.execute(statement, group).lastrowid or 0
        return known

    # ── what the ledger says ──────────────────────────────────────────────────────────────────────────────

    def lay_over(self, now: Mapping[str, LiveState], batch: int = 5000) -> int:
        """Jobs that are neither waiting nor done, as the ledger has them now: all of them. How many are shown
        otherwise than before."""
        statement = "SELECT job.id, live.state, live.cause FROM live JOIN job ON job.n = live.n"
        before = {row[0]: LiveState(row[1], row[2]) for row in self._conn.execute(statement)}
        news = [job_id for job_id, live in now.items() if before.get(job_id) != live]
        news += [job_id for job_id in before if job_id not in now]
        if not self.was_asked:
            # From now on what failed, and is not dead by the ledger, waits.
            self._conn.execute("INSERT OR REPLACE INTO meta VALUES ('asked', '1')")
            self.was_asked = True
            failed = self._conn.execute("SELECT id FROM job WHERE base = 'failed'")
            news = list(dict.fromkeys([*news, *(job_id for (job_id,) in failed)]))
        for first in range(0, len(news), batch):
            ids = news[first : first + batch]
            self.open(ids)
            # One that no manifest and no receipt here tells of is not this record's.
            for job_id in [each for each in ids if self._jobs[each].is_new]:
                del self._jobs[job_id]
            rows = [(job.n, now.get(job.id)) for job in self._jobs.values()]
            self._conn.executemany("DELETE FROM live WHERE n = ?", [(n,) for n, _ in rows])
            self._conn.executemany(
                "INSERT INTO live VALUES (?, ?, ?)", [(n, *live) for n, live in rows if live is not None]
            )
            self.write()
        return len(news)

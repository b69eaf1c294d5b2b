"""Which jobs of the index a filter means, the latest first, a page at a time.

Names (state, cause, task, workflow, backlog, node) choose groups; each group is read in the order of the list
and all are merged, so a page costs by the page and the number of groups, however many jobs wait. Parts of
file names and messages are looked up by trigrams where they are rare; where they are common, the list is read
until the page is full, but never further than `MOST_READ` rows: such a page is short, and its cursor goes on.
"""

from __future__ import annotations

import heapq
import re
import sqlite3
from collections.abc import Iterator
from itertools import islice

import orjson
from msgspec import Struct

from conductor.model.grouped_by import GroupedBy
from conductor.model.job_filter import JobFilter
from conductor.model.job_row import JobGroup, JobSums
from conductor.record.index.schema import LAST_KEY, key_of

#: A word that fits more jobs is looked for in the list, and not the other way round.
MOST_FOUND = 5_000
MOST_READ = 10_000
MOST_MESSAGES = 2_000
#: Of a shorter word no trigram is known.
TRIGRAM = 3
#: Of jobs that are not told apart by names alone so many are added up.
MOST_SUMMED = 20_000


class FoundJobs(Struct, frozen=True, kw_only=True):
    """`keys`: places in the list, with the jobs' numbers. `cursor`: where it goes on; None: it does not."""

    keys: tuple[tuple[int, int], ...]
    cursor: int | None
    count: int
    is_exact: bool


class JobQuery:
    def __init__(self, conn: sqlite3.Connection, wanted: JobFilter, *, has_search: bool) -> None:
        self._conn = conn
        self._wanted = wanted
        self._has_search = has_search
        self._files = tuple(each.lower() for each in wanted.files)
        self._texts = tuple(each.lower() for each in wanted.texts)
        #: Number → how many jobs.
        self._groups = self._chosen()
        self._from = 0 if wanted.since is None else key_of(wanted.since)
        self._to = LAST_KEY if wanted.until is None else key_of(wanted.until)

    def page(self, limit: int, cursor: int | None = None) -> FoundJobs:
        """`cursor`: that of the page before."""
        if not self._groups:
            return FoundJobs(keys=(), cursor=None, count=0, is_exact=True)
        narrow = self._narrow()
        if narrow is not None:
            later = [key for key in narrow if cursor is None or key[0] < cursor]
            keys = tuple(later[:limit])
            return FoundJobs(
                keys=keys,
                cursor=keys[-1][0] if len(later) > limit else None,
                count=len(narrow),
                is_exact=True,
            )
        keys, goes_on = self._read(limit, cursor)
        if self._files or self._texts:
            return FoundJobs(
                keys=keys, cursor=goes_on, count=len(keys), is_exact=goes_on is None and cursor is None
            )
        return FoundJobs(keys=keys, cursor=goes_on, count=self._counted(), is_exact=True)

    def all(self) -> Iterator[tuple[int, int]]:
        """Each, however many; for those who do something with all of them."""
        if (narrow := self._narrow()) is not None:
            yield from narrow
            return
        for k, n, _, is_meant in self._walk(None):
            if is_meant:
                yield k, n

    def sums(self, by: GroupedBy | None, most: int) -> JobSums:
        """By name alone they are kept; else the jobs are looked at, the latest `MOST_SUMMED` of them."""
        wanted = self._wanted
        is_kept = wanted.since is None and wanted.until is None and by != "file"
        if is_kept and not (self._files or self._texts or wanted.ids):
            numbers, is_exact = [*self._groups], True
            statement = (
                "SELECT {by}, sum(jobs), sum(seconds), sum(device_s) FROM grp"
                " WHERE g IN (SELECT value FROM json_each(?))"
            )
        else:
            numbers = [n for _, n in islice(self.all(), MOST_SUMMED + 1)]
            is_exact = len(numbers) <= MOST_SUMMED
            numbers = numbers[:MOST_SUMMED]
            statement = (
                "SELECT {by}, count(*), coalesce(sum(seconds_), 0), coalesce(sum(seconds_ * devices_), 0)"
                " FROM (SELECT grp.state, grp.cause, grp.task, grp.workflow, grp.backlog, grp.node, job.file,"
                " job.seconds AS seconds_, CASE WHEN job.device = '' THEN 0 ELSE 1 + length(job.device)"
                " - length(replace(job.device, ',', '')) END AS devices_ FROM job JOIN grp ON grp.g = job.g"
                " WHERE job.n IN (SELECT value FROM json_each(?)))"
            )
        marks = orjson.dumps(numbers).decode()
        total = self._conn.execute(statement.format(by="''"), (marks,)).fetchone()
        grouped = f"{statement} GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT ?"
        rows = self._conn.execute(grouped.format(by=by), (marks, most)) if by else ()
        return JobSums(
            jobs=total[1] or 0,
            seconds=max(0.0, total[2] or 0.0),
            device_s=max(0.0, total[3] or 0.0),
            by=by,
            groups=tuple(
                JobGroup(name=name or "", jobs=jobs, seconds=max(0.0, s), device_s=max(0.0, device_s))
                for name, jobs, s, device_s in rows
                if jobs
            ),
            is_exact=is_exact,
        )

    # ── by name ───────────────────────────────────────────────────────────────────────────────────────────

    def _chosen(self) -> dict[int, int]:
        parts, values = ["jobs > 0"], list[str]()
        wanted = self._wanted
        for column, names in (
            ("state", wanted.states),
            ("cause", wanted.causes),
            ("task", wanted.tasks),
            ("workflow", wanted.workflows),
            ("backlog", wanted.backlogs),
            ("node", wanted.nodes),
        ):
            if names:
                parts.append("(" + " OR ".join(f"{column} {_comparison(name)}" for name in names) + ")")
                values += [_value(name) for name in names]
        statement = f"SELECT g, jobs FROM grp WHERE {' AND '.join(parts)}"
        return dict(self._conn.execute(statement, values).fetchall())

    def _counted(self) -> int:
        if self._wanted.since is None and self._wanted.until is None:
            return sum(self._groups.values())
        count = 0
        for g, jobs in self._groups.items():
            first, last = (
                self._conn.execute(f"SELECT k FROM job WHERE g = ? ORDER BY k {way} LIMIT 1", (g,)).fetchone()
                or (0,)
                for way in ("ASC", "DESC")
            )
            if self._from <= first[0] and last[0] < self._to:
                count += jobs
            elif first[0] < self._to and last[0] >= self._from:
                statement = "SELECT count(*) FROM job WHERE g = ? AND k >= ? AND k < ?"
                count += self._conn.execute(statement, (g, self._from, self._to)).fetchone()[0]
        return count

    # ── the list ──────────────────────────────────────────────────────────────────────────────────────────

    def _read(self, limit: int, cursor: int | None) -> tuple[tuple[tuple[int, int], ...], int | None]:
        keys: list[tuple[int, int]] = []
        last, read = 0, 0
        for k, n, is_read, is_meant in self._walk(cursor):
            if len(keys) == limit or read >= MOST_READ:
                return tuple(keys), last
            last, read = k, read + is_read
            if is_meant:
                keys.append((k, n))
        return tuple(keys), None

    def _walk(self, cursor: int | None) -> Iterator[tuple[int, int, int, int]]:
        """(place, number, 1, does it fit) of all jobs of the groups, the latest first."""
        test, values = self._test()
        join = " LEFT JOIN message ON message.m = job.message" if self._texts else ""
        until = self._to if cursor is None else min(cursor, self._to)
        named = self._named_only()
        said = "" if named is None else "job.message > 0 AND "
        index = "job_list" if named is None else "job_said"
        statement = (
            f"SELECT job.k, job.n, 1, {test} FROM job INDEXED BY {index}{join}"
            f" WHERE {said}job.g = ? AND job.k >= ? AND job.k < ? ORDER BY job.k DESC"
        )
        walks: list[Iterator[tuple[int, int, int, int]]] = [
            self._conn.execute(statement, (*values, g, self._from, until)) for g in self._groups
        ]
        if named:
            known = {n for _, n in named}
            walks = [(row for row in walk if row[1] not in known) for walk in walks]
            walks.append(iter([(k, n, 1, 1) for k, n in named if k < until]))
        if len(walks) == 1:
            return iter(walks[0])
        return heapq.merge(*walks, key=lambda row: row[0], reverse=True)

    def _named_only(self) -> list[tuple[int, int]] | None:
        """Where one word is searched for that few files have and many messages: those files' jobs. Then only
        jobs that said something have to be read. None: that is not so."""
        if len(self._texts) != 1 or self._files:
            return None
        named = self._named(self._texts[0])
        return None if named is None else self._places(named)

    def _test(self) -> tuple[str, list[str]]:
        parts, values = list[str](), list[str]()
        for word in self._files:
            parts.append("has(job.file, ?)")
            values.append(word)
        for word in self._texts:
            parts.append("(has(job.file, ?) OR has(message.text, ?) OR has(job.id, ?))")
            values += [word] * 3
        return (" AND ".join(parts) or "1"), values

    # ── the few ───────────────────────────────────────────────────────────────────────────────────────────

    def _narrow(self) -> list[tuple[int, int]] | None:
        """All that fit, the latest first, where they can be told from a few; None: they are many."""
        numbers = self._candidates()
        return None if numbers is None else self._places(numbers)

    def _places(self, numbers: set[int]) -> list[tuple[int, int]]:
        """Of those of them that fit, the latest first."""
        test, values = self._test()
        join = " LEFT JOIN message ON message.m = job.message" if self._texts else ""
        statement = (
            f"SELECT job.k, job.n, job.g FROM job{join}"
            f" WHERE job.n IN (SELECT value FROM json_each(?)) AND job.k >= ? AND job.k < ? AND {test}"
        )
        arguments = (orjson.dumps(sorted(numbers)).decode(), self._from, self._to, *values)
        rows = self._conn.execute(statement, arguments)
        return sorted(((k, n) for k, n, g in rows if g in self._groups), reverse=True)

    def _candidates(self) -> set[int] | None:
        if self._wanted.ids:
            return self._with_ids()
        found: set[int] | None = None
        for word in self._files:
            found = _fewer(found, self._named(word))
        for word in self._texts:
            found = _fewer(found, self._saying(word))
        if found is None and (self._files or self._texts) and sum(self._groups.values()) <= MOST_FOUND:
            marks = ",".join("?" * len(self._groups))
            rows = self._conn.execute(f"SELECT n FROM job WHERE g IN ({marks})", [*self._groups])
            found = {n for (n,) in rows}
        return found

    def _with_ids(self) -> set[int]:
        found: set[int] = set()
        for prefix in self._wanted.ids:
            statement = "SELECT n FROM job WHERE id >= ? AND id < ? LIMIT ?"
            rows = self._conn.execute(statement, (prefix, f"{prefix}\U0010ffff", MOST_FOUND))
            found |= {n for (n,) in rows}
        return found

    def _named(self, word: str) -> set[int] | None:
        return self._by_trigrams("names", word, MOST_FOUND)

    def _saying(self, word: str) -> set[int] | None:
        """Jobs with it in their file's name, their message, or at the beginning of their id."""
        named = self._named(word)
        messages = self._by_trigrams("words", word, MOST_MESSAGES)
        if named is None or messages is None:
            return None
        statement = (
            "SELECT n FROM job WHERE message IN (SELECT value FROM json_each(?)) AND message > 0 LIMIT ?"
        )
        marks = orjson.dumps(list(messages)).decode()
        said = {n for (n,) in self._conn.execute(statement, (marks, MOST_FOUND + 1))}
        statement = "SELECT n FROM job WHERE id >= ? AND id < ? LIMIT ?"
        begun = self._conn.execute(statement, (word, f"{word}\U0010ffff", MOST_FOUND + 1))
        said |= {n for (n,) in begun}
        return None if len(said) > MOST_FOUND else named | said

    def _by_trigrams(self, table: str, word: str, most: int) -> set[int] | None:
        """Rows that may hold it; None: more than `most`, or nobody knows."""
        if not self._has_search or len(word) < TRIGRAM or re.search(r"\x00", word):
            return None
        grams = dict.fromkeys(word[i : i + TRIGRAM] for i in range(len(word) - TRIGRAM + 1))
        match = " AND ".join('"' + gram.replace('"', '""') + '"' for gram in grams)
        statement = f"SELECT rowid FROM {table} WHERE {table} MATCH ? LIMIT ?"
        rows = self._conn.execute(statement, (match, most + 1)).fetchall()
        return None if len(rows) > most else {row[0] for row in rows}


def _fewer(one: set[int] | None, other: set[int] | None) -> set[int] | None:
    if one is None or other is None:
        return other if one is None else one
    return one & other


def _comparison(name: str) -> str:
    return "GLOB ?" if name.endswith("*") else "= ?"


def _value(name: str) -> str:
    """Only the star at its end is one."""
    if not name.endswith("*"):
        return name
    return re.sub(r"([\[*?])", r"[\1]", name[:-1]) + "*"

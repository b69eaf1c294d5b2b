"""Which jobs are meant: `state:dead cause:timeout task:media.cut file:holiday since:18:00 any words`.

One language for `conductor jobs`, for actions on many jobs, for the API and the page. Words of different
qualifiers all have to hold; of one qualifier (given again, or with commas) any, but of `file` and `text` all.
Words without a qualifier are searched for in a job's file name, its messages and at the beginning of its id.
A value with blanks stands in double quotes: `file:"clip 7"`. A word in double quotes is text, whatever it
holds.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from difflib import get_close_matches
from typing import cast

from conductor.model.causes import CAUSES
from conductor.model.ledger_entries import STATES, JobState
from conductor.model.spec import Value

#: Any of these, with commas between them.
LISTS = ("state", "cause", "task", "workflow", "backlog", "node", "id")
MOMENTS = ("since", "until")
WORDS = ("file", "text")
QUALIFIERS = (*LISTS, *MOMENTS, *WORDS)
#: A filter is somebody's typing: more than this is none.
MOST_CHARS = 4000
BACKLOG = "backlog:"

_TOKEN = re.compile(r'\s*((?:[a-z]+:)?)((?:"(?:[^"\\]|\\.)*"|[^\s",]|,)+|)', re.DOTALL)
_PART = re.compile(r'"((?:[^"\\]|\\.)*)"|([^",]+)|(,)', re.DOTALL)
_PLAIN = re.compile(r"[^\s\",:\\]+\Z")

#: A moment as somebody says it («18:00», «2 h») → epoch seconds. Raises `ValueError`.
Moment = Callable[[str], float]


class JobFilter(Value, frozen=True, kw_only=True):
    """Empty: all jobs. Texts are compared without regard to case; tasks, workflows, backlogs and nodes as
    they are, or up to a `*` at their end («media.*»)."""

    states: tuple[JobState, ...] = ()
    causes: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()
    workflows: tuple[str, ...] = ()
    backlogs: tuple[str, ...] = ()
    nodes: tuple[str, ...] = ()
    #: Whole ids, or beginnings of them.
    ids: tuple[str, ...] = ()
    #: Each is a part of the file's name.
    files: tuple[str, ...] = ()
    #: Each is a part of the file's name, of a message, or the beginning of the id.
    texts: tuple[str, ...] = ()
    #: Epoch seconds: when it came to be what it is. Of a job that waits: when it was dispatched.
    since: float | None = None
    until: float | None = None

    @property
    def is_empty(self) -> bool:
        return self == EVERYTHING


EVERYTHING = JobFilter()


class FilterError(ValueError):
    """A sentence for who typed the filter."""


def parse_filter(words: str | Iterable[str], moment: Moment) -> JobFilter:
    """Raises `FilterError` with one sentence: an unknown qualifier, state, cause or moment, an open quote."""
    text = words if isinstance(words, str) else " ".join(words)
    if len(text) > MOST_CHARS:
        raise FilterError(f"a filter has at most {MOST_CHARS} characters")
    found: dict[str, list[str]] = {name: [] for name in QUALIFIERS}
    moments: dict[str, float] = {}
    for name, values in _tokens(text):
        if name in MOMENTS:
            moments[name] = _moment(name, values, moment)
        else:
            found[name] += [value for value in values if value not in found[name]]
    return JobFilter(
        states=tuple(_known_state(value) for value in found["state"]),
        causes=tuple(_known("cause", value, CAUSES) for value in found["cause"]),
        tasks=tuple(found["task"]),
        workflows=tuple(found["workflow"]),
        backlogs=tuple(found["backlog"]),
        nodes=tuple(found["node"]),
        ids=tuple(found["id"]),
        files=tuple(found["file"]),
        texts=tuple(found["text"]),
        since=moments.get("since"),
        until=moments.get("until"),
    )


def filter_words(given: JobFilter) -> str:
    """As it is typed; read again it is the same filter. Moments are epoch seconds with an @."""
    out = [
        f"{name}:{','.join(map(_quoted, values))}"
        for name, values in (
            ("state", given.states),
            ("cause", given.causes),
            ("task", given.tasks),
            ("workflow", given.workflows),
            ("backlog", tuple(f"{BACKLOG * value.startswith(BACKLOG)}{value}" for value in given.backlogs)),
            ("node", given.nodes),
            ("id", given.ids),
        )
        if values
    ]
    out += [f"file:{_quoted(value)}" for value in given.files]
    out += [
        f"{name}:@{at!r}" for name, at in (("since", given.since), ("until", given.until)) if at is not None
    ]
    out += [_quoted(value) for value in given.texts]
    return " ".join(out)


def _tokens(text: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    """(qualifier, values); words without one are `text`."""
    at, end = 0, len(text.rstrip())
    while at < end:
        token = _TOKEN.match(text, at)
        assert token is not None, "the pattern takes anything, if only blanks"
        name, raw = token[1].removesuffix(":"), token[2]
        if token.end() < end and text[token.end()] == '"':
            raise FilterError(f"a quote is not closed: {text[token.end() :][:40]}")
        at = token.end()
        if name and name not in QUALIFIERS:
            near = get_close_matches(name, QUALIFIERS, 1)
            hint = f" (did you mean {near[0]}:?)" if near else ""
            raise FilterError(
                f"{name}: is no qualifier{hint}; there are {', '.join(f'{each}:' for each in QUALIFIERS)}; "
                'text with a colon stands in "quotes"'
            )
        values = _values(raw, is_list=name in LISTS)
        if name == "backlog":
            values = tuple(bare for value in values if (bare := value.removeprefix(BACKLOG)))
        if not values:
            raise FilterError(f"{name}: wants a value" if name else "a word is empty")
        yield name or "text", values


def _values(raw: str, *, is_list: bool) -> tuple[str, ...]:
    """Split at the commas that stand in no quotes, where it is a list."""
    values = [""]
    for part in _PART.finditer(raw):
        if part[3] and is_list:
            values.append("")
        elif part[1] is not None:
            values[-1] += re.sub(r"\\(.)", r"\1", part[1], flags=re.DOTALL)
        else:
            values[-1] += part[2] or part[3]
    return tuple(value for value in values if value)


def _moment(name: str, values: tuple[str, ...], moment: Moment) -> float:
    word = values[-1]
    try:
        return float(word[1:]) if word.startswith("@") else moment(word)
    except ValueError as e:
        raise FilterError(f"{name}:{word} is no moment: {e}") from None


def _known_state(value: str) -> JobState:
    return cast(JobState, _known("state", value, STATES))


def _known(name: str, value: str, known: Iterable[str]) -> str:
    choice = tuple(known)
    if value not in choice:
        near = get_close_matches(value, choice, 1)
        hint = f" (did you mean {near[0]}?)" if near else ""
        raise FilterError(f"{name}:{value} is no {name}{hint}; there are {', '.join(choice)}")
    return value


def _quoted(value: str) -> str:
    if _PLAIN.match(value):
        return value
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'

"""Emit an event of the table (`conductor.model.events`). It becomes a line of the log, and who hears
events is told of it: directly, for one sink of the log more costs a third of a line.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, Any

from loguru import logger

from conductor.base import secrets
from conductor.base.errors import ConductorError
from conductor.model.events import EVENTS
from conductor.model.told_event import ToldEvent

if TYPE_CHECKING:
    from loguru import Logger

#: The event's name, its line for people, its fields. It must not wait, and raises nothing.
Hear = Callable[[str, str, dict[str, Any]], None]
_hearers: list[Hear] = []


def emit_event(event: str, words: str, *also: object, **fields: object) -> None:
    """`words`: the line for people, as a template: `{name}` is a field, `{}` the next of `also`. Braces in
    the values are only text."""
    _logger_of(event).log(EVENTS[event].level, words, *also, **fields)
    if _hearers:
        message = words.format(*also, **fields) if also or fields else words
        for hear in tuple(_hearers):
            hear(event, message, fields)


@cache
def _logger_of(event: str) -> Logger:
    return logger.bind(event=event).opt(depth=1)


def begin_hearing(hear: Hear) -> None:
    """From now on it is told of all that this process emits."""
    _hearers.append(hear)


def end_hearing(hear: Hear) -> None:
    _hearers.remove(hear)


def tell_event(
    append: Callable[[Sequence[ToldEvent]], None], event: str, words: str, *also: object, **fields: object
) -> None:
    """Straight into the stream, and into no log: of a command, whose words for its user are others. A stream
    that is away costs the event and nothing else."""
    told = ToldEvent(
        name=event,
        at=time.time(),
        level=EVENTS[event].level,
        message=secrets.scrub(words.format(*also, **fields)),
        source=f"command@{socket.gethostname()}",
        fields=secrets.scrub_all(fields),
    )
    with suppress(ConductorError):
        append([told])

"""Emit an event of the table (`conductor.model.events`). It becomes a line of the log."""

from __future__ import annotations

from loguru import logger

from conductor.model.events import EVENTS


def emit_event(event: str, words: str, *also: object, **fields: object) -> None:
    """`words`: the line for people, as a template: `{name}` is a field, `{}` the next of `also`. Braces in
    the values are only text."""
    logger.bind(event=event).opt(depth=1).log(EVENTS[event].level, words, *also, **fields)

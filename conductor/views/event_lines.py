"""Events as lines for people and for programs, and which of them a filter means."""

from __future__ import annotations

import time

from conductor.base.text import escaped, printable
from conductor.model.job_filter import JobFilter
from conductor.model.told_event import ToldEvent
from conductor.views.as_json import json_text


def is_meant(event: ToldEvent, wanted: JobFilter) -> bool:
    """Of the words of a filter those that an event can answer: task, node, cause, id, moments and texts."""
    fields, message = event.fields, event.message.lower()
    return (
        _fits(str(fields.get("task", "")), wanted.tasks)
        and _fits(str(fields.get("node", event.source.rpartition("@")[2])), wanted.nodes)
        and _fits(str(fields.get("cause", "")), wanted.causes)
        and (not wanted.ids or any(each.startswith(wanted.ids) for each in event.job_ids))
        and all(word.lower() in message for word in wanted.files)
        and all(word.lower() in message or word.lower() in event.name for word in wanted.texts)
        and (wanted.since is None or event.at >= wanted.since)
        and (wanted.until is None or event.at < wanted.until)
    )


def event_line(event: ToldEvent) -> str:
    """«18:04:05 job.failed   Failed: media.cut · clip7.mp4 …  (worker@studio1)»."""
    level = "" if event.level in ("INFO", "DEBUG") else f"{event.level.lower()}: "
    at = time.strftime("%H:%M:%S", time.localtime(event.at))
    return printable(f"{at} {event.name:<16} {level}{event.message}  ({event.source})")


def event_json(event: ToldEvent) -> str:
    return escaped(json_text(event))


def _fits(name: str, wanted: tuple[str, ...]) -> bool:
    return not wanted or any(
        name.startswith(each[:-1]) if each.endswith("*") else name == each for each in wanted
    )

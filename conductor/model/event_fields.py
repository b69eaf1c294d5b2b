"""The fields of events: one name and one meaning, in whatever event it stands.

The events themselves, which name these fields, stand in `events.py`.
"""

from __future__ import annotations

from typing import NamedTuple


class EventField(NamedTuple):
    """One name, one meaning, in whatever event it stands."""

    #: As Python has it: str, int, float, list[str].
    type: str
    #: Empty: it has none.
    unit: str
    meaning: str


FIELDS: dict[str, EventField] = {
    "about": EventField("str", "", "what the job is about: its task and a file's name"),
    "answer": EventField("str", "", "what the ledger said to the receipt: accepted, already or unsaid"),
    "attempt": EventField("int", "", "number of the attempt"),
    "attempts": EventField("int", "attempts", "how many"),
    "cause": EventField("str", "", "why the attempt ended, as the retry table names it"),
    "backlog": EventField("str", "", "name of the backlog"),
    "dispatched": EventField("int", "jobs", "jobs that were dispatched again"),
    "checked": EventField("float", "s", "its outputs were looked through and put in place; of all of them"),
    "channel": EventField("str", "", "a way to reach people, by its name"),
    "counter": EventField("str", "", "name of the counter"),
    "device": EventField("str", "", "key of the device on its node"),
    "engine": EventField("str", "", "name of the engine (`[engines.NAME]`)"),
    "epoch": EventField("int", "", "the leader's fencing number"),
    "error": EventField("str", "", "what went wrong, in words"),
    "events": EventField("int", "events", "how many"),
    "exit_code": EventField("int", "", "of the process; negative: the signal that killed it"),
    "file": EventField("str", "", "its path"),
    "files": EventField("int", "files", "how many"),
    "fire": EventField("str", "", "the schedule and the instant in UTC: NAME@20260330T003000Z"),
    "fires": EventField("int", "fires", "how many"),
    "floor": EventField("int", "", "attempts get numbers above this one"),
    "server": EventField("str", "", "the Redis by which the ledger is whole"),
    "before": EventField("str", "", "the Redis before that one"),
    "told_again": EventField(
        "int", "", "jobs, places and kinds that Redis had forgotten, and was told of again"
    ),
    "folders": EventField("int", "folders", "how many"),
    "found": EventField("int", "events", "what the task found, as its result says"),
    "frames": EventField("int", "frames", "pictures that the task looked at or wrote, as its result says"),
    "from_engine": EventField("str", "", "what it was meant for"),
    "gate": EventField("str", "", "the gate that answered"),
    "items": EventField("int", "items", "how many things a person has to look at"),
    "job_id": EventField("str", "", "the job"),
    "job_ids": EventField("list[str]", "", "the jobs"),
    "jobs": EventField("int", "jobs", "how many"),
    "kind": EventField("str", "", "task and parameters, by which canaries and breakers go"),
    "kinds": EventField("int", "kinds", "how many"),
    "lane": EventField("str", "", "gpu, cpu, io or cloud"),
    "leader": EventField("str", "", "the conductor that leads"),
    "left": EventField("int", "jobs", "jobs that are still to be done"),
    "lines": EventField("int", "lines", "how many; or the number of the line"),
    "note": EventField("str", "", "what the body says of itself"),
    "node": EventField("str", "", "the host"),
    "part": EventField("str", "", "conductor, node, web or dashboard"),
    "pilot": EventField("str", "", "the pilot: its engine and its number"),
    "pid": EventField("int", "", "process id"),
    "place": EventField("str", "", "node, and the devices on it"),
    "places": EventField("int", "places", "how many lanes, nodes and devices"),
    "processes": EventField("int", "processes", "how many"),
    "progress": EventField("float", "", "how far it is, from 0 to 1"),
    "queue": EventField("str", "", "the queue in RQ"),
    "readings": EventField("list[str]", "", "PLACE.WHAT=AMOUNT/ALL; what is not known is left out"),
    "reason": EventField(
        "str", "", "what the gate's answer means (`conductor/model/reason.py`), or a cause of docs/retry.md"
    ),
    "receipts": EventField("int", "receipts", "how many"),
    "schedule": EventField("str", "", "its name in conductor.toml"),
    "seconds": EventField("float", "s", "how long it took, or will take"),
    "rule": EventField("str", "", "the alert rule"),
    "runbook": EventField("str", "", "what to do about it: a file in `docs/runbooks/`"),
    "silent": EventField("int", "workers", "workers that have not said what they hold"),
    "subject": EventField("str", "", "what the alert is about; empty: the project"),
    "state": EventField("str", "", "the state that the job had"),
    "task": EventField("str", "", "name of the task"),
    "tasks": EventField("int", "tasks", "how many are known"),
    "then": EventField("str", "", "what becomes of the job now, in words"),
    "to_engine": EventField("str", "", "what did it, or goes on with it"),
    "total": EventField("int", "", "of how many"),
    "waited": EventField("float", "s", "from dispatch to the start of the attempt; of all of them"),
    "waiting": EventField("int", "jobs", "jobs of the class that wait"),
    "what": EventField("str", "", "the amount that moved (VRAM, RAM, time), or what was asked for"),
    "who": EventField("str", "", "who asked for it, by the name that was given, and from where"),
    "why": EventField("str", "", "the reason, in words"),
    "worker": EventField("str", "", "name of the worker"),
    "workers": EventField("list[str]", "", "names of the workers"),
}

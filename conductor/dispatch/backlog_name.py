"""«backlog:NAME», as commands are given it: apart, so that who only looks need not import what dispatches."""

from __future__ import annotations

from conductor.base.errors import UsageError

TARGET = "backlog:"
LONGEST = 64


def backlog_name(target: str) -> str:
    """`backlog:NAME` → NAME. Raises `UsageError`."""
    name = target.removeprefix(TARGET)
    if (
        target == name
        or not name
        or not name.replace("_", "").replace("-", "").isalnum()
        or not name.isascii()
    ):
        raise UsageError(
            f"{target!r} is not a target: write it as backlog:NAME, with letters, digits, «-» and «_»"
        )
    if len(name) > LONGEST:
        raise UsageError(f"the name of a backlog has at most {LONGEST} letters, that one has {len(name)}")
    return name

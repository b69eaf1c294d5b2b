"""Priority is handed down to what a job waits for: nobody urgent waits behind all that is not. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping


def inherit_priorities(priorities: Mapping[str, int], waits: Mapping[str, Collection[str]]) -> dict[str, int]:
    """Job → the highest priority of the jobs that come after it, through any number of steps, where that is
    above its own. `priorities`: those that are not 0; `waits`: job → the jobs that it comes after."""
    found: dict[str, int] = {}
    # The highest first: who was reached once cannot be raised further.
    for job in sorted(waits, key=lambda job: -priorities.get(job, 0)):
        priority, urgent = priorities.get(job, 0), [job]
        while urgent:
            for other in waits.get(urgent.pop(), ()):
                if other not in found and priorities.get(other, 0) < priority:
                    found[other] = priority
                    urgent.append(other)
    return found

"""Which jobs a verb and a filter mean together: those that fit, and to which there is something to do."""

from __future__ import annotations

from msgspec.structs import replace

from conductor.model.job_filter import JobFilter
from conductor.recovery.job_actions import TAKES, JobVerb
from conductor.views.job_list import JobList


def ids_meant(found: JobList, verb: JobVerb, wanted: JobFilter) -> list[str]:
    """As the list was refreshed last. Whoever acts on them looks at each again."""
    states = tuple(state for state in wanted.states or TAKES[verb] if state in TAKES[verb])
    return list(found.ids(replace(wanted, states=states))) if states else []

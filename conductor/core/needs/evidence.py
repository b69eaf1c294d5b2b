"""What samples prove of one amount: which of them count, and what was known not to be enough. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from conductor.core.needs.learned_amounts import BY_NAME, Resource
from conductor.core.needs.samples import Sample

#: So many samples of the present code, and those of older code count no more. Below it, p95 is the largest.
ENOUGH = 20
#: So many of the present code, and those of older code say nothing of durations and tokens.
FEW = 3
#: So many times what all others of its kind took is a slip of one job, and no need of the kind.
WILD = 3.0
#: Peaks of VRAM and scratch are sampled once a second: those of shorter attempts may have been missed.
SAMPLED_S = 2.0


def when(sample: Sample) -> tuple[float, str, int]:
    return sample.at, sample.job_id, sample.attempt


def without_wild(samples: Sequence[Sample], resource: Resource) -> tuple[list[Sample], Sample | None]:
    """The samples but one that took more than `WILD` times what any other did: it may ask for more itself,
    and sets nothing for the others until there is a second one like it."""
    if len(samples) < FEW:
        return list(samples), None
    *_, second, most = sorted(samples, key=lambda s: s.value(resource) or 0)
    if (most.value(resource) or 0) <= WILD * (second.value(resource) or 0):
        return list(samples), None
    return [s for s in samples if s is not most], most


def without_words(wild: Sample | None, resource: Resource) -> str:
    if wild is None:
        return ""
    return f", without one that took {BY_NAME[resource].shown(wild.value(resource) or 0)}"


def fresh_bound(samples: Sequence[Sample], resource: Resource) -> int | None:
    """The most that was not enough, as long as fewer than `ENOUGH` were enough since: then these know
    better.
    """
    bounds = [s for s in samples if s.ran_out_of == resource]
    fresh = [b for b in bounds if sum(s.at > b.at and s.ran_out_of is None for s in samples) < ENOUGH]
    return max((b.value(resource) or 0 for b in fresh), default=None)


def is_well_measured(sample: Sample, resource: Resource) -> bool:
    return sample.ran_out_of is None and (sample.seconds >= SAMPLED_S or not BY_NAME[resource].is_sampled)


def of_receipts(count: int) -> str:
    return f"{count} receipt{'' if count == 1 else 's'}"

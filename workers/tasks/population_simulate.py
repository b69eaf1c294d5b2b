"""population.simulate: how a drug is taken up and cleared in many virtual people, a chunk of them a job.

One compartment with first-order uptake (M. Rowland, T. Tozer: Clinical Pharmacokinetics, 4th ed., ch. 10):
dA/dt = -ka A; dC/dt = ka A / V - CL / V C, from A = dose, C = 0, solved by Runge-Kutta of fourth order.
Clearance CL and volume V are log-normal over the population, independent of each other. Each person's place
in both distributions is drawn for the whole population at once (Latin hypercube), so that a person is the
same in whatever chunk they are worked out.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from statistics import NormalDist
from typing import TYPE_CHECKING, Annotated, Any

from msgspec import Meta

from conductor.base.errors import BadInput
from conductor.model.spec import Estimate, Needs
from workers.task_api.context import JobContext
from workers.task_api.registry import task
from workers.task_api.toolkit import Args, leave_if_told, parse, write_of

if TYPE_CHECKING:
    import numpy as np

#: So many people are worked out between two checkpoints.
BLOCK = 500
#: In this order, for each person, as 64-bit floats: what a chunk's file holds.
COLUMNS = (
    "clearance_l_h",
    "volume_l",
    "c_max_mg_l",
    "t_max_h",
    "auc_mg_h_l",
    "c_end_mg_l",
    "c_end_exact_mg_l",
)

Positive = Annotated[float, Meta(gt=0, le=1e6)]
Spread = Annotated[float, Meta(ge=0, le=2)]


class PopulationModel(Args, frozen=True, kw_only=True):
    seed: int = 1
    people: Annotated[int, Meta(ge=1, le=1_000_000)] = 10_000
    dose_mg: Positive = 100.0
    #: 1/h
    uptake: Positive = 1.2
    #: Medians over the population, and the standard deviations of their logarithms.
    clearance_l_h: Positive = 5.0
    volume_l: Positive = 40.0
    clearance_spread: Spread = 0.3
    volume_spread: Spread = 0.2
    hours: Annotated[float, Meta(gt=0, le=10_000)] = 24.0
    steps: Annotated[int, Meta(ge=10, le=1_000_000)] = 960


class ChunkArgs(PopulationModel, frozen=True, kw_only=True):
    first: Annotated[int, Meta(ge=0)] = 0
    count: Annotated[int, Meta(ge=1)] = 1000


@task(
    "population.simulate",
    lane="cpu",
    needs=Needs(cpu=1, ram_mib=256),
    timeout_s=6 * 3600,
    stall_s=1800,
    retry={"task_error": 1, "worker_lost": 5, "timeout": 3},
    estimate=Estimate(duration_s=5.0),
    parameters=("people", "steps"),
)
def run(args: Mapping[str, Any], ctx: JobContext) -> dict[str, Any]:
    """args: first, count, and the model (seed, people, dose_mg, …). Writes a `.f64` file.

    Result: {"people", "first", "resumed_from"}: from which person on this attempt had to work.
    """
    given = parse(args, ChunkArgs)
    if given.first + given.count > given.people:
        raise BadInput(f"args.count: from {given.first} on there are {given.people - given.first} people")
    kept = ctx.checkpoint()
    done = kept.load() or b""
    wide = 8 * len(COLUMNS)
    resumed = len(done) // wide
    parts = [done[: resumed * wide]]
    clearances, volumes = drawn(given, given.first, given.count)
    for start in range(resumed, given.count, BLOCK):
        leave_if_told(ctx)
        some = slice(start, min(start + BLOCK, given.count))
        parts.append(block(given, clearances[some], volumes[some]))
        kept.save(b"".join(parts))
        ctx.progress(some.stop / given.count, f"{some.stop} of {given.count} people")
    with ctx.create(write_of(ctx, ".f64")) as file:
        file.write(b"".join(parts))
    return {"people": given.count, "first": given.first, "resumed_from": resumed}


def drawn(model: PopulationModel, first: int, count: int) -> tuple[list[float], list[float]]:
    """Clearances (l/h) and volumes (l) of the people `first` … `first + count - 1`.

    By scalar arithmetic: what a vector unit makes of `exp` may depend on a number's place in the array.
    """
    normal = NormalDist()
    found: list[list[float]] = []
    for key, median, spread in (
        ("clearance", model.clearance_l_h, model.clearance_spread),
        ("volume", model.volume_l, model.volume_spread),
    ):
        strata = list(range(model.people))
        random.Random(f"{model.seed}/{key}").shuffle(strata)
        places = (normal.inv_cdf((stratum + 0.5) / model.people) for stratum in strata[first : first + count])
        found.append([median * math.exp(spread * place) for place in places])
    return found[0], found[1]


def block(model: PopulationModel, clearances: list[float], volumes: list[float]) -> bytes:
    """Rows of `COLUMNS`, little-endian. By sums, products and quotients alone, which are exact to the last
    bit wherever a number stands."""
    import numpy as np

    cl, v = np.array(clearances), np.array(volumes)
    h = model.hours / model.steps
    rate = cl / v
    gut, blood = np.full_like(cl, model.dose_mg), np.zeros_like(cl)
    highest, at, auc = np.zeros_like(cl), np.zeros_like(cl), np.zeros_like(cl)

    def change(a: np.ndarray, c: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return -model.uptake * a, model.uptake * a / v - rate * c

    for step in range(1, model.steps + 1):
        a1, c1 = change(gut, blood)
        a2, c2 = change(gut + h / 2 * a1, blood + h / 2 * c1)
        a3, c3 = change(gut + h / 2 * a2, blood + h / 2 * c2)
        a4, c4 = change(gut + h * a3, blood + h * c3)
        before = blood
        gut = gut + h / 6 * (a1 + 2 * a2 + 2 * a3 + a4)
        blood = blood + h / 6 * (c1 + 2 * c2 + 2 * c3 + c4)
        auc = auc + h / 2 * (before + blood)
        is_higher = blood > highest
        highest, at = np.where(is_higher, blood, highest), np.where(is_higher, step * h, at)
    exact = np.array([closed_form(model, *person) for person in zip(clearances, volumes, strict=True)])
    # What is still to come after the last hour, by the slope at the end: the tail of a one-compartment curve.
    total = auc + (blood + gut / v) / rate
    return np.stack([cl, v, highest, at, total, blood, exact], axis=1).astype("<f8").tobytes()


def closed_form(model: PopulationModel, clearance: float, volume: float) -> float:
    """The concentration after the last hour (mg/l): the Bateman function."""
    k, ka, t = clearance / volume, model.uptake, model.hours
    if abs(ka - k) < 1e-9 * ka:
        return model.dose_mg / volume * ka * t * math.exp(-ka * t)
    return model.dose_mg * ka / (volume * (ka - k)) * (math.exp(-k * t) - math.exp(-ka * t))

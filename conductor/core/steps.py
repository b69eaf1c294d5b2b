"""Steps: durations and sizes as the decision knows them, so that jobs that are nearly alike share a class."""

from __future__ import annotations

import math

#: Steps per doubling: a step is 9 % above the one before.
STEPS = 8


def step_up(value: float) -> float:
    """Up to the next step: nobody is thought to end before it does. 0 (not known) stays 0."""
    return 0.0 if value <= 0 else 2 ** (math.ceil(math.log2(value) * STEPS - 1e-9) / STEPS)

"""The process that works forecasts out, so that no tick waits for one: a line on stdin asks, a line on stdout
answers.

Started by `conductor.analysis.forecast.forecast_thread`; ends with its stdin.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import msgspec

from conductor.adapters.open_ledger import redis_of
from conductor.analysis.forecast.predict import Predictor
from conductor.base.errors import ConductorError
from conductor.base.settings.settings import load
from conductor.model.forecast import PredictionReply

NICE = 10


def main(backlogs: Sequence[str]) -> None:
    """Answer until stdin ends."""
    settings = load()
    with redis_of(settings, is_lenient=True, is_joining=True) as client:
        predictor = Predictor(settings, client, backlogs)
        for _ in sys.stdin:
            sys.stdout.buffer.write(msgspec.json.encode(answered(predictor)) + b"\n")
            sys.stdout.flush()
            if not os.nice(0):
                os.nice(NICE)  # the first answer is waited for, later ones are not


def answered(predictor: Predictor) -> PredictionReply:
    try:
        return predictor.answer()
    except (ConductorError, OSError) as e:
        return PredictionReply(error=str(e))


if __name__ == "__main__":
    main(sys.argv[1:])

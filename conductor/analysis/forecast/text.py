"""A forecast in words: when it will be done, by one rule for all who say it, and afterwards how right that
was.
"""

from __future__ import annotations

import time
from datetime import datetime

from conductor.base.text import duration, many
from conductor.model.forecast import Forecast
from conductor.model.spec import Value

#: A forecast counts for so long, or for this share of what it named: the next one is late then.
FRESH_S, FRESH_SHARE = 120.0, 0.5
#: An end that is not before this is no news.
WORTH_SAYING_S = 5.0


class ForecastEnd(Value, frozen=True, kw_only=True):
    """When all will be done, by the ledger's clock, and the same in words; None: nobody can say, or
    nothing is left.
    """

    at: float | None = None
    words: str = ""


def end_of(forecast: Forecast | None, left: int, has_leader: bool, now: float) -> ForecastEnd:
    """What `status`, `top`, the log and the pages say. `left`: jobs that have not ended."""
    if left == 0:
        return ForecastEnd(words="nothing left")
    if not has_leader:
        return ForecastEnd(words="nobody can say when it is done: no conductor is running")
    if forecast is None or forecast.ended_at is not None:
        return ForecastEnd(words="nobody can say yet when it is done")
    whose = f"backlog:{forecast.backlog}" if forecast.backlog else "it"
    if forecast.ends_at is None and (forecast.not_before or 0.0) - now >= WORTH_SAYING_S:
        return ForecastEnd(words=f"{whose} is not done before {when(forecast, now)}: {forecast.because}")
    if forecast.ends_at is None:
        return ForecastEnd(words=f"nobody can say when {whose} is done: {forecast.because}")
    is_fresh = now - forecast.made_at < max(FRESH_S, FRESH_SHARE * (forecast.ends_at - forecast.made_at))
    if forecast.ends_at <= now or not is_fresh:
        return ForecastEnd(words=f"nobody can say when {whose} is done: it takes longer than was foretold")
    done = f"backlog:{forecast.backlog} done" if forecast.backlog else "done"
    return ForecastEnd(at=forecast.ends_at, words=f"{done} {when(forecast, now)}")


def when(forecast: Forecast, now: float) -> str:
    """«about 03:40 (in 2 h 10 min)»; `now` by the ledger's clock. Of one that names an end, or a bound of
    it.
    """
    rest, here = max(0.0, (forecast.ends_at or forecast.not_before or now) - now), time.time()
    at = datetime.fromtimestamp(here + rest)
    clock = at.strftime("%H:%M" if rest >= 600 else "%H:%M:%S")
    days = (at.date() - datetime.fromtimestamp(here).date()).days
    day = "" if days == 0 else " tomorrow" if days == 1 else f" on {at:%d %b}"
    later = f", not counting {' and '.join(forecast.left_out)}" if forecast.left_out else ""
    return f"about {clock}{day} ({'roughly ' if forecast.is_rough else ''}in {duration(rest)}{later})"


def told(forecast: Forecast, known: int | None = None) -> str:
    """«predicted 2 h 10 min at the start, took 2 h 14 min (3 % longer)»."""
    took, predicted = forecast.took_s, forecast.predicted_s
    if predicted is None:
        return "no end was foretold" + ("" if took is None else f", took {duration(took)}")
    if took is None:
        return f"predicted {duration(predicted)} at the start"
    share = round(100 * (took - predicted) / predicted) if predicted > 0 else 0
    words = "as predicted" if share == 0 else f"{abs(share)} % {'longer' if share > 0 else 'shorter'}"
    more = (known or forecast.first_known) - forecast.first_known
    meanwhile = f"; {many(more, 'job')} more dispatched meanwhile" if more > 0 else ""
    return f"predicted {duration(predicted)} at the start, took {duration(took)} ({words}{meanwhile})"

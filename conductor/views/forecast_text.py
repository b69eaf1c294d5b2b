"""A forecast in words: when it will be done, and afterwards how right that was."""

from __future__ import annotations

import time
from datetime import datetime

from conductor.model.forecast import Forecast
from conductor.text import duration, many


def when(forecast: Forecast, now: float) -> str:
    """«about 03:40 (in 2 h 10 min)»; `now` by the ledger's clock. Why not, where nobody can say."""
    if forecast.ends_at is None:
        return f"when, nobody can say: {forecast.because}"
    rest, here = max(0.0, forecast.ends_at - now), time.time()
    at = datetime.fromtimestamp(here + rest)
    clock = at.strftime("%H:%M" if rest >= 600 else "%H:%M:%S")
    days = (at.date() - datetime.fromtimestamp(here).date()).days
    day = "" if days == 0 else " tomorrow" if days == 1 else f" on {at:%d %b}"
    later = f", not counting {' and '.join(forecast.left_out)}" if forecast.left_out else ""
    return f"about {clock}{day} ({'roughly ' if forecast.is_rough else ''}in {duration(rest)}{later})"


def told(forecast: Forecast, known: int | None = None) -> str:
    """«predicted 2 h 10 min at the start, took 2 h 14 min (3 % longer)»."""
    took, predicted = forecast.took_s, forecast.predicted_s
    if took is None:
        return f"predicted {duration(predicted)} at the start"
    share = round(100 * (took - predicted) / predicted) if predicted > 0 else 0
    words = "as predicted" if share == 0 else f"{abs(share)} % {'longer' if share > 0 else 'shorter'}"
    more = (known or forecast.first_known) - forecast.first_known
    meanwhile = f"; {many(more, 'job')} more dispatched meanwhile" if more > 0 else ""
    return f"predicted {duration(predicted)} at the start, took {duration(took)} ({words}{meanwhile})"

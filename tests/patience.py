"""How long a test that waits rests between two looks."""

from __future__ import annotations

import time

#: Five tests that look a hundred times a second keep a tenth of a core busy with it, and the server they ask.
MOST_S = 0.05


def rest(began: float, least_s: float = 0.01) -> None:
    """`began`: when it began to wait, monotonic seconds. A fiftieth of that: what is found so late is found
    two hundredths later at most."""
    time.sleep(min(max(least_s, MOST_S), max(least_s, (time.monotonic() - began) / 50)))

"""How long the list of jobs waits for the index."""

from __future__ import annotations

import pytest

from conductor.app.web.lookout import Seen
from conductor.app.web.routes.job_lists import FEED_WAIT_S, feed_wait_s
from conductor.app.web.routes.overview import WAIT_S


@pytest.mark.parametrize(
    ("seen", "wait_s"),
    [
        (Seen(None, None, "", 0.0), WAIT_S),
        (Seen(None, None, "", 1.0), WAIT_S - 1.0),
        (Seen(None, None, "", 60.0), FEED_WAIT_S),
        (Seen(True, 0.5, "", 3.0), FEED_WAIT_S),
    ],
    ids=["nobody asked before", "it has just begun", "it takes long", "it was fed"],
)
def test_a_first_feed_is_waited_for_once_and_not_by_each_who_asks(seen: Seen[bool], wait_s: float) -> None:
    assert feed_wait_s(seen) == wait_s

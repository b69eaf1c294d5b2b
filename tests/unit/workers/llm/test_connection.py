"""One request to an endpoint whose server takes its time."""

from __future__ import annotations

import time

import pytest
from dripping_server import DRIPS, dripping

from conductor.base.settings.endpoint_settings import Endpoint
from workers.llm import connection
from workers.llm.connection import NoReply


@pytest.mark.parametrize("head", DRIPS.values(), ids=DRIPS)
def test_a_server_that_drips_is_left_when_the_time_is_up(
    head: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "LEAST_S", 0.3)
    began = time.monotonic()
    with dripping(head) as port:
        endpoint = Endpoint(base_url=f"http://127.0.0.1:{port}", model="m")
        with pytest.raises(NoReply, match="did not answer in time") as told:
            connection.post(endpoint, "none", {}, 0.0)
    assert told.value.kind == "broke off"
    assert time.monotonic() - began < 20, "each byte gave it time anew"

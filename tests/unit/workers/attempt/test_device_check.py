"""The cards that an attempt was admitted for are looked at before its body begins."""

from __future__ import annotations

import pytest
from builders import a_reservation

from conductor.adapters.host import nvml_probe
from workers.attempt import device_check
from workers.task_api.failure_causes import AttemptFault

BOTH = a_reservation(vram_mib=1, devices=("gpu0", "gpu1"), uuids=("GPU-a", "GPU-b"))


def fault(monkeypatch: pytest.MonkeyPatch, there: dict[str, str] | None) -> AttemptFault | None:
    monkeypatch.setattr(nvml_probe, "uuids", lambda: there)
    return device_check.fault_of(BOTH)


def test_it_begins_where_they_are_there(monkeypatch: pytest.MonkeyPatch):
    assert fault(monkeypatch, {"gpu0": "GPU-a", "gpu1": "GPU-b", "gpu2": "GPU-c"}) is None
    assert fault(monkeypatch, None) is None, "the driver does not say: CUDA sees these cards or none"


def test_on_another_card_it_goes_back_with_words_and_at_no_cost(monkeypatch: pytest.MonkeyPatch):
    found = fault(monkeypatch, {"gpu0": "GPU-a", "gpu1": "GPU-c"})
    assert found is not None and found.is_elsewhere
    assert found.message == "not begun: it was admitted for gpu1 (GPU-b), which is GPU-c now"


def test_one_that_is_gone_is_said_too(monkeypatch: pytest.MonkeyPatch):
    found = fault(monkeypatch, {"gpu0": "GPU-a"})
    assert found is not None
    assert (
        found.message
        == "not begun: it was admitted for gpu1 (GPU-b), which the driver does not list any more"
    )


def test_a_job_without_a_card_asks_nobody(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(nvml_probe, "uuids", lambda: pytest.fail("asked"))
    assert device_check.fault_of(a_reservation()) is None

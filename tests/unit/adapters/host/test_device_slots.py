"""A device's number is its own: the order in which the driver lists it means nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from conductor.adapters.host.device_slots import Slots, numbered, path_of
from conductor.adapters.host.nvml_probe import RawDevice, RawGpus, by_uuid, parse


@pytest.mark.parametrize(
    ("known", "listed", "want"),
    [
        ({}, ["a", "b"], [0, 1]),
        ({"a": 0, "b": 1}, ["b", "a"], [1, 0]),
        ({"a": 0, "b": 1}, ["b"], [1]),
        # A card that came gets a number that nobody had, also where another is gone.
        ({"a": 0, "b": 1}, ["c", "b"], [2, 1]),
        ({"a": 0}, ["c", "a"], [1, 0]),
        # One that does not say who it is can only be one of those that are not listed.
        ({"a": 0, "b": 1}, ["", "a"], [1, 0]),
        ({"a": 0, "b": 1}, ["a", ""], [0, 1]),
        ({}, ["", "b"], [0, 1]),
    ],
)
def test_each_keeps_its_number(known: dict[str, int], listed: list[str], want: list[int]):
    assert numbered(known, listed)[1] == want


def test_what_the_node_wrote_down_holds_for_its_workers_and_after_a_restart(tmp_path: Path):
    file = path_of(tmp_path / "state", "here")
    worker = Slots(file, is_writer=False)
    assert worker.numbers(["b", "a"]) == [0, 1], "nobody has said anything"

    assert Slots(file, is_writer=True).numbers(["a", "b"]) == [0, 1]

    assert worker.numbers(["b", "a"]) == [1, 0]
    assert Slots(file, is_writer=True).numbers(["c", "b", "a"]) == [2, 1, 0]


def test_a_damaged_file_costs_the_numbers_only(tmp_path: Path):
    file = path_of(tmp_path, "here")
    file.write_text("{")

    assert Slots(file, is_writer=True).numbers(["a", "b"]) == [0, 1]


def test_cuda_visible_devices_goes_by_the_place_and_is_pinned_to_the_card():
    listed = tuple(RawDevice(index=1 - i, place=i, uuid=f"GPU-{i}", total_bytes=1 << 30) for i in range(2))
    raw = RawGpus(devices=listed)

    assert [d.key for d in parse(raw, "0")[0]] == ["gpu1"]
    assert by_uuid(raw, "0, GPU-1") == "GPU-0,GPU-1"
    assert by_uuid(raw, "") == ""

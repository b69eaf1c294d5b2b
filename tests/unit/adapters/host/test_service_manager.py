"""What a service manager is told, on a real datagram socket; and nothing where there is none."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from notify_socket import notify_socket

from conductor.adapters.host.clock import ManualClock
from conductor.adapters.host.service_manager import ServiceManager, taken_from


@pytest.fixture(params=["path", "abstract"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path / "n") if request.param == "path" else f"@conductor-test-{os.getpid()}"


def test_each_word_arrives_with_its_status(place: str):
    with notify_socket(place) as line:
        manager = ServiceManager(place)
        manager.ready("Up; page: http://127.0.0.1:9280/")
        manager.tell(lambda: "3 of 4 jobs done")
        manager.stopping("Draining")
        assert line.hear() == [
            "READY=1",
            "STATUS=Up; page: http://127.0.0.1:9280/",
            "STATUS=3 of 4 jobs done",
            "STOPPING=1",
            "STATUS=Draining",
        ]


def test_the_watchdog_hears_of_it_four_times_before_it_would_bite(place: str):
    clock = ManualClock(0.0)
    with notify_socket(place) as line:
        manager = ServiceManager(place, 20.0, clock.now)
        for _ in range(100):
            manager.alive()
            clock.advance(0.25)
        assert line.hear() == ["WATCHDOG=1"] * 5
        ServiceManager(place).alive()  # no watchdog was asked for
        assert len(line.hear()) == 5


def test_a_status_is_made_seldom_and_is_one_line_whatever_names_are_in_it(place: str):
    clock = ManualClock(0.0)
    made: list[str] = []

    def words() -> str:
        made.append("a\nREADY=1\x1b[2J")
        return made[-1]

    with notify_socket(place) as line:
        manager = ServiceManager(place, None, clock.now)
        for _ in range(19):
            manager.tell(words)
            clock.advance(1.0)
        assert len(made) == 2
        assert len(line.hear()) == 2 and "READY=1" not in line.heard and "\x1b" not in line.heard[0]


def test_the_environment_names_it_no_more_and_one_child_can_be_told():
    environ = {
        "NOTIFY_SOCKET": "/run/n",
        "WATCHDOG_USEC": "180000000",
        "WATCHDOG_PID": str(os.getpid()),
        "A": "b",
    }
    manager = taken_from(environ)
    assert environ == {"A": "b"}
    assert manager.environment == {"NOTIFY_SOCKET": "/run/n", "WATCHDOG_USEC": "180000000"}


@pytest.mark.parametrize(
    "environ",
    [{}, {"NOTIFY_SOCKET": "vsock:2:3"}, {"NOTIFY_SOCKET": ""}, {"WATCHDOG_USEC": "1000"}],
    ids=["nothing", "another kind", "empty", "a watchdog alone"],
)
def test_where_nobody_listens_nothing_is_said_and_nothing_made(environ: dict[str, str]):
    manager = taken_from(environ)
    manager.ready("")
    manager.alive()
    manager.tell(lambda: pytest.fail("made for nobody"))
    assert manager.environment == {}


@pytest.mark.parametrize("given", [{"WATCHDOG_PID": "1"}, {"WATCHDOG_USEC": "soon"}, {"WATCHDOG_USEC": "0"}])
def test_a_watchdog_of_another_process_or_of_no_time_is_none(given: dict[str, str]):
    manager = taken_from({"NOTIFY_SOCKET": "/run/n", "WATCHDOG_USEC": "5", **given})
    assert manager.environment == {"NOTIFY_SOCKET": "/run/n"}


def test_a_manager_that_is_gone_disturbs_nobody(tmp_path: Path):
    ServiceManager(str(tmp_path / "gone")).ready("Up")

"""What only the Redis ledger can do: be unreachable, refuse, forget its scripts, restart, grow."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from ledger_scenes import (
    LedgerScene,
    a_class,
    a_receipt,
    a_reservation,
    an_entry,
    an_id,
    redis_scene,
    steps_back,
)
from loguru import logger
from node_scene import until
from redis import Redis

from conductor.adapters.open_ledger import connect, open_ledger, redis_ledger, redis_of
from conductor.adapters.redis import scripts, valkey
from conductor.base.errors import ConfigError, Unreachable
from conductor.base.settings.sections import Redis as RedisSettings
from conductor.base.settings.settings import Settings
from conductor.model.decision import Admission
from conductor.model.snapshot import Candidate, Lookahead


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Settings]:
    """A project with a Valkey of its own, which a test may maltreat."""
    settings = Settings(state_dir=tmp_path / "state")
    with valkey.session(settings.valkey):
        yield settings


@pytest.fixture
def client(own: Settings) -> Iterator[Redis]:
    with connect(valkey.place_of(own.valkey).url) as client:
        yield client


@pytest.fixture
def warnings_logged() -> Iterator[list[str]]:
    said: list[str] = []
    handler = logger.add(lambda message: said.append(str(message)), level="WARNING", format="{message}")
    yield said
    logger.remove(handler)


def at_url(url: str) -> Settings:
    return Settings(redis=RedisSettings(url=url))


def test_nobody_there_is_one_sentence_with_address_and_remedy(tmp_path: Path) -> None:
    wanted = r"unix://.*nothing\.sock cannot be reached.*redis\.url"
    with (
        pytest.raises(Unreachable, match=wanted) as caught,
        open_ledger(at_url(f"unix://{tmp_path}/nothing.sock")),
    ):
        pass
    assert "\n" not in str(caught.value)


def test_a_closed_port_is_named_and_the_password_is_not() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    url = f"redis://:hushhush@127.0.0.1:{port}/0"
    with pytest.raises(Unreachable, match=f"127.0.0.1:{port}") as caught, open_ledger(at_url(url)):
        pass
    assert "hushhush" not in str(caught.value)


def test_a_url_that_is_none_is_a_bad_setting() -> None:
    with (
        pytest.raises(ConfigError, match=r"redis\.url bogus://u:\*\*\*@there") as caught,
        open_ledger(at_url("bogus://u:hushhush@there")),
    ):
        pass
    assert "hushhush" not in str(caught.value)


def test_a_missing_or_wrong_password_says_what_to_do(own: Settings, client: Redis) -> None:
    path = valkey.place_of(own.valkey).socket
    client.config_set("requirepass", "right")
    with pytest.raises(Unreachable, match="asks for a password"), open_ledger(at_url(f"unix://{path}")):
        pass
    with pytest.raises(Unreachable, match="wrong") as caught, open_ledger(at_url(f"unix://:false@{path}")):
        pass
    assert "false" not in str(caught.value)
    with open_ledger(at_url(f"unix://:right@{path}")) as ledger:
        assert ledger.bell.now() > 0


def test_a_full_redis_refuses_whole_and_says_so(client: Redis) -> None:
    ledger = redis_ledger(client)
    scene = redis_scene(client, ledger)
    scene.put(*(an_entry(name) for name in ("w", "x", "y", "z")))
    for name in ("x", "y", "z"):
        scene.run(name)
    client.config_set("maxmemory", "1")
    with pytest.raises(Unreachable, match=r"memory is full.*maxmemory"):
        ledger.intake.put("night", [an_entry("b")])
    assert ledger.tallies.counts()["waiting"] == 1, "reading goes on"
    assert scene.accept("x") == "accepted", "and what runs can end"
    assert scene.fail("y") == "accepted"
    assert scene.rescue("z")
    client.config_set("maxmemory", "0")
    assert scene.put(an_entry("b")) == (1, 0)


def test_who_only_looks_is_warned_of_an_evicting_or_forgetful_redis(
    own: Settings, client: Redis, warnings_logged: list[str]
) -> None:
    url = valkey.place_of(own.valkey).url
    with redis_of(at_url(url), is_lenient=True):
        pass
    assert warnings_logged == []
    client.config_set("maxmemory-policy", "allkeys-lru")
    client.config_set("appendonly", "no")
    with redis_of(at_url(url), is_lenient=True):
        pass
    assert "maxmemory-policy noeviction" in warnings_logged[0]
    assert "appendonly yes" in warnings_logged[1]


def test_a_user_that_may_not_ask_for_the_configuration_is_content(own: Settings, client: Redis) -> None:
    client.execute_command("ACL", "SETUSER", "worker", "on", ">pw", "~*", "&*", "+@all", "-config")
    with open_ledger(at_url(f"unix://worker:pw@{valkey.place_of(own.valkey).socket}")) as ledger:
        assert ledger.tallies.backlogs() == ()


def test_a_user_that_may_not_write_is_told_so(own: Settings, client: Redis) -> None:
    client.execute_command("ACL", "SETUSER", "reader", "on", ">pw", "~*", "&*", "+@all", "-evalsha", "-eval")
    url = f"unix://reader:pw@{valkey.place_of(own.valkey).socket}"
    with open_ledger(at_url(url)) as ledger, pytest.raises(Unreachable, match="may not do this"):
        ledger.intake.put("night", [an_entry("a")])


def test_a_server_that_forgot_its_scripts_is_given_them_again(client: Redis) -> None:
    scene = redis_scene(client, redis_ledger(client))
    scene.put(an_entry("a"))
    client.script_flush()
    assert scene.put(an_entry("b")) == (1, 0)


def test_a_killed_server_comes_back_with_all_it_acknowledged_and_the_ledger_goes_on(
    own: Settings, client: Redis
) -> None:
    client.config_set("appendfsync", "always")
    scene = redis_scene(client, redis_ledger(client))
    scene.put(an_entry("a"), an_entry("b"))
    scene.run("a")
    os.kill(int(valkey.place_of(own.valkey).pid_file.read_text()), signal.SIGKILL)
    assert valkey.wait_until(lambda: not valkey.is_running(own.valkey), 10)
    with pytest.raises(Unreachable):
        scene.renew("a")
    valkey.ensure_running(own.valkey)
    assert scene.renew("a") == "ok"
    assert scene.accept("a") == "accepted"
    assert scene.heads() == ["b"]


def test_an_emptied_redis_does_not_lend_its_class_numbers_to_the_next_ledger(client: Redis) -> None:
    ledger = redis_ledger(client)
    ledger.intake.put("night", [an_entry("a", a_class("big"))])
    assert ledger.waiting.candidates(Lookahead(heads=1))[0].job_class.id == "big"
    client.flushall()
    ledger.bell.wait(0.01)  # the next millisecond
    ledger.intake.put("night", [an_entry("a", a_class("small"))])
    assert ledger.waiting.candidates(Lookahead(heads=1))[0].job_class.id == "small"


def commands_of(client: Redis, ledger_call: object) -> int:
    """How many commands a call costs inside the server, the scripts' own among them."""

    def calls() -> int:
        return sum(row["calls"] for name, row in client.info("commandstats").items() if "info" not in name)

    before = calls()
    ledger_call()  # type: ignore[operator]
    return calls() - before


def test_a_redis_that_is_emptied_between_the_heads_and_their_classes_ends_no_conductor(client: Redis) -> None:
    ledger, fresh = redis_ledger(client), redis_ledger(client)
    ledger.intake.put("night", [an_entry("a", a_class("big"))])
    client.delete("conductor:classes")

    with pytest.raises(Unreachable, match="emptied while it was read"):
        fresh.waiting.candidates(Lookahead(heads=1))


def test_a_look_at_the_heads_costs_by_classes_not_by_jobs(client: Redis) -> None:
    ledger = redis_ledger(client)

    def look() -> tuple[Candidate, ...]:
        return ledger.waiting.candidates(Lookahead(heads=4))

    ledger.intake.put("night", [an_entry(f"n{i}", a_class(f"c{i % 5}")) for i in range(50)])
    look()
    few = commands_of(client, look)
    ledger.intake.put("night", [an_entry(f"m{i}", a_class(f"c{i % 5}")) for i in range(5000)])
    assert commands_of(client, look) == few


#: What a job has in the ledger while it is admitted, and while it runs.
ADMITTED = {"reservations", "charges", "reserved", "admitted_at"}
RUNNING = {"reservations", "charges", "reserved", "leases", "running:w1"}
WAITING = {"ready", "class:1"}


def test_one_life_of_a_job_takes_four_round_trips_and_leaves_little(client: Redis) -> None:
    ledger = redis_ledger(client)

    def there() -> set[str]:
        named = {key.decode().removeprefix("conductor:") for key in client.keys("conductor:*")}
        return named & (ADMITTED | RUNNING | WAITING)

    epoch = ledger.leadership.lead("c", 60)
    assert epoch is not None
    ledger.intake.put("night", [an_entry("a")])
    assert there() == WAITING
    ledger.handover.admit(epoch, [Admission(reservation=a_reservation("a"), backlog="night")])
    assert there() == ADMITTED
    ledger.attempts.start(an_id("a"), 1, "w1", 30)
    assert there() == RUNNING
    ledger.attempts.accept(a_receipt("a"))
    assert there() == set()
    about_the_job = {k.decode() for k in client.keys("*") if an_id("a") in k.decode()}
    assert about_the_job == {f"rq:job:{an_id('a')}-a1", f"conductor:status:{an_id('a')}"}
    assert 0 < int(client.pttl(f"conductor:status:{an_id('a')}")) <= 60_000  # type: ignore[arg-type]


def test_open_ledger_on_no_url_brings_its_own_server_and_takes_it_away(tmp_path: Path) -> None:
    settings = Settings(state_dir=tmp_path / "state")
    with open_ledger(settings) as ledger:
        ledger.intake.put("night", [an_entry("a")])
        assert valkey.is_running(settings.valkey)
    assert not valkey.is_running(settings.valkey)
    with open_ledger(settings) as ledger:
        assert ledger.tallies.counts()["waiting"] == 1


def test_a_scene_of_the_suite_notices_a_wrong_count(client: Redis) -> None:
    scene: LedgerScene = redis_scene(client, redis_ledger(client))
    scene.put(an_entry("a"))
    client.hincrby("conductor:count:night", "w", 1)
    with pytest.raises(AssertionError):
        scene.check()


def test_the_hand_of_a_worker_that_died_with_its_node_is_emptied_by_the_rescue(client: Redis) -> None:
    # Given a worker that took an entry and died before it started, and nobody left who would ask what it held
    scene = redis_scene(client, redis_ledger(client))
    scene.put(an_entry("a"))
    scene.admit("a")
    client.sadd("conductor:workers", "w1")
    assert scene.take("cpu-node1", "w1") == (an_id("a"), 1)

    # When the conductor returns the job
    assert scene.rescue("a")

    # Then nothing of the worker's hand is left in Redis
    assert client.keys("conductor:prefetched:*") == []


@pytest.fixture
def long_fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was asked ahead holds for 50 ms, in which a machine at its limit may not get to ask."""
    monkeypatch.setattr(scripts, "AHEAD_S", 60.0)


@pytest.mark.usefixtures("long_fresh")
def test_what_was_asked_ahead_is_answered_once_and_then_asked_anew(client: Redis):
    scene = redis_scene(client, redis_ledger(client))
    ledger = scene.ledger
    ledger.waiting.candidates(Lookahead())  # The server knows the script.
    ledger.prefetch.ask_ahead(Lookahead(), 3.0)
    scene.put(an_entry("a"))

    assert ledger.waiting.candidates(Lookahead()) == ()  # As of then.
    assert len(ledger.waiting.candidates(Lookahead())) == 1
    ledger.prefetch.ask_ahead(Lookahead(), 3.0)
    assert len(ledger.waiting.candidates(Lookahead(heads=8))) == 1  # Other arguments are another question.


def test_what_was_asked_ahead_is_no_answer_for_another_thread_or_later(
    client: Redis, monkeypatch: pytest.MonkeyPatch
):
    scene = redis_scene(client, redis_ledger(client))
    ledger = scene.ledger
    ledger.waiting.candidates(Lookahead())  # The server knows the script.
    ledger.prefetch.ask_ahead(Lookahead(), 3.0)
    scene.put(an_entry("a"))
    found: list[int] = []
    thread = threading.Thread(target=lambda: found.append(len(ledger.waiting.candidates(Lookahead()))))
    thread.start()
    thread.join()
    assert found == [1]

    monkeypatch.setattr("time.monotonic", lambda: float("inf"))
    assert len(ledger.waiting.candidates(Lookahead())) == 1


@pytest.mark.usefixtures("long_fresh")
def test_the_ring_that_wakes_a_leader_brings_the_answers_of_its_next_tick(client: Redis):
    # Given a leader that has ticked once
    scene = redis_scene(client, redis_ledger(client))
    ledger, lead = scene.ledger, ("me", 10.0)
    epoch = ledger.leadership.lead(*lead)
    ledger.prefetch.ask_ahead(Lookahead(), 3.0, lead)
    assert ledger.prefetch.ask_when_rung(0.01, Lookahead(), 3.0, lead) is False

    # When something rings, and more comes after it was woken
    scene.put(an_entry("a"))
    assert ledger.prefetch.ask_when_rung(5, Lookahead(), 3.0, lead) is True
    scene.put(an_entry("b"))
    before = client.info("commandstats")["cmdstat_evalsha"]["calls"]
    ledger.prefetch.ask_ahead(Lookahead(), 3.0, lead)

    # Then its tick goes by what was true when it woke, and asks nobody
    assert ledger.leadership.lead(*lead) == epoch
    assert [head.job_id for c in ledger.waiting.candidates(Lookahead()) for head in c.heads] == [an_id("a")]
    assert client.info("commandstats")["cmdstat_evalsha"]["calls"] == before
    # And the tick after it, which nothing rang for, asks anew
    ledger.prefetch.ask_ahead(Lookahead(), 3.0, lead)
    assert len([head for c in ledger.waiting.candidates(Lookahead()) for head in c.heads]) == 2


def test_a_ring_wakes_a_leader_whose_server_lost_its_scripts(client: Redis):
    scene = redis_scene(client, redis_ledger(client))
    ledger, lead = scene.ledger, ("me", 10.0)
    ledger.leadership.lead(*lead)
    scene.put(an_entry("a"))
    client.script_flush()

    assert ledger.prefetch.ask_when_rung(5, Lookahead(), 3.0, lead) is True
    ledger.prefetch.ask_ahead(Lookahead(), 3.0, lead)
    assert len(ledger.waiting.candidates(Lookahead())) == 1


def test_what_a_server_gave_whose_clock_was_ahead_ends_in_time(client: Redis) -> None:
    """After a failover: its hour of a lead and of a lease would keep both from everybody else."""
    # Given a lead and a lease of an hour, and another server in the place of who gave them
    ledger = redis_ledger(client)
    scene = redis_scene(client, ledger)
    scene.put(an_entry("a"))
    scene.run("a")
    scene.ledger.leadership.resign("conductor-1")
    client.set(scene.keys.leader, "7 conductor-9", px=3_600_000)
    now_s = float(client.time()[0])  # type: ignore[index]
    client.zadd(f"{scene.keys.ledger}leases", {an_id("a"): (now_s + 3600) * 1000})
    steps_back(scene)
    # When somebody asks for the lead
    assert ledger.leadership.lead("conductor-1", 0.2) is None
    # Then it is free as soon as one that was given now
    assert client.pttl(scene.keys.leader) <= 200
    epoch = until(lambda: ledger.leadership.lead("conductor-1", 60.0))
    assert epoch is not None and ledger.leadership.settle(epoch, 0.0, 0) is not None
    assert [held.job_id for held in ledger.orphans.orphans(60.0)] == [an_id("a")]

"""What a child keeps between jobs, within what the job in hand reserved; and memory that does not come
back.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from conductor.base.settings.sections import Workers
from workers.isolation.leaks import Leaks
from workers.task_api.warm_cache import WarmStore


@dataclass
class WarmDevice:
    """The VRAM that the objects hold, as a driver would tell it."""

    context_mib: int = 300
    held: dict[str, int] = field(default_factory=dict[str, int])
    closed: list[str] = field(default_factory=list[str])
    is_told: bool = True

    def used(self) -> int | None:
        return self.context_mib + sum(self.held.values()) if self.is_told else None

    def model(self, name: str, mib: int) -> Model:
        self.held[name] = mib
        return Model(self, name)


@dataclass
class Model:
    device: WarmDevice
    name: str

    def close(self) -> None:
        del self.device.held[self.name]
        self.device.closed.append(self.name)


def a_job(store: WarmStore, device: WarmDevice, owner: str, mib: int, allowed: int | None) -> None:
    """A job of `owner` that keeps a model of so many MiB and reserved `allowed`."""
    store.begin(owner, allowed)
    store.get(owner, lambda: device.model(owner, mib))
    store.end()


def test_a_model_is_made_once_and_what_making_it_raises_is_not_kept():
    store, made = WarmStore(), list[int]()
    for _ in range(3):
        store.get("a", lambda: made.append(1))
    assert made == [1]


def test_the_one_unused_for_longest_goes_first_and_is_closed():
    device = WarmDevice()
    store = WarmStore(size=2)
    for name in ("a", "b", "a", "c"):
        store.get(name, lambda name=name: device.model(name, 1))
    assert store.keys() == ("a", "c")
    assert device.closed == ["b"]


def test_one_that_cannot_say_goodbye_goes_all_the_same():
    class Stubborn:
        def close(self) -> None:
            raise RuntimeError("no")

    store = WarmStore(size=1)
    store.get("a", Stubborn)
    store.get("b", list)
    assert store.keys() == ("b",)


def test_beside_a_job_never_seen_no_other_model_stays_for_it_may_need_all_that_it_reserved():
    device = WarmDevice()
    store = WarmStore(held=device.used)
    a_job(store, device, "a", 4000, 10_000)
    a_job(store, device, "b", 4000, 10_000)
    assert device.held == {"b": 4000}


def test_once_both_are_known_to_fit_into_the_reservation_both_stay():
    device = WarmDevice()
    store = WarmStore(held=device.used)
    for owner in ("a", "b", "a", "b"):
        a_job(store, device, owner, 4000, 10_000)
    assert device.held == {"a": 4000, "b": 4000}
    assert store.owners() == ("a", "b")


def test_a_job_that_reserved_4_gib_does_not_sit_in_a_child_that_keeps_10():
    device = WarmDevice()
    store = WarmStore(held=device.used)
    a_job(store, device, "a", 10_000, 12_000)
    a_job(store, device, "b", 500, 4096)
    assert device.held == {"b": 500}
    # Also where they are its own, made by jobs that reserved more.
    a_job(store, device, "c", 10_000, 12_000)
    store.begin("c", 4096)
    assert device.held == {}


def test_where_the_driver_does_not_tell_a_job_has_the_child_to_itself():
    device = WarmDevice(is_told=False)
    store = WarmStore(held=device.used)
    for owner in ("a", "b", "a"):
        a_job(store, device, owner, 100, 10_000)
    assert device.held == {"a": 100}


def test_jobs_without_a_device_keep_what_they_made():
    device = WarmDevice()
    store = WarmStore(held=device.used)
    for owner in ("a", "b", "c"):
        a_job(store, device, owner, 4000, None)
    assert set(device.held) == {"a", "b", "c"}


# ── leaks ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_memory_that_grows_beyond_the_limit_is_a_leak_and_what_is_kept_warm_is_none():
    leaks = Leaks(Workers(leak_rss_mib=1000))
    assert leaks.look(200, None, ()) == ""
    assert leaks.look(5000, None, ("onnx:a",)) == "", "the model was loaded"
    assert leaks.look(5900, None, ("onnx:a",)) == ""
    assert "its memory is 1001 MiB above what it was at first" in leaks.look(6001, None, ("onnx:a",))


def test_vram_has_a_limit_of_its_own_and_unknown_is_no_leak():
    leaks = Leaks(Workers(leak_vram_mib=100))
    assert leaks.look(None, 500, ()) == ""
    assert leaks.look(None, None, ()) == ""
    assert "workers.leak_vram_mib" in leaks.look(None, 601, ())

"""An API that sells video: what was paid for is fetched there, and nothing is paid twice. A real server on
loopback."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from toon_scene import FilmApi, SegmentBench, said

from conductor.base.errors import BadOutput, EndpointUnavailable
from conductor.base.settings.endpoint_settings import Endpoint
from workers.engines import kept_request
from workers.media import picture_faults, probing
from workflows.toon.comfy_server import ComfyReply


@pytest.fixture
def api(tmp_path: Path, desk: SegmentBench) -> Iterator[FilmApi]:
    desk.draw("templates", frames=24, samples=96_000)
    film = next(tmp_path.rglob("x.mkv"))
    copy = desk.bench.inputs / "film.mkv"
    copy.write_bytes(film.read_bytes())
    found = FilmApi(copy)
    desk.use(film_api=Endpoint(kind="video", base_url=f"{found.url}/v1", usd_per_second=0.25))
    yield found
    found.leave()


def test_what_was_paid_for_is_fetched_and_not_bought_again(desk: SegmentBench, api: FilmApi) -> None:
    api.moods["GET /v1/videos"] = lambda: said({"error": "overloaded"}, 503)
    with pytest.raises(EndpointUnavailable) as e:
        desk.draw("film_api")
    assert e.value.stays_with == "film_api"
    assert [(call.outcome, call.usd, call.trouble) for call in desk.told] == [
        ("ok", 0.25, None), ("failed", None, "busy")]  # fmt: skip
    with pytest.raises(EndpointUnavailable) as e:
        desk.draw("templates")
    assert (e.value.stays_with, e.value.rate_key, desk.told) == ("film_api", "", [])
    api.moods.clear()
    assert desk.draw("film_api")["engine"] == "film_api"
    assert api.bought == ["1"] and desk.told[-1].usd == 0.0


def test_what_may_have_been_sold_is_asked_for_there_again_under_the_same_key(
    desk: SegmentBench, api: FilmApi
) -> None:
    def taken() -> ComfyReply:
        raise ConnectionResetError

    api.moods["POST /v1/videos"] = taken
    with pytest.raises(EndpointUnavailable, match="may have sold it all the same") as e:
        desk.draw("film_api")
    assert e.value.stays_with == "film_api"
    del api.moods["POST /v1/videos"]
    assert desk.draw("film_api")["engine"] == "film_api"
    first, second = api.keys
    assert first == second, "an API that takes keys sells it once"


def test_pieces_of_all_engines_are_of_one_form_so_that_they_are_joined_by_copying(
    desk: SegmentBench, api: FilmApi, tmp_path: Path
) -> None:
    forms: set[object] = set()
    for engine in ("comfy", "templates", "film_api"):
        desk.draw(engine)
        made = max(tmp_path.rglob("x.mkv"), key=lambda file: file.stat().st_mtime_ns)
        forms.add(probing.form(made, engine, probing.probe(made, engine)))
    assert len(forms) == 1


def test_a_disk_that_fills_up_while_it_is_fetched_costs_nothing_more(
    desk: SegmentBench, api: FilmApi
) -> None:
    with pytest.raises(OSError, match="No space left"):
        desk.draw("film_api", came=Path("/dev/full"))
    assert desk.draw("film_api")["engine"] == "film_api"
    assert api.bought == ["1"]


def test_a_key_that_is_missing_is_one_sentence_and_nothing_is_sent(
    desk: SegmentBench, api: FilmApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FILM_KEY", raising=False)
    desk.use(film_api=Endpoint(kind="video", base_url=f"{api.url}/v1", api_key_env="FILM_KEY"))
    with pytest.raises(EndpointUnavailable) as e:
        desk.draw("film_api")
    assert str(e.value) == "the key of endpoint film_api is missing: set FILM_KEY in the workers' environment"
    assert desk.told[-1].trouble == "refuses" and not api.paths and not api.bought


def test_what_was_paid_for_and_is_too_short_is_not_bought_a_second_time(
    desk: SegmentBench, api: FilmApi
) -> None:
    with pytest.raises(BadOutput, match="s long, the scene 4"):
        desk.draw("film_api", frames=48, samples=192_000)
    with pytest.raises(BadOutput):
        desk.draw("film_api", frames=48, samples=192_000)
    assert api.bought == ["4"]


def test_what_was_paid_for_and_is_doubtful_a_person_looks_at(
    desk: SegmentBench, api: FilmApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(picture_faults, "FLAT", 500.0)
    desk.draw("film_api")
    assert desk.asked is not None and "it shows nothing" in desk.asked.items[0].words
    assert api.bought == ["1"]


def test_a_full_scratch_is_found_before_anything_is_paid(
    desk: SegmentBench, api: FilmApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(kept_request, "save", full)
    with pytest.raises(OSError, match="No space"):
        desk.draw("film_api")
    assert not api.bought

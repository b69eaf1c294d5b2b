"""A script of a cartoon as jobs: which engines each scene may use, and what a change makes anew."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from conductor.base.errors import ConductorError, ConfigError
from conductor.base.settings.endpoint_settings import Endpoint
from conductor.base.settings.settings import load
from conductor.model.spec import JobSpec
from workflows.toon.comfy_server import GRAPH
from workflows.toon.engines import chosen
from workflows.toon.plan import plan

LOCAL = Endpoint(kind="comfyui", base_url="http://127.0.0.1:1")
API = Endpoint(kind="video", base_url="http://127.0.0.1:2/v1", usd_per_second=0.5)
CHAT = Endpoint(base_url="http://127.0.0.1:3/v1")
SCENES: list[dict[str, Any]] = [
    {"text": "one", "seconds": 1.5},
    {"text": "two", "seconds": 2.2, "engine": "templates"},
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "graph.json").write_text(json.dumps(GRAPH))
    return tmp_path


def jobs(
    folder: Path, script: Any, policy: str | None = None, engines: str = "", **endpoints: Endpoint
) -> list[JobSpec]:
    file = folder / "story.json"
    file.write_text(script if isinstance(script, str) else json.dumps(script))
    settings = msgspec.structs.replace(load(folder), endpoints=endpoints, inputs=(folder,))
    options = argparse.Namespace(script=file, policy=policy, engines=engines, patience=600.0)
    return list(plan(options, settings.for_code))


def names(spec: JobSpec) -> list[str]:
    assert spec.needs is not None
    return [engine.name for engine in spec.needs.engines]


@pytest.mark.parametrize(
    ("policy", "wanted"),
    [
        (None, ["comfy", "film_api", "templates"]),
        ("local_first", ["comfy", "film_api", "templates"]),
        ("local_only", ["comfy", "templates"]),
        ("api_only", ["film_api"]),
    ],
)
def test_a_policy_says_which_engines_and_which_first(
    folder: Path, policy: str | None, wanted: list[str]
) -> None:
    script = {"graph": "graph.json", "fps": 10, "scenes": SCENES}
    first, second, film = jobs(folder, script, policy, comfy=LOCAL, film_api=API, chat=CHAT)
    assert names(first) == wanted and names(second) == ["templates"], "a scene may name its own"
    assert film.task == "toon.film" and film.after == (first.id, second.id)
    if "film_api" in wanted:
        needs = first.needs
        assert needs is not None
        price = needs.engines[wanted.index("film_api")].rates["film_api"]
        assert price.tokens == 2000, "milliseconds, in the whole seconds that are paid"


def test_who_makes_a_scene_is_no_part_of_what_it_is(folder: Path) -> None:
    script = {"graph": "graph.json", "scenes": SCENES}
    one = jobs(folder, script, "local_only", comfy=LOCAL, film_api=API)
    other = jobs(folder, script, "api_only", comfy=LOCAL, film_api=API)
    assert [spec.id for spec in one] == [spec.id for spec in other]


def test_a_changed_scene_is_made_anew_and_the_film(folder: Path) -> None:
    before = jobs(folder, {"scenes": SCENES})
    after = jobs(folder, {"scenes": [SCENES[1], {"text": "another"}, SCENES[0], SCENES[0]]})
    new = {spec.id for spec in after} - {spec.id for spec in before}
    assert len(after) == 4 and len(new) == 2, "scenes that are alike are one job, wherever they stand"
    film = after[-1]
    assert film.args["segments"][2] == film.args["segments"][3] and len(film.reads) == 3


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("{", "is no script of a cartoon"),
        ('{"scenes": []}', "scenes"),
        ('{"scenes": [{"txt": "a"}]}', "txt"),
        ('{"scenes": [{"seconds": -1}]}', "seconds"),
        ('{"scenes": [{"background": "red:t=fill"}]}', "background"),
        ('{"scenes": [{"engine": "comfi"}]}', "no engine is named 'comfi', did you mean comfy?"),
        ('{"scenes": [{"text": "a"}]}', "names no graph"),
        ('{"graph": "absent.json", "scenes": [{"text": "a"}]}', "absent.json"),
        ("[" * 100_000, "is no script of a cartoon"),
    ],
)
def test_a_damaged_script_is_one_sentence(folder: Path, script: str, words: str) -> None:
    with pytest.raises(ConductorError) as e:
        jobs(folder, script, comfy=LOCAL)
    assert words in str(e.value) and "Traceback" not in str(e.value)


def test_toml_is_a_script_too(folder: Path) -> None:
    file = folder / "story.toml"
    file.write_text('fps = 12\n[[scenes]]\ntext = "one"\nseconds = 2\n')
    options = argparse.Namespace(script=file, policy=None, engines="", patience=600.0)
    segment, _ = plan(options, load(folder).for_code)
    assert segment.args["frames"] == 24


def test_engines_that_are_not_there_are_named(folder: Path) -> None:
    with pytest.raises(ConfigError, match="api_only needs"):
        jobs(folder, {"scenes": SCENES}, "api_only")
    assert chosen(load(folder).for_code, "local_first", ["templates", "templates"]) == ("templates",)

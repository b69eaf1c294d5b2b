"""From what was written to sections: each fault by its key, and text of the environment as what it means."""

from __future__ import annotations

from pathlib import Path

import pytest

from conductor.base.errors import ConfigError
from conductor.base.settings.settings import Settings, load
from conductor.base.settings.variables import merged


def written(folder: Path, text: str) -> Settings:
    (folder / "conductor.toml").write_text(text, encoding="utf-8")
    return load(folder)


def test_all_faults_are_named_at_once_each_by_its_key(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as refused:
        written(
            tmp_path,
            '[timing]\ntick_s = -1\n[lanes.cpu]\ndepth = "2"\n[roots.nas]\nmarker = "x"\n'
            '[stores.ads]\nurl = "ads.db"\n[nodes.me]\nyield_to = "cat"\n'
            '[counters.c]\nlimit = 1\nper = "device"\ncommand = ["x"]\n',
        )

    faults = str(refused.value).removeprefix(f"{tmp_path / 'conductor.toml'}: ").split("; ")
    assert faults == [
        "lanes.cpu.depth: is to be a whole number, from 1",
        'nodes.me.yield_to: is to be "input" or "load", or a list of both',
        "roots.nas.path: must be given",
        'stores.ads.url: is to begin with "sqlite:" or "postgresql://"',
        "counters.c: command tells of the cluster or of a node: leave it out, or count by «node»",
        "timing.tick_s: is to be seconds, above 0, to 1000000000",
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("lanes.gpu = 3", "lanes.gpu: is to be a table, with a name for each value"),
        ("canary.x = -1", "canary.x: is to be a whole number, from 0"),
        ('inputs = ["a", 3]', "inputs: is to be a list, of which each is a path"),
        ('roots.x.path = ""\nroots.x.is_ephemeral = 1', "roots.x.is_ephemeral: is to be true or false"),
        ("timing.lease_s = nan", "timing.lease_s: is to be seconds, above 0"),
        ("workers.max_jobs = true", "workers.max_jobs: is to be a whole number, from 0"),
        ("node = 5", "node: is to be text"),
        ("devices.gpu01.vram_mib = 5", "devices: 'gpu01' names no device"),
        (
            'hooks.crm = {secret_env = "S", run = "w", backlog = "A b"}',
            "hooks.crm.backlog: is to be up to 40 small",
        ),
        ('models.m = {path = "m", sha256 = "abc"}', "models.m.sha256: is to be 64 digits and letters a to f"),
        (
            'archive.bucket = "b"\narchive.s3_url = "ftp://x"',
            "archive.s3_url: is to be an address that begins",
        ),
    ],
)
def test_a_value_of_another_kind_is_refused_with_what_it_is_to_be(
    tmp_path: Path, text: str, words: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        written(tmp_path, text)
    assert words in str(refused.value)


def test_text_of_the_environment_means_what_the_key_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {
        "TIMING__TICK_S": "2",
        "WEB__IS_ON": "no",
        "LEARNING__IS_ON": "False",
        "INPUTS": '["clips"]',
        "NODES": '{"me": {"yield_to": ["input", "load"]}}',
        "NODES__OTHER__YIELD_TO": "load",
        "DEVICES__GPU0__VRAM_MIB": "900",
        "LANES": '{"gpu": {"workers": 2, "on_cpu": true}}',
        "LANES__GPU__WORKERS": "3",
        "NODE": "7",
    }.items():
        monkeypatch.setenv(f"CONDUCTOR_{name}", value)

    found = written(tmp_path, "[lanes.gpu]\ndepth = 4\n[timing]\nlease_s = 7\n")

    assert (found.timing.tick_s, found.timing.lease_s) == (2.0, 7.0)
    assert (found.web.is_on, found.learning.is_on, found.node) == (False, False, "7")
    assert found.inputs == (tmp_path / "clips",)
    assert found.nodes["me"].yields_to("input") and not found.nodes["other"].yields_to("input")
    assert found.devices.named["gpu0"].vram_mib == 900
    # The innermost variable wins over the outer one, and both over the file.
    lane = found.lanes.gpu
    assert (lane.workers, lane.on_cpu, lane.depth) == (3, True, 4)


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        (
            "INPUTS",
            "clips",
            "inputs: is to be a list, of which each is a path, in one variable written as JSON",
        ),
        ("LANES", "gpu=2", "lanes: is to be a table, with a name for each value; in one variable it is"),
        ("LANES__CPU__WORKERS", "many", "lanes.cpu.workers: is to be a whole number"),
        ("WEB__IS_ON", "maybe", "web.is_on: is to be true or false"),
    ],
)
def test_text_of_the_environment_that_means_nothing_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, words: str
) -> None:
    monkeypatch.setenv(f"CONDUCTOR_{variable}", value)
    with pytest.raises(ConfigError) as refused:
        load(tmp_path)
    assert words in str(refused.value)


def test_trees_are_merged_key_by_key() -> None:
    assert merged({"a": {"b": 1, "c": 2}, "d": 3}, {"a": {"c": 4}, "d": {"e": 5}}) == {
        "a": {"b": 1, "c": 4},
        "d": {"e": 5},
    }


def test_no_address_is_in_what_is_printed_of_a_section() -> None:
    from conductor.base.settings.sections import Redis

    assert "secret" not in repr(Settings(redis=Redis(url="redis://me:secret@h/0")))


def test_what_did_not_change_is_made_once_and_a_change_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = written(tmp_path, 'node = "a"\n')
    assert load(tmp_path) is first, "a worker takes over what the process made that it is a copy of"

    assert written(tmp_path, 'node = "b"\n').node == "b"
    monkeypatch.setenv("CONDUCTOR_NODE", "c")
    assert load(tmp_path).node == "c"
    (tmp_path / "conductor.toml").unlink()
    monkeypatch.delenv("CONDUCTOR_NODE")
    assert load(tmp_path).node is None

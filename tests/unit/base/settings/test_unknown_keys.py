"""A setting that is none is named with the nearest one that is, wherever it was said."""

from __future__ import annotations

from pathlib import Path

import pytest

from conductor.base.errors import ConfigError
from conductor.base.settings.settings import load


@pytest.mark.parametrize(
    ("variable", "words"),
    [
        ("CONDUCTOR_REDSI__URL", r"\$CONDUCTOR_REDSI__URL is not a setting"),
        (
            "CONDUCTOR_REDIS__PREFX",
            r"\$CONDUCTOR_REDIS__PREFX: redis.prefx is not a setting, did you mean prefix\?",
        ),
        ("CONDUCTOR_LANES__GPU__WORKRES", r"lanes.gpu.workres is not a setting, did you mean workers\?"),
        ("CONDUCTOR_ROOTS__FAST__PAHT", r"roots.fast.paht is not a setting, did you mean path\?"),
    ],
)
def test_a_variable_of_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, words: str
) -> None:
    monkeypatch.setenv(variable, "1")
    with pytest.raises(ConfigError, match=words):
        load(tmp_path)


def test_variables_that_are_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONDUCTOR_REDIS__PREFIX", "night")
    monkeypatch.setenv("CONDUCTOR_LANES__GPU", '{"workers": 2}')
    monkeypatch.setenv("CONDUCTOR_HOURS__GPU", "18:00-08:00")
    found = load(tmp_path)
    assert (found.redis.prefix, found.lanes.gpu.workers, found.hours) == ("night", 2, {"gpu": "18:00-08:00"})

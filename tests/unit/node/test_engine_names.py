"""A host and an engine of single jobs must not be the node of one name."""

from __future__ import annotations

import pytest

from conductor.base.errors import ConfigError
from conductor.base.settings.engine_settings import EngineSettings
from conductor.node.single_instance import refuse_engine
from conductor.views.doctor.engines import of_engines

SINGLE = {"lab": EngineSettings(kind="local", mode="jobs")}
PILOTS = {"lab": EngineSettings(kind="local")}


def test_a_host_of_the_name_is_refused_before_its_node_looks_at_anything() -> None:
    with pytest.raises(ConfigError, match=r"this host is called lab, and \[engines.lab\].* another name"):
        refuse_engine(SINGLE, "lab")
    refuse_engine(SINGLE, "lab2")
    # Pilots have names of their own.
    refuse_engine(PILOTS, "lab")


def test_doctor_says_so_and_asks_each_engine() -> None:
    assert [(f.mark, f.what) for f in of_engines(SINGLE, "lab")] == [("BAD", "engines"), ("ok ", "engines")]
    assert "lab (local) answers" in next(iter(of_engines(PILOTS, "lab"))).words


def test_doctor_names_an_engine_that_cannot_be_asked_from_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")

    (finding,) = of_engines({"lab": EngineSettings(kind="slurm")}, "here")

    assert (finding.mark, "lab (slurm)" in finding.words) == ("-- ", True)

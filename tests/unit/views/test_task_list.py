"""`conductor tasks`: what a person reads before a retry table is tuned."""

from __future__ import annotations

import pytest

from conductor.base.errors import UsageError
from conductor.core.failures.retry import TABLE
from conductor.model.report import NodeReport
from conductor.model.spec import Needs, TaskDecl
from conductor.views.task_list import details, lines, of_one, task_list

CUT = TaskDecl(
    name="media.cut",
    lane="cpu",
    module="workers.tasks.media_cut",
    needs=Needs(ram_mib=512, cpu=2),
    retry={"timeout": 3},
    timeout_s=600,
)
SEE = TaskDecl(name="vision.see", lane="gpu", module="own", needs=Needs(vram_mib=10240), canary=2)
DECLS = {decl.name: decl for decl in (SEE, CUT)}
HERE = NodeReport(node="studio", host="studio", code={"media.cut": "1"})


def test_each_task_has_its_lane_needs_limit_and_who_has_it():
    found = task_list(DECLS, [HERE])
    assert [(row.name, row.lane, row.nodes) for row in found.tasks] == [
        ("media.cut", "cpu", ("studio",)),
        ("vision.see", "gpu", ()),
    ]
    shown = {line.split()[0]: line for line in lines(found)}
    cut, see = shown["media.cut"], shown["vision.see"]
    assert "512 MiB RAM, 2 cores" in cut and "10 min" in cut and "studio" in cut
    assert "10.0 GiB VRAM" in see and "no node" in see


def test_the_retry_table_says_which_figures_the_task_declares_itself():
    row = of_one(task_list(DECLS, []), "media.cut")
    assert row.retry.keys() == TABLE.keys()
    assert (row.retry["timeout"], row.own_retry) == (3, ("timeout",))
    assert row.retry["rate_limited"] is None
    shown = details(row)
    assert any(line.split() == ["timeout", "3", "the", "task"] for line in shown)
    assert any("as many as it takes" in line for line in shown)


def test_without_redis_nobody_says_that_no_node_has_it():
    shown = "\n".join(lines(task_list(DECLS, None)))
    assert "Redis does not answer" in shown and "no node" not in shown


def test_a_name_that_is_near_is_named():
    with pytest.raises(UsageError, match=r"media\.cut"):
        of_one(task_list(DECLS, []), "media.cot")

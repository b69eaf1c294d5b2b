"""A name that nobody bears is refused with the nearest one that somebody does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from builders import a_report
from cli_tools import Cli

if TYPE_CHECKING:
    from tests.unit.conftest import NightScene


@pytest.mark.parametrize(
    ("command", "near"),
    [
        ("drain studio3", "no node is called studio3 (there are: studio2), did you mean studio2?"),
        (
            "status --backlog backlog:nihgt",
            "there is no backlog:nihgt (there are: backlog:night), did you mean night?",
        ),
        ("top --backlog backlog:nihgt", "did you mean night?"),
        ("price --backlog backlog:nihgt", "did you mean night?"),
        ("pause gpuu", "did you mean gpu?"),
    ],
)
def test_a_name_that_nobody_bears_is_refused_with_the_nearest(
    cli: Cli, night: NightScene, command: str, near: str
):
    night.ledger.reports.publish(a_report("studio2"), 60.0)
    found = cli(*command.split())
    assert found.code == 2 and near in found.err, found.err
    assert night.ledger.control.controls().draining_nodes == ()

"""What conductor.toml says reaches the decision."""

from __future__ import annotations

from pathlib import Path

import pytest

from conductor.base.errors import ConfigError
from conductor.base.settings.limits import limits_of
from conductor.base.settings.settings import load


def test_the_settings_reach_the_decision(tmp_path: Path) -> None:
    (tmp_path / "conductor.toml").write_text(
        "[lanes.gpu]\ndepth = 3\n[limits]\nvram_headroom_mib = 100\ncpu_share = 1.5\n"
        "[roots.nas]\npath = 'nas'\nheadroom_bytes = 7\n[timing]\nreport_ttl_s = 4\n"
        "[backlogs.films]\nweight = 2\n[waiting]\nkeep_after_s = 60\n[hours]\ncloud = '18:00-08:00'\n"
    )

    limits = limits_of(load(tmp_path))

    assert limits.depth == {"gpu": 3, "cpu": 2, "io": 2, "cloud": 5}
    assert (limits.vram_headroom_mib, limits.cpu_share, limits.report_ttl_s) == (100, 1.5, 4)
    assert (limits.weights, limits.keep_after_s, limits.aging_s) == ({"films": 2.0}, 60.0, 3600.0)
    assert limits.hours == {"cloud": ((18 * 3600, 8 * 3600),)}
    assert (limits.disk_headroom("nas"), limits.disk_headroom("elsewhere")) == (7, 1 << 30)


def test_hours_that_are_none_are_refused_with_the_way_to_write_them(tmp_path: Path) -> None:
    (tmp_path / "conductor.toml").write_text("[hours]\ncloud = 'at night'\n")

    with pytest.raises(ConfigError, match="'at night' is no span of hours: write it as 18:00-08:00"):
        load(tmp_path)

"""What conductor.toml says reaches the decision."""

from __future__ import annotations

from pathlib import Path

from conductor.limits import limits_of
from conductor.settings import load


def test_the_settings_reach_the_decision(tmp_path: Path) -> None:
    (tmp_path / "conductor.toml").write_text(
        "[lanes.gpu]\ndepth = 3\n[limits]\nvram_headroom_mib = 100\ncpu_share = 1.5\n"
        "[roots.nas]\npath = 'nas'\nheadroom_bytes = 7\n[timing]\nreport_ttl_s = 4\n"
    )

    limits = limits_of(load(tmp_path))

    assert limits.depth == {"gpu": 3, "cpu": 2, "io": 2, "cloud": 5}
    assert (limits.vram_headroom_mib, limits.cpu_share, limits.report_ttl_s) == (100, 1.5, 4)
    assert (limits.disk_headroom("nas"), limits.disk_headroom("elsewhere")) == (7, 1 << 30)

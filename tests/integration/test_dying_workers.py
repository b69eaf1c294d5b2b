"""Workers that die at each start: the run ends with their last words, and the next one goes on once they
live.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from cli_tools import conductor
from node_scene import CONFIG, NodeScene

from conductor.adapters.open_ledger import open_ledger
from conductor.base.settings.settings import CONFIG_NAME, Settings, load

#: What every Python process below imports at its start. Copies of it are workers too, as soon as they import
#: what only a worker has.
HOOK = """
import os, sys

class Broken:
    def find_spec(self, name, path=None, target=None):
        if name == "workers.parent.loop" and os.path.exists({flag!r}):
            print("ImportError: libcuda.so.1: cannot open shared object file", file=sys.stderr, flush=True)
            os._exit(1)

sys.meta_path.insert(0, Broken())
"""
WORDS = (
    "workers of cpu-here keep dying at start: exit code 1: ImportError: libcuda.so.1: cannot open "
    "shared object file"
)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / CONFIG_NAME).write_text(f"{CONFIG}[roots.scratch]\npath = 'scratch'\nheadroom_bytes = 0\n")
    return load(tmp_path)


def test_workers_that_die_at_each_start_end_the_run_with_exit_4_and_their_last_words(settings: Settings):
    folder = settings.project
    (folder / "hook").mkdir()
    flag = folder / "broken"
    flag.touch()
    (folder / "hook" / "sitecustomize.py").write_text(HOOK.format(flag=str(flag)))
    env = {"PYTHONPATH": str(folder / "hook")}
    with open_ledger(settings) as ledger:
        scene = NodeScene(ledger, settings)
        jobs = [scene.put(n, 0.0) for n in (1, 2)]

        ended = conductor("conduct", "--until-done", "--json", cwd=folder, env=env)

        assert ended.code == 4, ended.err
        assert ended.json["broken"] == [WORDS] and ended.json["left"] == 2 and ended.json["never"] == []
        assert "Traceback" not in ended.err
        # It cost the jobs nothing.
        assert [scene.job(job).state for job in jobs] == ["waiting"] * 2
        assert [scene.job(job).failures for job in jobs] == [{}, {}]

        flag.unlink()
        again = conductor("conduct", "--until-done", cwd=folder, env=env)
        assert again.code == 0, again.err
        assert [scene.job(job).state for job in jobs] == ["done"] * 2

"""One root on several file systems, really mounted: outputs get to their places, with their marks, and go
aside.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import os, sys
from pathlib import Path
from conductor.base.files import output_mark as made_by
from conductor.model.receipt import Usage
from conductor.model.spec import Output
from conductor.base.settings.sections import Root
from conductor.base.settings.settings import Settings, absolute
from tests.builders import a_spec
from workers.attempt import saved_outputs as kept, outputs, publish, existing_outputs as standing
from workers.task_api.context import JobContext

project = Path(sys.argv[1])
roots = {"scratch": Root(path=project / "scratch"), "published": Root(path=project / "published")}
settings = absolute(Settings(project=project, roots=roots))
path = "published:disk/deep/a.txt"
spec = a_spec(0, writes=(Output(path=path),))
JobContext(spec, settings).output(path).write_text("hello")
computed = outputs.put_in_place(settings, spec, kept.computed(settings, spec, "1", {}, Usage()))
file = project / "published/disk/deep/a.txt"
assert file.read_text() == "hello" and os.stat(file).st_dev != os.stat(project).st_dev
assert [each.name for each in file.parent.iterdir()] == ["a.txt"]
outputs.put_in_place(settings, spec, computed)
with file.open("rb+") as opened:
    print(made_by.read(opened.fileno()))
standing.move_aside(settings, spec.id, "1", path)
assert not file.exists()
assert (project / f"published/.tmp/aside/{spec.id}.1/disk/deep/a.txt").read_text() == "hello"
"""


@pytest.mark.skipif(sys.platform != "linux", reason="mounts in a namespace of its own")
def test_an_output_gets_to_a_folder_that_is_another_disk(tmp_path: Path):
    disk = tmp_path / "published/disk"
    disk.mkdir(parents=True)
    own = ["unshare", "--user", "--map-root-user", "--mount"]
    if subprocess.run([*own, "mount", "-t", "tmpfs", "tmpfs", str(disk)], capture_output=True).returncode:
        pytest.skip("nobody may mount here")
    words = f'mount -t tmpfs tmpfs "{disk}" && exec "{sys.executable}" -c "$1" "{tmp_path}"'
    done = subprocess.run([*own, "sh", "-c", words, "sh", SCRIPT], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "MadeBy(job_id=" in done.stdout

"""Two jobs that do something else are two jobs; one that does the same is the same, wherever it is
planned.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from builders import a_spec

from conductor.base.errors import ManifestError
from conductor.model.identity import id_of
from conductor.model.spec import JobSpec, Output, TaskDecl, to_line
from conductor.planning import job
from conductor.record import manifest

CATALOGUE = {
    name: TaskDecl(name=name, lane="cpu", module="x") for name in ("files.publish", "media.assemble")
}
A, B = "/videos/a.mp4", "/videos/b.mp4"


def reel(*sources: str) -> JobSpec:
    return job(
        "w", "media.assemble", {}, inputs=dict.fromkeys(sources, "1-2"), writes={"scratch:{id}.mp4": 1}
    )


def published(source: str, target: str, size: int = 1) -> JobSpec:
    return job("w", "files.publish", {}, reads=[source], writes={target: size})


def test_two_orders_of_the_reads_are_two_jobs():
    assert reel(A, B).id != reel(B, A).id


def test_the_same_argument_with_other_files_is_another_job():
    one = published("scratch:a", "published:a.mkv")
    assert one.id != published("scratch:b", "published:a.mkv").id
    assert one.id != published("scratch:a", "published:a.webm").id
    assert one.id == published("scratch:a", "published:a.mkv", 999).id, (
        "how large it is planned changes no result"
    )


def test_the_id_stands_in_the_paths_and_is_worked_out_from_them_again():
    spec = published("scratch:a", "published:{short}/{id}.{short}")
    assert spec.writes[0].path == f"published:{spec.id[:8]}/{spec.id}.{spec.id[:8]}"
    assert id_of(spec) == spec.id


@pytest.mark.parametrize("path", ["published:{id}.mp4", "published:{short}.mp4"])
def test_a_line_whose_path_still_waits_for_its_id_is_refused(tmp_path: Path, path: str):
    """It would be known by the same id as the line in which the id was put in."""
    planned = published("scratch:a", path)
    forged = to_line(planned).replace(planned.writes[0].path.encode(), path.encode())
    (tmp_path / "m.jsonl").write_bytes(forged + b"\n")
    assert id_of(a_spec(id=planned.id, workflow="w", task="files.publish", args={}, reads=("scratch:a",),
                        writes=(Output(path=path),))) == planned.id  # fmt: skip
    with pytest.raises(ManifestError) as caught:
        manifest.check(tmp_path / "m.jsonl", CATALOGUE)
    assert "stands for the job's id, which a plan puts in" in caught.value.problems[0]


def test_a_manifest_of_before_is_refused_with_what_to_run(tmp_path: Path):
    """Ids were made of workflow, task, args and inputs only."""
    line = (
        b'{"v":1,"id":"gneee5emxoqdj2uifg2p4vio","workflow":"hello",'
        b'"task":"files.publish","args":{"text":"hello"}}'
    )
    (tmp_path / "m.jsonl").write_bytes(line + b"\n")
    with pytest.raises(ManifestError) as caught:
        manifest.check(tmp_path / "m.jsonl", CATALOGUE)
    assert "planned by an older Conductor): plan again: conductor plan hello" in caught.value.problems[0]

"""A match from its films to its reels: each task's body on real films, damaged ones too, and the proof."""

from __future__ import annotations

import hashlib
import json
import subprocess
from argparse import ArgumentParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import media
import msgspec
import pytest
from task_bench import JOB_ID, Bench

from conductor.adapters.files.receipt_log import FileReceiptLog
from conductor.base.errors import BadInput, ConfigError, JobError, UsageError
from conductor.model.receipt import Receipt
from conductor.model.review import ItemVerdict
from conductor.verify.verify import JobFacts
from workers.match import blob_model, rules
from workers.match.detector import looks_of
from workers.match.windows import ReelPlan
from workers.media import ffmpeg, probing
from workers.tasks import match_choose, match_events, match_ingest, match_listen, match_look, match_render
from workers.tasks.match_ingest import DamagedFilm
from workflows.match import drawn
from workflows.match import plan as match_plan
from workflows.match import verify as match_verify
from workflows.match.script import Script

FOUND, HEARD, EVENTS, MATCH = (
    f"scratch:m/{name}" for name in ("found.f32", "heard.json", "e.json", "m.json")
)
FPS = 12.5
MOMENTS, SHEET, REEL = "scratch:m/moments.mp4", "scratch:m/sheet.jpg", "scratch:m/reel.mp4"


def a_script() -> Script:
    """A kick-off, a save that is seen, one that nobody sees, and a goal."""
    script = Script()
    script.kick_off()
    script.move(86, 32)
    script.save("right", -1.5)
    script.move(78, 28)
    script.save("right", 1.5, hidden_s=0.35, cheer=0.0)
    script.move(84, 36)
    script.goal("right", 2.0)
    return script


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return drawn.draw(a_script(), tmp_path_factory.mktemp("film") / "half.mp4", fps=FPS)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def put(bench: Bench, film: Path, name: str = "half.mp4") -> Path:
    target = bench.inputs / name
    target.write_bytes(film.read_bytes())
    return target


def looked(bench: Bench, source: Path, **args: Any) -> dict[str, Any]:
    result = bench.run(match_look.run, args, reads=[source], writes=[FOUND])
    bench.put(FOUND, bench.made(FOUND))
    return result


def listened(bench: Bench, source: Path) -> dict[str, Any]:
    result = bench.run(match_listen.run, {}, reads=[source], writes=[HEARD])
    bench.put(HEARD, bench.made(HEARD))
    return result


def judged(bench: Bench, source: Path, **args: Any) -> tuple[dict[str, Any], Any]:
    """→ the result, and what is asked of a person."""
    given = {"source": str(source), "found": FOUND, "heard": HEARD, "pitch": drawn.PITCH, **args}
    writes = [EVENTS, MOMENTS, SHEET]
    ctx = bench.context(args=given, reads=[source, FOUND, HEARD], writes=writes)
    result = match_events.run(given, ctx)
    bench.put(EVENTS, ctx.output(EVENTS))
    return result, ctx


def chosen(bench: Bench, *verdicts: bool, **more: Any) -> dict[str, Any]:
    said = tuple(ItemVerdict(item=n, is_accepted=yes, who="ann", at=1.0) for n, yes in enumerate(verdicts, 1))
    log = FileReceiptLog(bench.settings.receipts_dir, "w1")
    log.append(
        Receipt(
            v=1,
            job_id=JOB_ID,
            attempt=1,
            workflow="match",
            task="match.events",
            outcome="ok",
            started_at=1.0,
            ended_at=2.0,
            node="here",
            worker="w1",
            verdicts=said,
        )
    )
    log.close()
    reels = {"fps": FPS, "before_s": 1, "after_s": 0.6, **more}
    args = {"parts": [{"events": EVENTS, "job": JOB_ID}], "reels": reels}
    result = bench.run(match_choose.run, args, reads=[EVENTS], writes=[MATCH])
    bench.put(MATCH, bench.made(MATCH))
    return result


def rendered(bench: Bench, source: Path, reel: str) -> dict[str, Any]:
    args = {"match": MATCH, "reel": reel, "films": [str(source)], "width": 640, "height": 400}
    return bench.run(match_render.run, args, reads=[MATCH, source], writes=[REEL])


# ── the whole way ─────────────────────────────────────────────────────────────────────────────────────────


def test_from_the_film_to_the_very_pictures_of_the_reel(bench: Bench, film: Path):
    source = put(bench, film)
    assert looked(bench, source)["ball_share"] > 0.9
    assert listened(bench, source) == {"has_sound": True, "whistles": 1, "why": ""}
    result, ctx = judged(bench, source)
    known = a_script().truth
    assert len(known) == len(result["events"])
    assert all(any(match_verify.is_same(t._asdict(), e) for e in result["events"]) for t in known)

    # One is asked about, with a picture of it and a clip.
    (item,) = ctx.review.items
    assert item.words.startswith("a save at the right goal, 0:11 into half.mp4? Row 1")
    assert (item.picture, item.clip, item.at_s, item.ends_s) == (SHEET, MOMENTS, 0.0, 5.0)
    assert 0.3 <= item.sure < 0.7 and ctx.review.rejected == "left_out"
    moments = ctx.output(MOMENTS)
    assert probing.probe(moments, moments.name).frames == 125

    chosen(bench, True)
    result = rendered(bench, source, "goalkeeper")
    wanted = [w["first"] + n for w in result["windows"] for n in range(w["frames"])]
    assert match_verify.numbers_in(bench.made(REEL)) == wanted
    held = [t for t in known if t.kind == "save"]
    assert all(round(t.at_s * FPS) in wanted for t in held)


def test_who_rejects_everything_gets_the_sure_ones_and_who_has_nothing_left_a_clear_word(
    bench: Bench, film: Path
):
    source = put(bench, film)
    looked(bench, source)
    listened(bench, source)
    asked = judged(bench, source)[0]["asked"]
    assert [e["kind"] for e in chosen(bench, False)["parts"][0]["events"]].count("save") == 1

    result, ctx = judged(bench, source, sure=1.0)
    assert len(ctx.review.items) == len(result["asked"]) > len(asked)
    nothing = chosen(bench, *[False] * len(result["asked"]))
    assert nothing["rejected"] == len(result["asked"])
    empty = {**json.loads(bench.made(MATCH).read_bytes()), "windows": {}, "asked": 1, "rejected": 1}
    without = bench.inputs / "without.json"
    without.write_text(json.dumps(empty))
    bench.put(MATCH, without)
    words = r"nothing to show in the goalkeeper reel: .* a person rejected 1 of 1 .*redo --with-dependents"
    with pytest.raises(BadInput, match=words):
        rendered(bench, source, "goalkeeper")


def test_a_killed_look_goes_on_where_it_was_and_finds_the_same(
    bench: Bench, film: Path, monkeypatch: pytest.MonkeyPatch
):
    source = put(bench, film)
    monkeypatch.setattr(match_look, "KEPT_EVERY_S", 2.0)
    assert looked(bench, source)["resumed_from_s"] == 0
    whole = bench.made(FOUND).read_bytes()
    # All parts but the last lie in the checkpoint: as if it had been killed shortly before its end.
    result = looked(bench, source)
    assert result["resumed_from_s"] >= 10
    again = bench.made(FOUND).read_bytes()
    assert [look.at_s for look in looks_of(again)] == [look.at_s for look in looks_of(whole)]
    assert again == whole


def test_where_memory_runs_out_the_batch_is_halved_and_stays_so(
    bench: Bench, film: Path, monkeypatch: pytest.MonkeyPatch
):
    from workers.match.detector import Detector

    real, sizes = Detector.__call__, list[int]()

    def small(self: Detector, frames: Any) -> Any:
        sizes.append(len(frames))
        if len(frames) > 6:
            raise RuntimeError("Failed to allocate memory for requested buffer of size 1073741824")
        return real(self, frames)

    monkeypatch.setattr(Detector, "__call__", small)
    source = put(bench, film)
    assert looked(bench, source)["batch"] == 4
    assert sizes[:3] == [16, 8, 4]
    sizes.clear()
    looked(bench, source, width=320)
    assert max(sizes, default=4) <= 4


# ── films as they come ────────────────────────────────────────────────────────────────────────────────────


def test_a_film_without_sound_and_one_of_a_variable_rate_have_the_same_events(bench: Bench, film: Path):
    silent, uneven = bench.inputs / "silent.mp4", bench.inputs / "uneven.mkv"
    media.made(silent, "-i", film, "-c:v", "copy", "-an")
    # Of each ten pictures three are missing, each at its own time.
    media.made(
        uneven, "-i", film, "-vf", "select='gt(mod(n,10),2)'", "-fps_mode", "vfr", "-enc_time_base", "demux",
        "-c:v", "libx264", "-crf", "18", "-c:a", "copy",
    )  # fmt: skip
    for source, whistles in ((silent, 0), (uneven, 1)):
        looked(bench, source)
        heard = listened(bench, source)
        assert (heard["has_sound"], heard["whistles"]) == (bool(whistles), whistles)
        result = judged(bench, source)[0]
        found = [(e["kind"], e.get("goal", "")) for e in result["events"]]
        assert found == [(t.kind, t.goal) for t in a_script().truth], source.name


def test_the_copy_is_held_against_the_checksum_that_came_with_it(bench: Bench, film: Path):
    source = put(bench, film)
    result = bench.run(match_ingest.run, {}, reads=[source], writes=["scratch:m/half.mp4"])
    assert (result["width"], result["height"], result["has_sound"]) == (640, 400, True)
    assert bench.made("scratch:m/half.mp4").read_bytes() == film.read_bytes()

    good = {"sha256": result["sha256"]}
    bench.run(match_ingest.run, good, reads=[source], writes=["scratch:m/half.mp4"])
    with pytest.raises(JobError, match=r"half\.mp4 has the checksum .* the file beside it says 0000"):
        bench.run(match_ingest.run, {"sha256": "0" * 64}, reads=[source], writes=["scratch:m/half.mp4"])


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda data: data[: len(data) // 2], "cut off"),
        (lambda data: b"", "is empty"),
        (lambda data: b"no film at all" * 99, "is not a video"),
    ],
)
def test_a_damaged_film_is_told_before_any_work_and_is_not_tried_again(
    bench: Bench, film: Path, damage: Any, words: str
):
    source = bench.inputs / "half.mp4"
    source.write_bytes(damage(film.read_bytes()))
    with pytest.raises(DamagedFilm, match=words) as told:
        bench.run(match_ingest.run, {}, reads=[source], writes=["scratch:m/half.mp4"])
    assert told.value.is_lasting and told.value.cause == "bad_input"


# ── the plan and the proof ────────────────────────────────────────────────────────────────────────────────


def planned(bench: Bench, *argv: object) -> list[Any]:
    parser = ArgumentParser()
    match_plan.add_arguments(parser)
    return list(match_plan.plan(parser.parse_args(list(map(str, argv))), bench.settings.for_code))


def test_two_halves_have_two_chains_and_the_keeper_changes_ends(bench: Bench, film: Path):
    first, second = put(bench, film, "1 first.mp4"), put(bench, film, "2 second.MP4")
    jobs = planned(bench, bench.inputs, "--keeper", "left", "--name", "the derby")

    assert [job.task.partition(".")[2] for job in jobs] == [
        *("ingest", "look", "listen", "events") * 2,
        *("choose", "publish", "render", "publish", "render", "publish"),
    ]
    choose = jobs[8]
    assert [part["goal"] for part in choose.args["parts"]] == ["left", "right"]
    assert choose.after_ended == (jobs[3].id, jobs[7].id) and choose.args["reels"]["fps"] == FPS
    assert list(jobs[0].inputs) == [str(first)] and list(jobs[4].inputs) == [str(second)]
    assert jobs[-1].writes[0].path.startswith("published:match/the_derby-highlights-")
    assert msgspec.convert(choose.args["reels"], ReelPlan).before_s == 4


def test_a_film_that_cannot_be_read_is_planned_all_the_same(
    bench: Bench, film: Path, capsys: pytest.CaptureFixture[str]
):
    whole, broken = put(bench, film, "a.mp4"), bench.inputs / "b.mp4"
    broken.write_bytes(b"")
    jobs = planned(bench, whole, broken)
    assert len(jobs) == 14 and "b.mp4 is empty; it is planned" in capsys.readouterr().err


def test_the_table_of_retries_is_the_one_that_it_was(bench: Bench, film: Path):
    known = {job.task: (job.retry, job.retry_wait) for job in planned(bench, put(bench, film))}

    assert known["match.ingest"][0] == {"bad_input": 3, "task_error": 3}
    assert set(known["match.ingest"][1].values()) == {60}
    for task in ("match.look", "match.listen", "match.events"):
        assert known[task] == ({"task_error": 2}, {"task_error": 300})
    assert known["match.render"] == ({"task_error": 3}, {"task_error": 120})
    assert known["files.publish"] == ({"publish_failed": 5}, {"publish_failed": 30})


def test_a_detector_of_one_s_own_comes_by_name_and_is_the_one_it_has_to_be(tmp_path: Path, film: Path):
    model = tmp_path / "detector.onnx"
    model.write_bytes(blob_model.build())
    digest = hashlib.sha256(model.read_bytes()).hexdigest()
    said = f'[models.detector]\npath = "{model}"\nsha256 = "{digest}"\n'
    (tmp_path / "conductor.toml").write_text(said)
    bench = Bench(tmp_path)
    source = put(bench, film)
    argv = [source, "--model", "detector", "--labels", "ball=0,players=1+2,keepers=3+4"]

    (look,) = (job for job in planned(bench, *argv) if job.task == "match.look")
    assert look.inputs == {str(model): f"sha256-{digest}"} and look.args["model"] == str(model)
    args = {**look.args, "source": str(source)}
    found = bench.run(match_look.run, args, reads=[model, source], writes=[FOUND])
    assert found["ball_share"] > 0.9

    with pytest.raises(UsageError, match="--labels ball: like ball=32"):
        planned(bench, source, "--model", "detector", "--labels", "ball")
    model.write_bytes(b"another one")
    with pytest.raises(ConfigError, match="is not what it has to be: its sha256 is"):
        planned(bench, *argv)
    with pytest.raises(BadInput, match=r"the model detector\.onnx cannot be loaded"):
        bench.run(match_look.run, args, reads=[model, source], writes=[FOUND])


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--pitch", "0,0,1"], "four numbers"),
        (["--pitch", "0.9,0,0.1,1"], "left before right"),
        (["--size", "641x400"], "even numbers"),
    ],
)
def test_options_that_cannot_be_are_refused(bench: Bench, film: Path, argv: list[str], words: str):
    with pytest.raises(UsageError, match=words):
        planned(bench, put(bench, film), *argv)
    with pytest.raises(UsageError, match="does not exist"):
        planned(bench, bench.inputs / "none.mp4")


def test_a_checksum_beside_the_film_goes_into_the_plan(bench: Bench, film: Path):
    source = put(bench, film)
    beside = source.with_name("half.mp4.sha256")
    beside.write_text(f"{'ab' * 32}  half.mp4\n")
    assert planned(bench, source)[0].args == {"sha256": "ab" * 32}
    beside.write_text("none\n")
    with pytest.raises(UsageError, match="holds no checksum"):
        planned(bench, source)


def test_the_proof_finds_what_was_missed_what_never_was_and_a_wrong_picture(bench: Bench, film: Path):
    goal, save = ({"kind": k, "at_s": 10.0, "goal": "left"} for k in ("goal", "save"))
    assert list(match_verify.against([[goal]], [[goal]])) == []
    assert list(match_verify.against([[goal], [save]], [[save], []])) == [
        "the goal at 10.0 s of film 1, the save at 10.0 s of film 2 was not found",
        "the save at 10.0 s of film 1 is none that happened",
    ]
    check = match_verify.MatchCheck(bench.settings.for_code)
    source = put(bench, film)
    check._numbers["scratch:r.mp4"] = [*range(40), 41]
    short = bench.settings.roots["published"].path / "r.mp4"
    subprocess.run(
        [ffmpeg.binary(), "-v", "error", "-i", source, "-frames:v", "41", "-c:v", "copy", "-an", short],
        check=True,
    )
    spec = SimpleNamespace(
        task="files.publish",
        args={"source": "scratch:r.mp4"},
        writes=[SimpleNamespace(path="published:r.mp4")],
    )
    said = list(check.check_job(cast("Any", spec), cast("Any", None), JobFacts(outputs={})))
    assert said == ["picture 40 of the reel is not the one that belongs there"]


def test_the_files_between_say_who_made_them(bench: Bench):
    with pytest.raises(BadInput, match=r"a\.json is no list of events"):
        match_events.events_in(b"[]", "a.json")
    with pytest.raises(BadInput, match=r"a\.json says nothing of a match"):
        match_choose.match_in(b"[]", "a.json")
    with pytest.raises(BadInput, match=r"a\.json says nothing of what is heard"):
        match_listen.heard_in(b"[]", "a.json")
    assert json.loads(msgspec.json.encode(rules.Event(kind="goal", at_s=1.0, sure=1.0)))["kind"] == "goal"

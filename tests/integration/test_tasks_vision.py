"""vision.analyse with the built-in model and with models of the user's own, in real ONNX sessions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import media
import msgspec
import numpy as np
import pytest
from task_bench import Bench

from conductor.base.errors import BadInput, JobError
from workers.tasks import media_cut, vision_analyse
from workers.vision import onnx_graph
from workers.vision.analysis import Analysis
from workers.vision.onnx_session import best_of, score_output

WRITE = "scratch:analysis.json"


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return media.scenes(tmp_path_factory.mktemp("clips") / "scenes.mp4")


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.fixture
def source(bench: Bench, scenes: Path) -> Path:
    target = bench.inputs / "scenes.mp4"
    target.write_bytes(scenes.read_bytes())
    return target


def analysed(
    bench: Bench, source: Path, model: Path | None = None, **args: Any
) -> tuple[dict[str, Any], Analysis]:
    reads = [source, *([model] if model else [])]
    given = {**args, **({"model": str(model)} if model else {})}
    result = bench.run(vision_analyse.run, given, reads=reads, writes=[WRITE])
    return result, msgspec.json.decode(bench.made(WRITE).read_bytes(), type=Analysis)


def mean_model(path: Path, shape: list[int | str]) -> Path:
    """A model of the user's own: the mean brightness of each image as `scores`."""
    g = onnx_graph
    mean = g.node("ReduceMean", ["images"], "scores", axes=[1, 2, 3], keepdims=0)
    images, scores = g.value("images", g.FLOAT, shape), g.value("scores", g.FLOAT, [shape[0]])
    path.write_bytes(g.model("mean", [mean], [], [images], [scores]))
    return path


def test_scenes_and_the_liveliest_second_are_found(bench: Bench, source: Path):
    result, analysis = analysed(bench, source, seconds=1)
    assert [scene.t for scene in analysis.scenes] == [1.0, 2.0, 3.0]
    assert [second.t for second in analysis.seconds] == [0, 1, 2, 3]
    assert (analysis.windows[0].start_s, analysis.windows[0].duration_s) == (1.0, 1.0)
    assert (result["provider"], result["model"], result["frames"]) == ("CPUExecutionProvider", "built in", 16)


def test_the_size_of_the_batch_changes_nothing(bench: Bench, source: Path):
    assert analysed(bench, source, batch=3)[1] == analysed(bench, source, batch=64)[1]


def test_a_cut_takes_the_best_window_of_an_analysis(bench: Bench, source: Path):
    analysed(bench, source)
    bench.put("scratch:x/analysis.json", bench.made(WRITE))
    args = {"analysis": "scratch:x/analysis.json", "seconds": 1, "width": 160, "height": 90}
    result = bench.run(media_cut.run, args, reads=[source, args["analysis"]], writes=["scratch:cut.mp4"])
    assert (result["start_s"], result["duration_s"]) == (1.0, 1.0)
    assert result["score"] > 0


def test_a_cut_refuses_what_is_no_analysis(bench: Bench, source: Path):
    (bench.inputs / "x.json").write_text('{"v": 1}')
    args = {"analysis": str(bench.inputs / "x.json"), "seconds": 1}
    with pytest.raises(BadInput, match=r"x\.json is not an analysis"):
        bench.run(media_cut.run, args, reads=[source, args["analysis"]], writes=["scratch:cut.mp4"])


def test_the_session_is_kept_for_the_next_job(bench: Bench, source: Path):
    analysed(bench, source)
    analysed(bench, source)
    assert len(bench.warm.keys()) == 1


@pytest.mark.parametrize("shape", [["n", 3, "h", "w"], [1, 3, 64, 96], [4, 3, 64, 96], ["n", 64, 96, 3]])
def test_a_model_of_the_users_own_scores_each_frame(bench: Bench, source: Path, shape: list[int | str]):
    model = mean_model(bench.inputs / "mean.onnx", shape)
    result, analysis = analysed(bench, source, model, fps=2)
    scores = [second.score for second in analysis.seconds]
    assert scores[0] == pytest.approx(1 / 3, abs=0.03)  # red: one channel of three
    assert scores[3] == pytest.approx(128 / 255 / 3, abs=0.03)  # ffmpeg's "green" is half as bright
    assert (result["model"], analysis.scenes) == ("mean.onnx", ())


def test_a_file_that_is_no_model_is_bad_input(bench: Bench, source: Path):
    model = bench.inputs / "bad.onnx"
    model.write_bytes(b"no model at all")
    with pytest.raises(BadInput, match=r"bad\.onnx cannot be loaded"):
        analysed(bench, source, model)


def test_a_model_that_takes_no_image_is_bad_input(bench: Bench, source: Path):
    with pytest.raises(BadInput, match=r"must take one image"):
        analysed(bench, source, mean_model(bench.inputs / "flat.onnx", ["n", 3, 8, 8, 8]))


def test_cuda_that_does_not_load_is_refused_when_asked_for_and_said_when_not(bench: Bench, source: Path):
    import onnxruntime

    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this machine may well have CUDA")
    with pytest.raises(JobError, match=r"CUDA was asked for and onnxruntime runs on the CPU here"):
        analysed(bench, source, provider="cuda")
    result = bench.run(vision_analyse.run, reads=[source], writes=[WRITE], devices=("gpu0",))
    assert result["provider"] == "CPUExecutionProvider"


def test_a_clip_that_breaks_off_is_not_scored_by_half(bench: Bench, tmp_path: Path):
    whole = media.clip(tmp_path / "whole.mp4", has_index_first=True)
    with pytest.raises(BadInput, match=r"broken\.mp4 is cut off"):
        analysed(bench, media.cut_off(bench.inputs / "broken.mp4", whole))


def test_scores_are_read_by_name_and_boxes_are_not_scores():
    assert (
        score_output([("boxes", "tensor(float)"), ("labels", "tensor(int64)"), ("scores", "tensor(float)")])
        == "scores"
    )
    assert score_output([("output0", "tensor(float)")]) == "output0"
    yolo = np.zeros((2, 6, 10), np.float32)
    yolo[:, :4] = 640
    yolo[0, 5, 3] = 0.75
    assert best_of(yolo, 2) == [0.75, 0.0]
    assert best_of(np.array([0.1, 0.9], np.float32), 1) == [pytest.approx(0.9)]
    assert best_of(np.zeros((0,), np.float32), 1) == [0.0]

"""The only file that knows onnxruntime: a session on the provider that really loaded, and what its answers
mean.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

from conductor.base.errors import BadInput, JobError
from workers.task_api.out_of_memory import cause_of
from workers.vision import default_model
from workers.vision.analysis import Score

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Frames = NDArray[np.uint8]

CUDA, CPU = "CUDAExecutionProvider", "CPUExecutionProvider"
Provider = Literal["auto", "cuda", "cpu"]

_PIXEL_TYPES = {"tensor(uint8)": "uint8", "tensor(float)": "float32", "tensor(float16)": "float16"}
_SCORE_NAME = re.compile(r"score|conf|prob", re.IGNORECASE)


class Scorer(Protocol):
    """Frames in order, in batches of any size → one `Score` each."""

    def __call__(self, frames: Frames) -> list[Score]: ...


def open_session(model: Path | bytes | None, provider: Provider, has_device: bool, threads: int) -> Any:
    """An InferenceSession of the file, of a model's own bytes, or of the project's own model.

    `auto` asks for CUDA where the job holds a device, and takes the CPU where CUDA does not load:
    `provider_of` says which it became. `cuda` refuses the CPU. Raises `JobError`, or `BadInput` for a file
    that is no model.
    """
    import onnxruntime

    wanted = [CUDA, CPU] if is_cuda_wanted(provider, has_device) else [CPU]
    if CUDA in wanted and CUDA in onnxruntime.get_available_providers():
        onnxruntime.preload_dlls()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Idle threads that spin would take the cores of the jobs beside this one.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    content = str(model) if isinstance(model, Path) else model or default_model.build()
    name = model.name if isinstance(model, Path) else "built in"
    loaded = [p for p in wanted if p in onnxruntime.get_available_providers()]
    try:
        session = onnxruntime.InferenceSession(content, options, providers=loaded)
    except (ValueError, RuntimeError, *model_faults()) as e:
        if cause_of(str(e), has_device) is not None:
            raise
        raise BadInput(f"the model {name} cannot be loaded: {e}") from None
    if provider == "cuda" and provider_of(session) != CUDA:
        raise JobError(
            "CUDA was asked for and onnxruntime runs on the CPU here: install conductor-jobs[gpu] "
            "instead of [cpu] "
            "and check the driver, or set args.provider to auto"
        )
    return session


def model_faults() -> tuple[type[Exception], ...]:
    """What onnxruntime raises for a file that is no model it can run. Out of memory is not among them."""
    import importlib

    state = importlib.import_module("onnxruntime.capi.onnxruntime_pybind11_state")
    return (
        state.InvalidProtobuf,
        state.InvalidGraph,
        state.InvalidArgument,
        state.NotImplemented,
        state.NoSuchFile,
    )


def is_cuda_wanted(provider: Provider, has_device: bool) -> bool:
    return provider == "cuda" or (provider == "auto" and has_device)


def provider_of(session: Any) -> str:
    """Where the session really runs: without CUDA a CUDA session silently becomes a CPU one."""
    return session.get_providers()[0]


class MotionScorer:
    """The project's own model: each frame against the one before, also across batches."""

    def __init__(self, session: Any) -> None:
        self._session = session
        self._before: Frames | None = None

    def __call__(self, frames: Frames) -> list[Score]:
        import numpy as np

        before = frames[:1] if self._before is None else self._before
        self._before = frames[-1:]
        motion, change = self._session.run(None, {"frames": np.concatenate([before, frames])})
        return [Score(float(m), float(m), float(c)) for m, c in zip(motion, change, strict=True)]


class ImageInput(NamedTuple):
    """What a model's image input asks for; None where it takes any size or any batch."""

    name: str
    pixel_type: str
    is_channels_first: bool
    batch: int | None
    height: int | None
    width: int | None


class DetectionScorer:
    """Any model with one image input: a frame's score is the highest value of the output that holds
    scores.
    """

    def __init__(self, session: Any, image: ImageInput, output: str | None) -> None:
        self._session = session
        self._image = image
        self._output = output or score_output([(o.name, o.type) for o in session.get_outputs()])

    def __call__(self, frames: Frames) -> list[Score]:
        import numpy as np

        scores: list[Score] = []
        size = self._image.batch or 1
        for start in range(0, len(frames), size):
            part = frames[start : start + size]
            # A fixed batch is filled up with copies of its last frame, whose answers are dropped.
            filled = np.concatenate([part, np.repeat(part[-1:], size - len(part), axis=0)])
            answer = self._session.run([self._output], {self._image.name: pixels(self._image, filled)})[0]
            scores += [Score(best) for best in best_of(answer, size)[: len(part)]]
        return scores


def pixels(image: ImageInput, frames: Frames) -> Any:
    """Pictures [n, height, width, 3] as the model takes them."""
    import numpy as np

    ordered = frames.transpose(0, 3, 1, 2) if image.is_channels_first else frames
    if image.pixel_type == "uint8":
        return np.ascontiguousarray(ordered)
    return np.ascontiguousarray(ordered, dtype=image.pixel_type) / np.asarray(255, image.pixel_type)


def image_input(session: Any) -> ImageInput:
    """The model's one image input. Raises `BadInput` where it takes something else."""
    inputs = session.get_inputs()
    if len(inputs) != 1 or len(inputs[0].shape) != 4 or inputs[0].type not in _PIXEL_TYPES:
        takes = ", ".join(f"{i.name}: {i.type}{i.shape}" for i in inputs)
        raise BadInput(
            f"the model must take one image [batch, 3, height, width] or [batch, height, width, 3]: {takes}"
        )
    shape = [side if isinstance(side, int) and side > 0 else None for side in inputs[0].shape]
    is_first = shape[1] == 3
    if not is_first and shape[3] != 3:
        raise BadInput(f"the model's image has no side of 3 colours: {inputs[0].shape}")
    height, width = (shape[2], shape[3]) if is_first else (shape[1], shape[2])
    return ImageInput(inputs[0].name, _PIXEL_TYPES[inputs[0].type], is_first, shape[0], height, width)


def score_output(outputs: list[tuple[str, str]]) -> str:
    """The output named like a score, else the first that holds fractions."""
    fractions = [
        name for name, kind in outputs if kind in ("tensor(float)", "tensor(float16)", "tensor(double)")
    ]
    if not fractions:
        raise BadInput("the model has no output of fractions: name the one with the scores in args.output")
    return next((name for name in fractions if _SCORE_NAME.search(name)), fractions[0])


def best_of(answer: Any, batch: int) -> list[float]:
    """Each frame's highest value. Of [batch, 4 + classes, boxes] (YOLO's export) the four box rows are
    left out.
    """
    if answer.ndim == 3 and 5 <= answer.shape[1] < answer.shape[2]:
        answer = answer[:, 4:, :]
    if answer.size == 0:
        return [0.0] * batch
    if answer.ndim == 0 or answer.shape[0] != batch:
        return [float(answer.max())] * batch
    return [float(frame.max()) if frame.size else 0.0 for frame in answer]

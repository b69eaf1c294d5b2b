"""The detector's answers as places of ball, keepers and players, whatever form they come in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from conductor.base.errors import BadInput
from workers.match.tracks import Look, Sighting
from workers.task_api.toolkit import Args
from workers.vision.onnx_session import ImageInput, pixels

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from workers.vision.onnx_session import Frames

#: Below this score a box is none.
LEAST = 0.25
#: Numbers of a row of a file of what was found: when (seconds), what it is, where (shares of the picture),
#: its score. Rows of one time are one look.
ROW = 5
KINDS = ("ball", "keeper", "player")


class Labels(Args, frozen=True, kw_only=True):
    """The numbers of a model's classes. A model that does not tell keepers from others has none: then the
    player nearest to a goal is its keeper."""

    ball: tuple[int, ...] = (0,)
    keepers: tuple[int, ...] = (3, 4)
    players: tuple[int, ...] = (1, 2)


class Detector:
    """Pictures → rows of `ROW` numbers, without the time."""

    def __init__(self, session: Any, image: ImageInput, labels: Labels) -> None:
        self._session = session
        self._image = image
        self._kinds = {
            number: kind
            for kind, numbers in enumerate((labels.ball, labels.keepers, labels.players))
            for number in numbers
        }
        self._output = session.get_outputs()[0].name

    def __call__(self, frames: Frames) -> list[NDArray[np.float32]]:
        """One array [boxes, 4] a picture: kind, x, y, score. Raises `BadInput` for an answer of no known
        form."""
        import numpy as np

        count, height, width = frames.shape[:3]
        size = self._image.batch or count
        # A fixed batch is filled up with copies of its last picture, whose answers are dropped.
        whole = (
            np.concatenate([frames, np.repeat(frames[-1:], size - count, axis=0)]) if size > count else frames
        )
        answer = self._session.run([self._output], {self._image.name: pixels(self._image, whole)})[0]
        return [self._rows(boxes_of(each), width, height) for each in answer[:count]]

    def _rows(self, boxes: NDArray[np.float32], width: int, height: int) -> NDArray[np.float32]:
        import numpy as np

        rows = [
            (self._kinds[int(box[5])], (box[0] + box[2]) / 2 / width, (box[1] + box[3]) / 2 / height, box[4])
            for box in without_doubles(boxes)
            if int(box[5]) in self._kinds
        ]
        return np.array(rows, np.float32).reshape(-1, ROW - 1)


def boxes_of(answer: NDArray[np.float32]) -> NDArray[np.float32]:
    """One picture's answer as x1, y1, x2, y2, score, class, those with too low a score left out.

    Either that already ([boxes, 6]), or the export of detectors that leave the sorting out to others:
    [4 + classes, boxes] with the middle, width and height of each box. Raises `BadInput`."""
    import numpy as np

    if answer.ndim != 2:
        raise BadInput(
            f"the detector's answer has {answer.ndim + 1} sides: [n, boxes, 6] or [n, 4 + classes, boxes]"
        )
    if answer.shape[1] == 6:
        return answer[answer[:, 4] >= LEAST]
    if answer.shape[0] < 5:
        raise BadInput(
            f"the detector's answer is {list(answer.shape)} a picture: no scores of classes are in it"
        )
    scores = answer[4:]
    kinds, best = scores.argmax(axis=0), scores.max(axis=0)
    some = best >= LEAST
    x, y, w, h = answer[:4, some]
    columns = [x - w / 2, y - h / 2, x + w / 2, y + h / 2, best[some], kinds[some].astype(answer.dtype)]
    return np.stack(columns, axis=1)


def without_doubles(boxes: NDArray[np.float32]) -> list[Sequence[float]]:
    """Of boxes of one class whose middles lie in one another only the surest."""
    kept: list[Sequence[float]] = []
    for box in sorted(boxes.tolist(), key=lambda box: -box[4]):
        x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
        if not any(
            box[5] == other[5] and other[0] <= x <= other[2] and other[1] <= y <= other[3] for other in kept
        ):
            kept.append(box)
    return kept


def looks_of(data: bytes) -> list[Look]:
    """What a file of what was found says, look by look. Raises `BadInput` where it is none."""
    import numpy as np

    if len(data) % (4 * ROW):
        raise BadInput("the file of what was found breaks off in the middle of a row")
    looks: list[Look] = []
    for at_s, kind, x, y, score in np.frombuffer(data, "<f4").reshape(-1, ROW).tolist():
        if not looks or looks[-1].at_s != at_s:
            looks.append(Look(at_s, []))
        # A row without a score says only that there was a look: nothing was found in it.
        if score > 0:
            looks[-1].found.append(Sighting(KINDS[int(kind)], x, y, score))
    return looks

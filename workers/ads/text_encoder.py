"""A text encoder of the user's: a folder with one `.onnx` and its `vocab.txt`, as sentence-transformers
export them. The mean over a text's pieces is its vector."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from conductor.base.errors import BadInput
from workers.ads.embedding import unit
from workers.ads.wordpiece import PADDING, pieces_of, vocabulary

if TYPE_CHECKING:
    from workers.ads.embedding import Vectors

_INPUTS = frozenset({"input_ids", "attention_mask", "token_type_ids"})
#: Texts in one run of the session.
BATCH = 16


class TextEncoder:
    """Made once for a worker. Raises `BadInput` where the folder holds none."""

    def __init__(self, folder: Path, threads: int) -> None:
        from workers.vision.onnx_session import open_session

        models = sorted(folder.glob("*.onnx"))
        if len(models) != 1 or not (folder / "vocab.txt").is_file():
            raise BadInput(f"{folder.name} is to hold one .onnx file and its vocab.txt")
        try:
            self._known = vocabulary((folder / "vocab.txt").read_text(encoding="utf-8").splitlines())
        except ValueError as e:
            raise BadInput(f"{folder.name}: {e}") from None
        self._session = open_session(models[0], "cpu", False, threads)
        self._inputs = [given.name for given in self._session.get_inputs()]
        if "input_ids" not in self._inputs or not _INPUTS.issuperset(self._inputs):
            raise BadInput(
                f"{models[0].name} takes {', '.join(self._inputs)}: input_ids is what a text gives"
            )

    def __call__(self, texts: Sequence[str]) -> Vectors:
        import numpy as np

        parts = [self._some(texts[start : start + BATCH]) for start in range(0, len(texts), BATCH)]
        return unit(np.concatenate(parts))

    def _some(self, texts: Sequence[str]) -> Vectors:
        import numpy as np

        rows = [pieces_of(text, self._known) for text in texts]
        length = max(map(len, rows))
        ids = np.full((len(rows), length), self._known[PADDING], dtype=np.int64)
        mask = np.zeros_like(ids)
        for n, row in enumerate(rows):
            ids[n, : len(row)], mask[n, : len(row)] = row, 1
        given = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        answer: Any = self._session.run(None, {name: given[name] for name in self._inputs})[0]
        if answer.ndim == 2 and len(answer) == len(rows):  # The model takes the mean itself.
            return answer.astype(np.float32)
        if answer.ndim != 3 or answer.shape[:2] != ids.shape:
            raise BadInput(
                f"the encoder's first output is of shape {answer.shape}: a vector a piece is wanted"
            )
        weights = mask[:, :, None].astype(np.float32)
        return (answer * weights).sum(axis=1) / weights.sum(axis=1)

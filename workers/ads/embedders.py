"""Who makes vectors of texts, by one name: what lies in an index is compared with what the same one makes.

`hashed`: no model, everywhere the same. A folder of the user's (`[models.NAME]`) with an ONNX encoder and its
`vocab.txt`. An endpoint (`[endpoints.NAME]`), OpenAI-shaped.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from workers.ads.embedding import HASHED, hashed, unit

if TYPE_CHECKING:
    from workers.ads.embedding import Vectors
    from workers.task_api.context import JobContext

#: So many texts are one job, and one request.
AT_ONCE = 64


class Embedder(Protocol):
    """Texts → [texts, dimensions], of length 1 each."""

    def __call__(self, texts: Sequence[str]) -> Vectors: ...


def name_of_model(sha256: str) -> str:
    return f"model-{sha256[:24]}"


def name_of_endpoint(name: str, model: str) -> str:
    """Another model of the server is another index."""
    return f"endpoint-{name}-{model}" if model else f"endpoint-{name}"


def embedder_of(
    ctx: JobContext, named: str, endpoint: str | None, model: str | None, threads: int
) -> Embedder:
    """`named`: as the index calls it. `endpoint`: one of conductor.toml. `model`: the folder of one."""
    import numpy as np

    if endpoint is not None:
        from workers.llm import embeddings

        return lambda texts: unit(np.asarray(embeddings.embed(ctx, endpoint, texts), dtype=np.float32))
    if model is not None:
        from workers.ads.text_encoder import TextEncoder

        folder = Path(model)
        return ctx.warm(f"encoder:{named}:{threads}", lambda: TextEncoder(folder, threads))
    assert named == HASHED, named
    return hashed

"""A text encoder of the user's: BERT's pieces, and an ONNX model whose answer is known by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from task_bench import Bench

from conductor.base.errors import BadInput
from workers.ads import embedders
from workers.ads.text_encoder import TextEncoder
from workers.ads.wordpiece import MOST_PIECES, pieces_of, vocabulary
from workers.vision.onnx_graph import FLOAT, INT64, floats, model, node, value

#: Letters of two words mean the same to the model below: the last number of a row.
VOCABULARY = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "shoe", "boot", "##s", "tax", "cafe", ",", "靴", "_")
KNOWN = vocabulary(VOCABULARY)
MEANING = {"shoe": 1, "boot": 1, "靴": 1, "tax": 2, "cafe": 3}


def encoder(
    folder: Path, pooled: bool = False, inputs: tuple[str, ...] = ("input_ids", "attention_mask")
) -> Path:
    """Each piece is the unit vector of what it means; pieces that mean nothing are 0."""
    folder.mkdir()
    rows = [[float(MEANING.get(piece) == n + 1) for n in range(3)] for piece in VOCABULARY]
    table = floats("table", [number for row in rows for number in row], [len(VOCABULARY), 3])
    nodes = [node("Gather", ["table", "input_ids"], "pieces")]
    nodes += [node("ReduceMean", ["pieces"], "pooled", axes=[1], keepdims=0)] if pooled else []
    shape = ["n", 3] if pooled else ["n", "pieces", 3]
    out = value("pooled" if pooled else "pieces", FLOAT, shape)
    given = [value(name, INT64, ["n", "pieces"]) for name in inputs]
    (folder / "model.onnx").write_bytes(model("encoder", nodes, [table], given, [out]))
    (folder / "vocab.txt").write_text("\n".join(VOCABULARY) + "\n", encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("Shoes, boots", ["[CLS]", "shoe", "##s", ",", "boot", "##s", "[SEP]"]),
        ("CAFÉ", ["[CLS]", "cafe", "[SEP]"]),
        ("shoe靴_", ["[CLS]", "shoe", "靴", "_", "[SEP]"]),
        ("shoest", ["[CLS]", "[UNK]", "[SEP]"]),
        ("", ["[CLS]", "[SEP]"]),
        ("x" * 101, ["[CLS]", "[UNK]", "[SEP]"]),
    ],
)
def test_a_text_is_its_longest_pieces(text: str, pieces: list[str]) -> None:
    assert pieces_of(text, KNOWN) == [KNOWN[piece] for piece in pieces]


def test_a_long_text_is_cut_off_and_still_ends() -> None:
    found = pieces_of("shoe " * 1000, KNOWN)
    assert len(found) == MOST_PIECES and found[-1] == KNOWN["[SEP]"]


@pytest.mark.parametrize("pooled", [False, True])
def test_what_means_the_same_lies_near_whatever_its_letters(tmp_path: Path, pooled: bool) -> None:
    encode = TextEncoder(encoder(tmp_path / "m", pooled), threads=1)
    shoes, boots, tax, long = encode(["shoes", "boots 靴", "tax", "tax, " + "shoe " * 40])
    assert shoes @ boots == pytest.approx(1) and shoes @ tax == pytest.approx(0)
    assert long @ shoes > 0.99, "the one beside it is padded to its length, and that counts for nothing"
    assert np.linalg.norm(encode(["tax"] * 40), axis=1) == pytest.approx(np.ones(40))


def test_a_worker_loads_it_once(tmp_path: Path) -> None:
    bench, folder = Bench(tmp_path), encoder(tmp_path / "m")
    for _ in range(3):
        ctx = bench.context()
        embed = embedders.embedder_of(ctx, "model-x", None, str(folder), 1)
        assert embed(["shoe"]).shape == (1, 3)
    assert bench.warm.made == 1


def test_a_folder_that_holds_none_says_what_is_missing(tmp_path: Path) -> None:
    folder = encoder(tmp_path / "two")
    (folder / "other.onnx").touch()
    with pytest.raises(BadInput, match=r"two is to hold one \.onnx file and its vocab\.txt"):
        TextEncoder(folder, 1)
    other = encoder(tmp_path / "other", inputs=("input_ids", "pixels"))
    with pytest.raises(BadInput, match=r"takes input_ids, pixels: input_ids is what a text gives"):
        TextEncoder(other, 1)
    (other / "vocab.txt").write_text("a\nb\n")
    with pytest.raises(BadInput, match=r"vocab\.txt has no \[UNK\]"):
        TextEncoder(other, 1)
    none = encoder(tmp_path / "none")
    (none / "model.onnx").write_bytes(b"no model")
    with pytest.raises(BadInput, match="cannot be loaded"):
        TextEncoder(none, 1)

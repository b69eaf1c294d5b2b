"""A stand-in for speech and for the model that hears it: each letter is a tone, and a model of the usual form
(log mel energies in, letters with their times out) spells them. Words and times are exact, and nothing is
downloaded: demos and tests run the whole chain on it.
"""

from __future__ import annotations

import math
import string
from pathlib import Path
from typing import TYPE_CHECKING

from workers.speech.recognisers import RATE
from workers.vision.onnx_graph import FLOAT, INT64, floats, ints, model, node, value

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: The kind of onnx-asr that the model is one of: 64 mel bands, a letter every 40 ms, no dictionary.
KIND = "gigaam-v2-ctc"
LETTERS = string.ascii_lowercase
#: Of one letter, and of the silence that ends it.
LETTER_S, REST_S = 0.08, 0.08
_BANDS, _EVERY = 64, 4
#: Bands of a letter lie so far apart, the first where bands are as wide as a tone.
_FIRST, _STEP = 11, 2
#: Natural logarithm of the energy above which a band holds a tone: far above the noise, far below a tone.
_THRESHOLD = 4.0
_SPACE, _BLANK = len(LETTERS), len(LETTERS) + 1


def write_model(folder: Path) -> None:
    """The files of a model of `KIND`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "v2_ctc.onnx").write_bytes(_graph())
    names = [*LETTERS, "\u2581", "<blk>"]
    (folder / "v2_vocab.txt").write_text(
        "".join(f"{name} {i}\n" for i, name in enumerate(names)), encoding="utf-8"
    )


def speak(text: str) -> NDArray[np.float32]:
    """The words as tones, `RATE` samples a second. Letters only; a space lasts as long as a letter."""
    import numpy as np

    tone, rest = round(RATE * LETTER_S), np.zeros(round(RATE * REST_S), np.float32)
    time, fade = np.arange(tone) / RATE, np.hanning(tone)
    said = list["np.ndarray"]()
    for sign in text.lower():
        pitch = hertz(LETTERS.index(sign) if sign in LETTERS else _SPACE)
        said += [(0.5 * fade * np.sin(2 * np.pi * pitch * time)).astype(np.float32), rest]
    return np.concatenate(said) if said else np.zeros(0, np.float32)


def hertz(sign: int) -> float:
    """The middle of its mel band, of 64 between 0 and half of the rate of HTK."""
    most = 2595 * math.log10(1 + RATE / 2 / 700)
    band = _FIRST + _STEP * sign
    return 700 * (10 ** (most * (band + 1) / (_BANDS + 1) / 2595) - 1)


def _graph() -> bytes:
    """log_probs [n, time / 4, letters] of features [n, 64, time]: the loudest tone's letter, or the blank."""
    weights = [0.0] * (_BANDS * (_BLANK + 1))
    for sign in range(_BLANK):
        weights[(_FIRST + _STEP * sign) * (_BLANK + 1) + sign] = 1.0
    offsets = [0.0] * _BLANK + [_THRESHOLD]
    nodes = [
        node("Transpose", ["features"], "frames", perm=[0, 2, 1]),
        node("Slice", ["frames", "start", "end", "axis", "every"], "seldom"),
        node("MatMul", ["seldom", "weights"], "energies"),
        node("Add", ["energies", "offsets"], "scores"),
        node("LogSoftmax", ["scores"], "log_probs", axis=-1),
    ]
    constants = [
        floats("weights", weights, [_BANDS, _BLANK + 1]),
        floats("offsets", offsets),
        *(
            ints(name, [number])
            for name, number in (("start", 0), ("end", 2**31), ("axis", 1), ("every", _EVERY))
        ),
    ]
    inputs = [value("features", FLOAT, ["n", _BANDS, "time"]), value("feature_lengths", INT64, ["n"])]
    return model(
        "tones_to_letters", nodes, constants, inputs, [value("log_probs", FLOAT, ["n", "t", _BLANK + 1])]
    )

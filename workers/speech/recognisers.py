"""The only file that knows onnx-asr and pocketsphinx: a stretch of sound → its words and their times."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from conductor.base.errors import BadInput, ConfigError
from workers.speech.cues import Word, of_tokens, spread
from workers.vision.onnx_session import CPU, CUDA, model_faults

if TYPE_CHECKING:
    from workers.speech.stretches import Samples

#: Samples a second that recognisers take; one channel.
RATE = 16_000
#: The kind that carries its own way of reading sound; all others are onnx-asr's.
SPHINX = "pocketsphinx"
#: Those of onnx-asr that have to be told the language, or find it anew in each stretch.
TOLD = ("whisper", "nemo-conformer-aed")
#: What it says between words.
_NO_WORDS = ("<s>", "</s>", "<sil>")


class Recogniser(Protocol):
    def hear(self, samples: Samples, language: str | None) -> list[Word]:
        """Times are seconds from the stretch's beginning. `language`: like `de`; None: not known."""
        ...


def open_recogniser(folder: Path, kind: str, name: str, has_device: bool, threads: int) -> Recogniser:
    """`name`: of the model, for words. Raises `BadInput` for a folder that is no such model, `ConfigError`
    where the library is missing."""
    if kind == SPHINX:
        return SphinxRecogniser(folder, name)
    return OnnxRecogniser(folder, kind, name, has_device, threads)


class OnnxRecogniser:
    def __init__(self, folder: Path, kind: str, name: str, has_device: bool, threads: int) -> None:
        import onnxruntime

        try:
            import onnx_asr
            import onnx_asr.utils
        except ImportError:
            raise ConfigError(
                "captions need the extra «speech»: pip install 'conductor-jobs[speech]' (package onnx-asr)"
            ) from None
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        # Idle threads that spin would take the cores of the jobs beside this one.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        there = onnxruntime.get_available_providers()
        wanted = [CUDA, CPU] if has_device else [CPU]
        try:
            model = onnx_asr.load_model(
                kind, folder, sess_options=options, providers=[each for each in wanted if each in there]
            )
        except (onnx_asr.utils.ModelLoadingError, AssertionError, KeyError, ValueError, *model_faults()) as e:
            raise BadInput(f"{name} cannot be loaded as a model of kind {kind}: {_one_line(e)}") from None
        self._model: Any = model.with_timestamps()
        self._takes_language = kind in TOLD or kind.startswith(("whisper", "nemo-canary"))

    def hear(self, samples: Samples, language: str | None) -> list[Word]:
        options = {"language": language} if language and self._takes_language else {}
        try:
            heard = self._model.recognize(samples, sample_rate=RATE, **options)
        except KeyError as e:
            raise BadInput(f"args.language: the model does not know {language!r} ({e})") from None
        length_s = len(samples) / RATE
        if heard.tokens and heard.timestamps:
            return of_tokens(heard.tokens, heard.timestamps, length_s)
        return spread(heard.text, 0.0, length_s)


class SphinxRecogniser:
    """Small, everywhere, and hard of hearing: right times, poor text."""

    def __init__(self, folder: Path, name: str) -> None:
        try:
            import pocketsphinx
        except ImportError:
            raise ConfigError("a model of kind pocketsphinx needs the package pocketsphinx") from None
        # The shortest: beside its words a model may bring a smaller one of sounds.
        mdef, words, dictionary = (
            min(folder.glob(pattern), key=lambda file: (len(file.name), file.name), default=None)
            for pattern in ("**/mdef", "*.lm.bin", "*.dict")
        )
        if mdef is None or words is None or dictionary is None:
            raise BadInput(f"{name} is no model of kind pocketsphinx: it has no mdef, no .lm.bin or no .dict")
        try:
            self._decoder: Any = pocketsphinx.Decoder(
                hmm=str(mdef.parent), lm=str(words), dict=str(dictionary), samprate=RATE, loglevel="FATAL"
            )
        except RuntimeError as e:
            raise BadInput(
                f"{name} cannot be loaded as a model of kind pocketsphinx: {_one_line(e)}"
            ) from None

    def hear(self, samples: Samples, language: str | None) -> list[Word]:
        import numpy as np

        decoder = self._decoder
        decoder.start_utt()
        decoder.process_raw((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes(), full_utt=True)
        decoder.end_utt()
        found = list[Word]()
        # Frames of a hundredth of a second; a second pronunciation is written «the(2)».
        for part in decoder.seg() or ():
            if part.word not in _NO_WORDS and not part.word.startswith(("[", "+")):
                text = part.word.partition("(")[0]
                found.append(Word(text, part.start_frame / 100, (part.end_frame + 1) / 100))
        return found


def _one_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]

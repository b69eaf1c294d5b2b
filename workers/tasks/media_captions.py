"""media.captions: what is said in a film → SRT and WebVTT, each caption in time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from msgspec import Meta

from conductor.base.errors import BadInput, ConfigError
from conductor.model.spec import Needs
from workers.task_api.context import JobContext
from workers.task_api.registry import task
from workers.toolkit import Args, leave_if_told, media_facts, parse, read_of, shown, threads

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from workers.media.probing import MediaFacts
    from workers.speech.cues import Cue, Word
    from workers.speech.recognisers import Recogniser
    from workers.speech.stretches import Samples, SpokenStretch

NEEDS = Needs(cpu=1, ram_mib=1024)
#: Suffix of a write → pysubs2's name of the form.
FORMS = {".srt": "srt", ".vtt": "vtt"}
#: So many letters tell the language of a text.
TELLING_LETTERS = 120
#: Share of the work that finding the pauses is.
LISTENING = 0.03


class CaptionsArgs(Args, frozen=True, kw_only=True):
    source: str | None = None
    #: A folder whose files are among the reads, and its kind (docs/captions.md).
    model: str
    kind: str
    #: Like `de`. None: found by what is said.
    language: Annotated[str, Meta(pattern="^[a-z]{2,3}$")] | None = None
    #: Of a line; a caption has two.
    most_chars: Annotated[int, Meta(ge=8, le=120)] = 42
    #: So long a stretch of speech is heard at once; recognisers are made for half a minute.
    stretch_s: Annotated[float, Meta(ge=2, le=30)] = 20.0


@task("media.captions", lane="cpu", needs=NEEDS, warm="speech:{model}", timeout_s=3600 * 4, stall_s=600)
def run(args: Mapping[str, Any], ctx: JobContext) -> dict[str, Any]:
    """args: model, kind, source (default: the first read), language, most_chars, stretch_s.

    Writes what the line declares: a write ending in .srt, one in .vtt, or both.
    Result: {"language", "cues", "words", "spoken_s", "ends_s"}; a film in which nobody speaks has no cue.
    """
    from workers.speech import cues, stretches

    given = parse(args, CaptionsArgs)
    read = read_of(ctx, given.source, 0)
    path, name = ctx.input(read), shown(read)
    writes = {
        form: write for write in (w.path for w in ctx.spec.writes) if (form := FORMS.get(Path(write).suffix))
    }
    if not writes:
        raise BadInput("the job declares no write that ends in .srt or .vtt, and this task makes one")
    facts = media_facts(ctx, read)
    ends_s = facts.sound_s or facts.ends_s
    spoken = (
        list[Any]()
        if facts.sound is None
        else stretches.spoken(loudness(ctx, path, name, facts), given.stretch_s)
    )
    language, words = given.language, list[Any]()
    if spoken:
        words, language = heard(ctx, path, name, facts, given, spoken)
    limits = cues.CueLimits(chars=given.most_chars)
    made = cues.cues(words, limits, ends_s)
    for form, write in writes.items():
        ctx.output(write).write_text(written(made, form, language), encoding="utf-8")
    return {
        "language": language,
        "cues": len(made),
        "words": len(words),
        "spoken_s": round(sum(stretch.end_s - stretch.start_s for stretch in spoken), 2),
        "ends_s": round(ends_s, 3),
    }


def loudness(ctx: JobContext, path: Path, name: str, facts: MediaFacts) -> NDArray[np.float64]:
    """One level a frame of the whole sound, of which nothing is kept."""
    import numpy as np

    from workers.speech import stretches
    from workers.speech.recognisers import RATE

    size = 2 * round(RATE * stretches.FRAME_S)
    found, rest, frames = list[Any](), bytearray(), sound_s(facts) / stretches.FRAME_S

    def take(chunk: bytes) -> None:
        rest.extend(chunk)
        whole = len(rest) // size * size
        if whole:
            found.append(stretches.levels(samples_of(rest[:whole]), RATE))
            del rest[:whole]
        share = sum(map(len, found)) / frames
        ctx.progress(LISTENING * min(1.0, share), f"listening for pauses in {name}")
        leave_if_told(ctx)

    decode(ctx, path, name, facts, take)
    if rest:
        found.append(stretches.levels(samples_of(rest[: len(rest) // 2 * 2]), RATE))
    return np.concatenate(found) if found else np.zeros(0)


def heard(
    ctx: JobContext,
    path: Path,
    name: str,
    facts: MediaFacts,
    given: CaptionsArgs,
    spoken: list[SpokenStretch],
) -> tuple[list[Word], str | None]:
    """All words in order with the film's times, and their language. ffmpeg waits while the model works."""
    recogniser = warm_recogniser(ctx, given)
    language, words = given.language, list[Any]()

    def take(stretch: SpokenStretch, samples: Samples) -> None:
        nonlocal language
        said = recogniser.hear(samples, language)
        words.extend(
            word._replace(start_s=word.start_s + stretch.start_s, end_s=word.end_s + stretch.start_s)
            for word in said
        )
        if language is None:
            # Told from here on: a short stretch alone is often taken for another language.
            language = told_by([word.text for word in words], TELLING_LETTERS)
        share = LISTENING + (1 - LISTENING) * stretch.end_s / sound_s(facts)
        ctx.progress(share, f"hearing {name}: {len(words)} words")
        leave_if_told(ctx)

    collector = Collector(spoken, take)
    decode(ctx, path, name, facts, collector.feed)
    collector.end()
    return words, language or told_by([word.text for word in words], 1)


class Collector:
    """Cuts the stretches out of sound that arrives in pieces of any size; holds one of them at most."""

    def __init__(self, spoken: list[SpokenStretch], take: Callable[[SpokenStretch, Samples], None]) -> None:
        from workers.speech.recognisers import RATE

        self._bounds = [(stretch, *(2 * round(at * RATE) for at in stretch)) for stretch in spoken]
        self._take = take
        self._at = 0
        self._held = bytearray()

    def feed(self, chunk: bytes) -> None:
        """16-bit samples of one channel."""
        begin, self._at = self._at, self._at + len(chunk)
        while self._bounds:
            stretch, first, end = self._bounds[0]
            if first < self._at:
                self._held += chunk[max(0, first - begin) : max(0, end - begin)]
            if end > self._at:
                return
            self._give(stretch)

    def end(self) -> None:
        """The sound is over; its last stretch may end within its last frame."""
        if self._held and self._bounds:
            self._give(self._bounds[0][0])

    def _give(self, stretch: SpokenStretch) -> None:
        samples = samples_of(self._held[: len(self._held) // 2 * 2])
        self._held = bytearray()
        del self._bounds[0]
        if len(samples):
            self._take(stretch, samples)


def samples_of(content: bytes | bytearray) -> Samples:
    import numpy as np

    return np.frombuffer(bytes(content), "<i2").astype(np.float32) / np.float32(32768)


def decode(ctx: JobContext, path: Path, name: str, facts: MediaFacts, take: Callable[[bytes], None]) -> None:
    """The film's sound as 16-bit samples of one channel, from the film's first instant on; silence where it
    has a hole."""
    import ffmpeg as builder

    from workers.media import ffmpeg
    from workers.speech.recognisers import RATE

    assert facts.sound is not None
    sound = ffmpeg.stream(ffmpeg.source(path, threads=1), facts.sound)
    sound = sound.filter("aresample", RATE, **{"async": 1, "first_pts": 0})
    job = builder.output(sound, "pipe:1", f="s16le", ac=1, **{"c:a": "pcm_s16le"})
    ffmpeg.run(job, ctx, seconds=sound_s(facts), note="", name=name, threads=1, on_stdout=take)


def sound_s(facts: MediaFacts) -> float:
    return max(0.001, facts.sound_s or facts.ends_s)


def warm_recogniser(ctx: JobContext, given: CaptionsArgs) -> Recogniser:
    """Kept for the next job of this worker: loading a model costs more than a clip."""
    from workers.speech.recognisers import open_recogniser

    files = [Path(read) for read in ctx.spec.reads if Path(read).is_relative_to(given.model)]
    if not files:
        raise BadInput(f"args.model: no file of {given.model} is among the job's reads; list them there too")
    folder, cores = Path(given.model), threads(ctx, NEEDS)
    stamp = ":".join(str(ctx.input(str(file)).stat().st_mtime_ns) for file in files)
    key = f"speech:{folder}:{stamp}:{given.kind}:{','.join(ctx.devices)}:{cores}"
    return ctx.warm(key, lambda: open_recogniser(folder, given.kind, folder.name, bool(ctx.devices), cores))


def told_by(words: list[str], letters: int) -> str | None:
    """The language of a text, like `de`. None: it is too short to tell."""
    text = " ".join(words)
    if len(text) < letters:
        return None
    try:
        import py3langid
    except ImportError:
        raise ConfigError(
            "the language of speech is told by the extra «speech»: pip install 'conductor-jobs[speech]'"
        ) from None
    return str(py3langid.classify(text)[0])


def written(made: list[Cue], form: str, language: str | None) -> str:
    import pysubs2

    subtitles = pysubs2.SSAFile()
    subtitles.events = [
        pysubs2.SSAEvent(
            start=round(cue.start_s * 1000), end=round(cue.end_s * 1000), text=cue.text.replace("\n", r"\N")
        )
        for cue in made
    ]
    return subtitles.to_string(form)

"""One output, looked at by its name and content: what is seen of it, and what is wrong with what is in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from msgspec import Struct

from conductor.base.errors import BadInput
from conductor.base.files.layout import Layout
from conductor.base.files.paths import resolve
from conductor.model.media import MediaFact
from conductor.model.receipt import OutputFact
from conductor.verify import claims, picture_facts, text_facts
from conductor.verify.claims import NO_CLAIM, Claim
from conductor.verify.file_facts import FileFact, Noted, look_at, nothing_noted, opened
from conductor.verify.media_facts import count, decode, is_media, is_stream
from conductor.verify.picture_facts import Picture
from conductor.verify.text_facts import Text

#: How far a duration may be off where `expect` does not say.
TOLERANCE_S = 0.5


class OutputFacts(Struct, frozen=True, kw_only=True):
    """What was seen of one output."""

    file: FileFact
    media: MediaFact | None = None
    #: `media` is what a worker counted before it published this content.
    is_counted_before: bool = False
    picture: Picture | None = None
    text: Text | None = None

    @property
    def fault(self) -> str | None:
        """What is wrong with what is in it, whatever was asked for."""
        return next(
            (seen.fault for seen in (self.media, self.picture, self.text) if seen and seen.fault), None
        )

    def counts(self) -> dict[str, float]:
        found: dict[str, float] = dict(self.text.counts) if self.text else {}
        if self.media is not None:
            found |= {"frames": self.media.pictures, "duration_s": self.media.duration_s}
            if self.media.samples:
                found["samples"] = self.media.samples
        return found

    def sizes(self) -> tuple[tuple[int, int], ...]:
        """Pixels: as stored, as shown."""
        if self.picture is not None:
            return ((self.picture.width, self.picture.height),)
        if self.media is None or not self.media.width:
            return ()
        return (self.media.width, self.media.height), self.media.shown


def facts_of(path: str, file: Path) -> OutputFacts:
    """What is seen of an output that lies, or is still staged, at `file`: read whole, media decoded."""
    seen = look_at(file)
    return OutputFacts(file=seen) if seen.fault is not None else _with_content(path, file, seen, decode, None)


def output_facts(
    layout: Layout,
    path: str,
    published: OutputFact | None,
    known: MediaFact | None,
    claim: Claim,
    noted: Noted = nothing_noted,
) -> OutputFacts:
    """What is seen of an output in its place, read whole unless it is `noted`. `known`: what was counted in
    it before it was published, which stands for a look of our own where the content is still that, and
    nothing else is claimed of it; else media is decoded."""
    try:
        file = resolve(layout, path, for_writing=False)
    except BadInput as e:
        return OutputFacts(file=FileFact(fault=str(e)))
    seen = look_at(file, noted, published.sha256 if published else "")
    if seen.fault is not None:
        return OutputFacts(file=seen)
    if known is not None and published is not None and seen.sha256 == published.sha256:
        found = OutputFacts(file=seen, media=known, is_counted_before=True)
        if claims.is_counted(claim, found.counts()):
            return found
    return _with_content(path, file, seen, decode, None)


def counted(path: str, file: Path, most_json: int, on_read: Callable[[], None] = lambda: None) -> OutputFacts:
    """The same without a hash and without decoding. `most_json`: bytes of a document that are parsed.
    `on_read`: called each second that a media file is read."""
    return _with_content(path, file, FileFact(), lambda file: count(file, on_read), most_json)


def _with_content(
    path: str, file: Path, seen: FileFact, of_media: Callable[[Path], MediaFact], most_json: int | None
) -> OutputFacts:
    try:
        if is_media(path) and is_stream(file):
            return OutputFacts(file=seen, media=of_media(file))
        if picture_facts.is_picture(path):
            with opened(file) as stream:
                return OutputFacts(file=seen, picture=picture_facts.look(stream))
        if text_facts.is_text(path):
            most = text_facts.MAX_JSON_BYTES if most_json is None else most_json
            with opened(file) as stream:
                return OutputFacts(file=seen, text=text_facts.look(path, stream, file.stat().st_size, most))
    except OSError as e:
        return OutputFacts(file=FileFact(fault=f"cannot be read: {e.strerror}"))
    return OutputFacts(file=seen)


def content_faults(seen: OutputFacts, expect: Mapping[str, object], claim: Claim = NO_CLAIM) -> Iterator[str]:
    """What is wrong with what is in it, by itself, by what its line expects and by what its result says.
    Pure.
    """
    if seen.file.fault or seen.fault:
        yield str(seen.file.fault or seen.fault)
        return
    if seen.media is not None:
        yield from media_faults(seen.media, expect)
        yield from claims.tag_faults(claim, seen.media.tags)
    yield from claims.claim_faults(claim, seen.counts(), seen.sizes())


def media_faults(media: MediaFact, expect: Mapping[str, object]) -> Iterator[str]:
    """Decoding faults, and a duration other than `duration_s` ± `tolerance_s` or outside min and max."""
    if media.fault is not None:
        yield media.fault
        return
    known = {name: float(value) for name, value in expect.items() if isinstance(value, int | float)}
    slack = known.get("tolerance_s", TOLERANCE_S)
    for name, word, is_off in _DURATIONS:
        if name in known and is_off(media.duration_s, known[name], slack):
            yield f"lasts {media.duration_s:.2f} s instead of {word}{known[name]:g} s (± {slack:g})"


#: Key of `expect`, how it is said, and when a duration breaks it.
_DURATIONS: tuple[tuple[str, str, Callable[[float, float, float], bool]], ...] = (
    ("duration_s", "", lambda lasts, wanted, slack: abs(lasts - wanted) > slack),
    ("min_duration_s", "at least ", lambda lasts, wanted, slack: lasts < wanted - slack),
    ("max_duration_s", "at most ", lambda lasts, wanted, slack: lasts > wanted + slack),
)

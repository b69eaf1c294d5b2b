"""What a person writes down of a cartoon: a TOML or JSON file of scenes."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from conductor.base.errors import ConfigError, UsageError
from workers.engines.templates import Color, Figure

#: A script is read by a person, and so is what is wrong with it.
MOST_BYTES = 4 << 20


class ScriptPart(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of all that a script holds: what nobody knows is refused."""


class ScriptScene(ScriptPart, frozen=True, kw_only=True):
    #: Written into the picture.
    text: Annotated[str, Meta(max_length=500)] = ""
    seconds: Annotated[float, Meta(gt=0, le=600)] = 3.0
    #: A colour (ffmpeg's name of it, or `#rrggbb`).
    background: Color = "skyblue"
    #: A picture in its place: .png, .jpg, .webp.
    picture: str | None = None
    characters: Annotated[list[Figure], Meta(max_length=8)] = []
    #: What an engine is asked for. None: made of what stands above.
    prompt: Annotated[str, Meta(max_length=4000)] | None = None
    #: What is heard.
    sound: str | None = None
    seed: Annotated[int, Meta(ge=0, le=2**32 - 1)] = 0
    #: This engine and no other: the name of an endpoint, or `templates`.
    engine: str | None = None

    @property
    def asked(self) -> str:
        if self.prompt is not None:
            return self.prompt
        who = ", ".join(f"{figure.name or 'somebody'} in {figure.color}" for figure in self.characters)
        parts = [self.text, f"with {who}" if who else "", f"on a {self.background} ground"]
        return "A cartoon: " + ", ".join(part for part in parts if part)


class CartoonScript(ScriptPart, frozen=True, kw_only=True):
    """Files are named as the script sees them."""

    scenes: Annotated[list[ScriptScene], Meta(min_length=1, max_length=5000)]
    width: Annotated[int, Meta(ge=32, le=7680, multiple_of=2)] = 1280
    height: Annotated[int, Meta(ge=32, le=4320, multiple_of=2)] = 720
    fps: Annotated[float, Meta(ge=1, le=120)] = 24.0
    crf: Annotated[int, Meta(ge=0, le=51)] = 18
    #: LUFS of the whole; JSON's null, or 0, leaves it as it is.
    loudness: Annotated[float, Meta(ge=-40, le=0)] | None = -14.0
    #: What a ComfyUI server is asked: its graph, saved by «Save (API format)».
    graph: str | None = None
    font: str | None = None
    container: Annotated[str, Meta(pattern="^(?:mp4|mov|mkv)$")] = "mp4"


def read_script(file: Path) -> CartoonScript:
    """Raises `UsageError` where it is not there, `ConfigError` that names the field, or the line."""
    try:
        content = file.read_bytes()
    except OSError as e:
        raise UsageError(f"the script {file} cannot be read: {e.strerror}") from None
    if len(content) > MOST_BYTES:
        raise ConfigError(f"{file} is larger than any script: {len(content)} bytes")
    try:
        text = content.decode("utf-8-sig")
        raw: Any = json.loads(text) if file.suffix.lower() == ".json" else tomllib.loads(text)
        return msgspec.convert(raw, CartoonScript)
    except (msgspec.ValidationError, ValueError, RecursionError) as e:
        raise ConfigError(f"{file} is no script of a cartoon: {e}") from None

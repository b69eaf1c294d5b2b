"""A cartoon out of a script of scenes: each scene a job, drawn by the engine that is preferred and there.

A local ComfyUI server, a video API that costs money, or templates that ffmpeg draws: by a policy, and by what
each scene asks for. What is made again after a change is the scene that changed.
"""

from __future__ import annotations

import sys
from pathlib import Path

# run as a plain file: the project's root is not on the path, nor perhaps its environment
if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[2])
    from workflows import standalone

    standalone.ensure_environment()

import argparse
from collections.abc import Iterator
from typing import Any

import msgspec

from conductor.base.errors import UsageError
from conductor.base.files.layout import CodeSettings
from conductor.model.spec import JobSpec, Needs
from conductor.planning import input_of, job, rounded_up
from workflows.toon.engines import POLICIES, checked, chosen, need
from workflows.toon.script import CartoonScript, ScriptScene, read_script

NAME = "toon"
SAMPLE_RATE = 48_000
#: Bytes a pixel-second that a piece may take, at the usual quality.
DENSITY = 0.15


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("script", type=Path, help="a TOML or JSON file of scenes")
    parser.add_argument(
        "--policy",
        choices=POLICIES,
        help="which engines are preferred; default: engine_policy of conductor.toml",
    )
    parser.add_argument(
        "--engines", default="", metavar="NAME,NAME", help="these engines in this order, in place of a policy"
    )
    parser.add_argument(
        "--patience",
        type=float,
        default=1800.0,
        metavar="SECONDS",
        help="so long a scene may take one engine",
    )


def manifest_name(options: argparse.Namespace) -> str:
    return f"{NAME}_{options.script.stem}.jsonl"


def plan(options: argparse.Namespace, settings: CodeSettings) -> Iterator[JobSpec]:
    """A job a scene, in their order, and one that joins them."""
    if not 10 <= options.patience <= 86_400:
        raise UsageError(f"--patience {options.patience:g}: seconds, between 10 and 86400")
    script, folder = read_script(options.script), options.script.resolve().parent
    names = [name.strip() for name in options.engines.split(",") if name.strip()]
    usual = chosen(settings, options.policy or settings.engine_policy, names)
    pieces: list[JobSpec] = []
    first = 0.0
    for number, scene in enumerate(script.scenes, 1):
        engines = usual if scene.engine is None else (checked(settings, scene.engine),)
        check_graph(settings, script, engines, number)
        pieces.append(segment(script, scene, folder, settings, engines, options.patience))
        first += scene.seconds
    # Two scenes that are alike are one job, shown twice.
    yield from {piece.id: piece for piece in pieces}.values()
    yield film(script, pieces, options.script.stem)


def check_graph(settings: CodeSettings, script: CartoonScript, engines: tuple[str, ...], number: int) -> None:
    asked = [
        name for name in engines if name in settings.endpoints and settings.endpoints[name].kind == "comfyui"
    ]
    if asked and script.graph is None:
        raise UsageError(
            f"scene {number} may be made by {asked[0]}, a ComfyUI server, and the script names no graph: "
            'save it there by «Save (API format)», and write graph = "FILE.json" into the script'
        )


def segment(
    script: CartoonScript,
    scene: ScriptScene,
    folder: Path,
    settings: CodeSettings,
    engines: tuple[str, ...],
    patience_s: float,
) -> JobSpec:
    frames = max(1, round(scene.seconds * script.fps))
    seconds = frames / script.fps
    args: dict[str, Any] = {
        "frames": frames,
        "samples": round(seconds * SAMPLE_RATE),
        "prompt": scene.asked,
        **{name: getattr(script, name) for name in ("width", "height", "fps", "crf")},
    }
    if scene.text:
        args["text"] = scene.text
    if scene.characters:
        args["characters"] = msgspec.to_builtins(scene.characters)
    args |= {"background": scene.background, "seed": scene.seed}
    files: dict[str, str] = {}
    for name, file in (
        ("picture", scene.picture),
        ("sound", scene.sound),
        ("font", script.font),
        ("graph", script.graph),
    ):
        if file is not None:
            path = folder / file
            args[name] = str(path.resolve())
            files |= input_of(Path(args[name]))
    return job(
        NAME,
        "toon.segment",
        args,
        inputs=files,
        writes={
            "published:toon/segments/{id}.mkv": rounded_up(script.width * script.height * seconds * DENSITY)
        },
        needs=Needs(cpu=1, ram_mib=512, engines=tuple(need(settings, name, seconds) for name in engines)),
        timeout_s=patience_s,
        duration_s=max(1.0, round(seconds, 1)),
        size=float(script.width * script.height * seconds),
        expect={"duration_s": round(seconds, 3), "tolerance_s": 0.1},
    )


def film(script: CartoonScript, pieces: list[JobSpec], name: str) -> JobSpec:
    paths = [piece.writes[0].path for piece in pieces]
    args: dict[str, Any] = {
        "segments": paths,
        "frames": [piece.args["frames"] for piece in pieces],
        "heard": ["sound" in piece.args for piece in pieces],
        "loudness": script.loudness or None,
    }
    size = sum(piece.writes[0].bytes for piece in pieces)
    seconds = sum(args["frames"]) / script.fps
    return job(
        NAME,
        "toon.film",
        args,
        reads=list(dict.fromkeys(paths)),
        writes={f"published:toon/{name}-{{short}}.{script.container}": rounded_up(size)},
        after=pieces,
        needs=Needs(cpu=1, ram_mib=512),
        size=float(size),
        expect={"duration_s": round(seconds, 3), "tolerance_s": 0.2},
    )


if __name__ == "__main__":
    from workflows.protocol import run_plan_script

    sys.exit(run_plan_script(NAME))

"""Captions for every film of a folder: a job each, on the model that conductor.toml names."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

from conductor.base.errors import ConfigError
from conductor.base.files.layout import CodeSettings
from conductor.model.spec import JobSpec
from conductor.planning import input_of, job, named_model
from workflows.studio.kinds import PRIORITIES, needs_of

#: Working memory beside the model's own bytes, in MiB: sound, features, and one stretch's activations.
BESIDE_MIB = 600


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, help="with films")
    parser.add_argument("--model", required=True, metavar="NAME", help="one of [models] in conductor.toml")
    parser.add_argument("--language", metavar="XX", help="like de; default: told by what is said")
    parser.add_argument("--gpu", action="store_true", help="hold a device for each")


def caption_jobs(
    name: str, films: Sequence[Path], options: argparse.Namespace, settings: CodeSettings
) -> Iterator[JobSpec]:
    """Raises `ConfigError` where the model is not there, is another one, or does not say its kind."""
    model = named_model(options.model, settings)
    if model.kind is None:
        raise ConfigError(
            f'models.{options.model}: say what it is, like kind = "whisper" or "nemo-conformer-ctc" '
            "(docs/captions.md has all)"
        )
    if not model.path.is_dir():
        raise ConfigError(f"models.{options.model}: {model.path} is to be a folder with all of its files")
    model_mib = sum(Path(file).stat().st_size for file in model.inputs) >> 20
    args = {"model": str(model.path), "kind": model.kind}
    if options.language:
        args["language"] = options.language
    needs = needs_of(
        "captions",
        settings,
        cpu=2,
        ram_mib=2 * model_mib + BESIDE_MIB,
        vram_mib=2 * model_mib + BESIDE_MIB if options.gpu else 0,
    )
    for film in films:
        place = f"published:studio/{film.stem}-{{short}}"
        yield job(
            name,
            "media.captions",
            {**args, "source": str(film)},
            inputs={**input_of(film), **model.inputs},
            writes={f"{place}.srt": 1 << 20, f"{place}.vtt": 1 << 20},
            needs=needs,
            lane="gpu" if options.gpu else None,
            priority=PRIORITIES["captions"],
            size=float(film.stat().st_size),
        )

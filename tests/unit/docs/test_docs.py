"""The documents hold: their links lead somewhere, the files that they name are there, and the short ones
stay short.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from conductor.adapters.redis.step_text import USES
from conductor.base.redis_keys import Keys
from conductor.base.settings.settings import load

ROOT = Path(__file__).resolve().parents[3]
PAGES = sorted(
    [
        *ROOT.glob("*.md"),
        *ROOT.glob("docs/**/*.md"),
        ROOT / "manifests/README.md",
        *ROOT.glob("workflows/*/README.md"),
    ]
)
LINK = re.compile(r"\]\((?!https?://|#)([^)#\s]+)(?:#[^)\s]*)?\)")
#: «conductor/core/x.py», with or without the back quotes around it; a name with a star or dots in it names
#: several.
NAMED = re.compile(
    r"`((?:conductor|workers|workflows|tests|benchmarks|scripts|docs|manifests)/[\w./-]+\.(?:py|lua|md))`"
)
MOST_WORDS = {"ARCHITECTURE.md": 1500}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_and_named_files_are_there(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    links = [page.parent / link for link in LINK.findall(text)]
    named = [] if page.name == "CHANGELOG.md" else [ROOT / name for name in NAMED.findall(text)]
    assert [str(file) for file in (*links, *named) if not file.exists()] == []


@pytest.mark.parametrize("name", MOST_WORDS)
def test_a_page_of_one_look_stays_one(name: str) -> None:
    assert len((ROOT / name).read_text(encoding="utf-8").split()) <= MOST_WORDS[name]


def test_the_keyspace_page_names_every_key_and_no_other() -> None:
    steps = "\n".join(
        file.read_text(encoding="utf-8") for file in (ROOT / "conductor/adapters").rglob("*.lua")
    )
    used = set(re.findall(r"P \.\. '([a-z_]+)", steps))
    ours = Keys("")
    used |= {
        name.removeprefix(ours.ledger).split(":")[0]
        for name in vars(ours).values()
        if isinstance(name, str) and name.startswith(ours.ledger) and name != ours.ledger
    }
    table = (ROOT / "docs/keyspace.md").read_text(encoding="utf-8").replace("\\|", "/")
    cells = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    assert {name.split(":")[0] for cell in cells for name in re.findall(r"`([^`]+)`", cell)} == used


def test_the_keyspace_page_names_every_file_that_steps_share() -> None:
    """By the `-- uses` at the head of those that are put together with them."""
    folder = ROOT / "conductor/adapters/redis/lua"
    heads = (file.read_text(encoding="utf-8").partition("\n")[0] for file in folder.glob("*.lua"))
    used = {f"{name}.lua" for head in heads if head.startswith(USES) for name in head[len(USES) :].split()}
    page = (ROOT / "docs/keyspace.md").read_text(encoding="utf-8")
    (told,) = re.findall(r"What several steps share\nstands in (.*?) there\.", page, re.S)
    assert set(re.findall(r"`(\w+\.lua)`", told)) == used


SHOWN = [
    (page, text)
    for page in PAGES
    for text in re.findall(r"^```toml\n(.*?)^```$", page.read_text(encoding="utf-8"), re.M | re.S)
]


@pytest.mark.parametrize(("page", "text"), SHOWN, ids=[str(page.relative_to(ROOT)) for page, _ in SHOWN])
def test_settings_that_a_page_shows_are_accepted(page: Path, text: str, tmp_path: Path) -> None:
    (tmp_path / "conductor.toml").write_text(text, encoding="utf-8")
    load(tmp_path)


def test_the_readme_is_read_in_one_go() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150

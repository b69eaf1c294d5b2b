"""What no manifest reads or writes, unless it is named: hidden files, keys, Conductor's own, the project's
code.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from conductor.base.errors import BadInput, ConfigError
from conductor.base.files import paths
from conductor.base.settings.sections import Root
from conductor.base.settings.settings import CONFIG_NAME, Settings, load
from conductor.planning import input_files, input_of, run_plan

PRIVATE = (
    ".env",
    ".ssh/id_ed25519",
    ".git/config",
    "deep/.netrc",
    "prod.env",
    "deep/prod.env.local",
    "PROD.ENV",
    "id_rsa",
    "deep/server.pem",
    "tls.key",
    "users.acl",
    "credentials",
    "secrets.json",
    "client_secret.json",
    "tokens.yaml",
    "service-account-1.json",
    "receipts/h.jsonl",
    "receipts/manifests/x.jsonl.gz",
    "logs/jobs/x.out",
    "manifests/m.jsonl",
    "conductor.toml",
    "conductor.toml.restored",
    ".conductor/hashes.db",
)
OPEN = (
    "clip.mp4",
    "deep/a.b.txt",
    "Secrets and Lies.mp4",
    "secrets.mp4",
    "environment.txt",
    "..dots",
    "id_photo.jpg",
)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    for name in (*PRIVATE, *OPEN):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    return load(tmp_path)


def declared(settings: Settings, toml: str) -> Settings:
    (settings.project / CONFIG_NAME).write_text(toml)
    return load(settings.project)


def is_read(settings: Settings, path: str | Path) -> bool:
    try:
        paths.resolve(settings.layout, str(path), for_writing=False)
        paths.open_to_read(settings.layout, str(path)).close()
    except BadInput:
        return False
    return True


@pytest.mark.parametrize("name", PRIVATE)
def test_by_default_no_manifest_reads_what_is_private_in_the_project(settings: Settings, name: str) -> None:
    assert not is_read(settings, settings.project / name)
    (settings.project / "link.mp4").symlink_to(settings.project / name)
    assert not is_read(settings, settings.project / "link.mp4")


@pytest.mark.parametrize("name", [name for name in OPEN if not name.startswith(".")])
def test_films_and_lists_of_the_project_are_read(settings: Settings, name: str) -> None:
    assert is_read(settings, settings.project / name)


@pytest.mark.parametrize(
    ("named", "file"),
    [
        ('inputs = [".", "receipts"]', "receipts/h.jsonl"),
        ('inputs = [".ssh/id_ed25519"]', ".ssh/id_ed25519"),
        ('inputs = ["prod.env"]', "prod.env"),
        ('inputs = [".", "logs/jobs"]', "logs/jobs/x.out"),
        ('inputs = ["deep", ".git"]', ".git/config"),
    ],
)
def test_what_is_named_is_read_and_nothing_beside_it(settings: Settings, named: str, file: str) -> None:
    chosen = declared(settings, named)
    read = {name for name in PRIVATE if is_read(chosen, settings.project / name)}
    assert file in read and {name.split("/")[0] for name in read} == {file.split("/")[0]}


def test_a_root_of_its_own_names_it(settings: Settings) -> None:
    chosen = declared(settings, '[roots.old]\npath = "receipts"\n[roots.hidden]\npath = ".git"')
    assert is_read(chosen, "old:h.jsonl") and is_read(chosen, "hidden:config")
    assert is_read(chosen, settings.project / "receipts" / "h.jsonl")


@pytest.mark.parametrize("name", PRIVATE)
def test_a_root_that_holds_the_project_is_not_in_whole_the_jobs(settings: Settings, name: str) -> None:
    for base in (".", ".."):
        chosen = declared(settings, f'[roots.wide]\npath = "{base}"')
        path = f"wide:{name}" if base == "." else f"wide:{settings.project.name}/{name}"
        assert not is_read(chosen, path)
        with pytest.raises(BadInput, match="no job"):
            paths.output_place(chosen.layout, path)


@pytest.mark.parametrize(
    "path",
    [
        "conductor.toml",
        "Conductor.toml",
        "my_tasks.py",
        "my_tasks/__init__.py",
        "workflows/x/plan.py",
        "workflows/a.txt",
        "redis.so",
        "receipts/forged.jsonl",
        ".git/hooks/post-commit",
        "manifests/x.jsonl",
        "x.pth",
    ],
)
def test_no_job_writes_code_or_a_record_of_the_project(tmp_path: Path, path: str) -> None:
    """Where none of them is there yet."""
    chosen = Settings(
        project=tmp_path,
        receipts_dir=tmp_path / "receipts",
        manifests_dir=tmp_path / "manifests",
        logs_dir=tmp_path / "logs",
        state_dir=tmp_path / ".conductor",
        roots={"wide": Root(path=tmp_path), "own": Root(path=tmp_path / "own")},
    )
    with pytest.raises(BadInput, match="no job"):
        paths.output_place(chosen.layout, f"wide:{path}")
    with pytest.raises(BadInput, match="no job"):
        paths.resolve(chosen.layout, f"wide:{path}", for_writing=True)
    assert paths.output_place(chosen.layout, "wide:made/x.mp4") == tmp_path / "made/x.mp4"
    assert paths.output_place(chosen.layout, f"own:{path}") == tmp_path / "own" / path


def test_a_root_that_is_the_users_home_keeps_what_is_hidden_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    (home / ".ssh").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    project = tmp_path / "project"
    project.mkdir()
    (project / CONFIG_NAME).write_text(f'[roots.home]\npath = "{home}"')
    with pytest.raises(BadInput, match="hidden"):
        paths.output_place(load(project).layout, "home:.ssh/authorized_keys")


def test_another_case_and_another_mount_are_the_same_file(settings: Settings) -> None:
    """Told by inode: here with the help of a link to the folder, which is what such a file system looks
    like.
    """
    elsewhere = settings.project / "elsewhere"
    (settings.project / "receipts").rename(elsewhere)
    (settings.project / "receipts").symlink_to(elsewhere)
    assert not is_read(settings, elsewhere / "h.jsonl")


def test_the_kernels_files_are_nobodys_input(settings: Settings) -> None:
    everything = declared(settings, 'inputs = ["/"]')
    for name in (f"/proc/{os.getpid()}/environ", "/proc/self/environ", "/sys/kernel/notes"):
        assert not is_read(everything, name)


def test_a_plan_says_so_before_a_job_dies_of_it(settings: Settings) -> None:
    def plan(options: object, settings: Settings):
        yield input_of(settings.project / "prod.env")  # pyright: ignore

    with pytest.raises(ConfigError, match=r"keys or passwords.*`inputs`"):
        run_plan("mine", "", lambda parser: None, plan, lambda options: "m.jsonl", [], settings.for_code)  # pyright: ignore


def test_a_folder_of_lists_is_planned_without_the_one_that_holds_passwords(settings: Settings) -> None:
    folder = settings.project / "lists"
    folder.mkdir()
    for name in ("a.txt", "passwords.txt"):
        (folder / name).touch()
    skipped: list[str] = []
    assert [path.name for path in input_files(folder, ["txt"], settings.for_code, skipped)] == ["a.txt"]
    assert len(skipped) == 1 and "passwords.txt" in skipped[0] and "keys or passwords" in skipped[0]

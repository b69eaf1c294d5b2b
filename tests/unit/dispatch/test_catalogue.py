"""Which tasks there are, and what is said when one is asked for that is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from conductor.base.errors import ConfigError, JobError, ManifestError
from conductor.dispatch.catalogue import load_catalogue
from workers.task_api.registry import body_of

ONE = """\
from workers import task

@task("mine.cut", lane="io", retry={"timeout": 4})
def run(args, ctx):
    return {}
"""


def write(folder: Path, name: str, text: str) -> str:
    (folder / f"{name}.py").write_text(text, encoding="utf-8")
    return name


def test_the_built_in_tasks_are_there_without_their_libraries():
    import subprocess
    import sys

    code = (
        "import sys; from conductor.dispatch.catalogue import load_catalogue; names = set(load_catalogue());"
        "assert {'diagnostics.echo', 'diagnostics.sleep', 'shell', 'media.cut'} <= names, names;"
        "heavy = {'numpy', 'av', 'onnxruntime', 'openai', 'redis', 'rq'} & set(sys.modules); assert not "
        "heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_tasks_of_the_project_are_found_in_its_folder(tmp_path: Path):
    name = write(tmp_path, "cat_own", ONE)

    decl = load_catalogue([name], tmp_path)["mine.cut"]

    assert (decl.module, decl.function, decl.lane, decl.retry) == ("cat_own", "run", "io", {"timeout": 4})
    assert body_of(decl)({}, None) == {}


def test_an_unknown_task_is_answered_with_the_near_ones():
    with pytest.raises(ManifestError, match=r"did you mean diagnostics\.echo"):
        load_catalogue().decl("diagnostics.ecko")


def test_two_tasks_of_one_name_are_refused(tmp_path: Path):
    names = [write(tmp_path, name, ONE) for name in ("cat_one", "cat_two")]

    with pytest.raises(ConfigError, match="declared twice: in cat_one and in cat_two"):
        load_catalogue(names, tmp_path)


def test_a_task_imported_by_another_module_is_declared_once(tmp_path: Path):
    write(tmp_path, "cat_base", ONE)
    user = write(tmp_path, "cat_user", "from cat_base import run\n" + ONE.replace("cut", "other"))

    assert "mine.other" in load_catalogue(["cat_base", user], tmp_path)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("import no_such_thing", "no_such_thing"),
        ("def (", "SyntaxError"),
        ("x = 1", "no function with @task"),
    ],
)
def test_a_module_that_does_not_serve_is_named(tmp_path: Path, text: str, words: str):
    name = write(tmp_path, f"cat_bad_{abs(hash(text))}", text)

    with pytest.raises(ConfigError, match=words):
        load_catalogue([name], tmp_path)


def test_a_body_that_is_not_declared_as_the_task_is_not_run(tmp_path: Path):
    import msgspec

    name = write(tmp_path, "cat_swapped", ONE)
    decl = load_catalogue([name], tmp_path)["mine.cut"]

    for changes in ({"function": "task"}, {"module": "os", "function": "system"}, {"name": "mine.other"}):
        with pytest.raises(JobError, match="not declared as it"):
            body_of(msgspec.structs.replace(decl, **changes))

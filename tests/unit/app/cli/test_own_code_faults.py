"""Faults in a project's own plan, checks and tasks: file, line and the sentence; nothing looks like
success.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli_tools import Cli

from conductor.base.settings.settings import Settings

HEAD = """\
from conductor.model.spec import Needs
from conductor.planning import job

def plan(options, settings):
"""


@pytest.fixture
def here(project: Settings, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(project.project)
    return project.project


def a_plan(here: Path, body: str, name: str = "mine", head: str = HEAD) -> None:
    """Its `plan` has this body: from line 5 on."""
    folder = here / "workflows" / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "plan.py").write_text(head + "".join(f"    {line}\n" for line in body.splitlines()))


def echo(n: object = 1, more: str = "") -> str:
    return f'yield job("mine", "diagnostics.echo", {{"n": {n}}}{more})'


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ('yield {}["clip"]', "conductor: plan mine: workflows/mine/plan.py, line 5: KeyError: 'clip'\n"),
        (
            "return None",
            "conductor: plan mine: its plan() returned nothing: it is to yield jobs "
            "(conductor.planning.job)\n",
        ),
        (
            "return 3",
            "conductor: plan mine: its plan() returned 3: it is to yield jobs (conductor.planning.job)\n",
        ),
        (
            'yield {"task": "echo"}',
            "conductor: plan mine: its plan() gave {'task': 'echo'}, which is no job: make each with "
            "conductor.planning.job\n",
        ),
        (
            "raise SystemExit(0)",
            "conductor: plan mine: workflows/mine/plan.py, line 5: it ends the whole command, by "
            "sys.exit(0)\n",
        ),
        (
            "yield (",
            "conductor: workflows.mine.plan cannot be run: workflows/mine/plan.py, line 5: SyntaxError: "
            "'(' was never closed\n",
        ),
        (
            "import nowhere_at_all",
            "conductor: plan mine: workflows/mine/plan.py, line 5: ModuleNotFoundError: No module named "
            "'nowhere_at_all'\n",
        ),
    ],
)
def test_a_plan_with_a_fault_says_where_and_writes_nothing(
    cli: Cli, here: Path, body: str, said: str
) -> None:
    a_plan(here, body)

    shown = cli("plan", "mine")

    assert (shown.code, shown.out, shown.err) == (3, "", said)
    assert not (here / "manifests").exists() or not list((here / "manifests").iterdir())


def test_what_an_own_plan_prints_is_not_taken_for_the_answer(cli: Cli, here: Path) -> None:
    a_plan(here, f'print("one moment")\n{echo()}', head="print('at import')\n" + HEAD)

    shown = cli("plan", "mine")

    assert (shown.code, shown.out) == (0, "manifests/mine.jsonl: 1 job\n")
    assert shown.err == "at import\none moment\n"


def test_a_plan_without_its_function_is_named_and_add_arguments_may_be_left_out(cli: Cli, here: Path) -> None:
    folder = here / "workflows" / "mine"
    folder.mkdir(parents=True)
    (folder / "plan.py").write_text("X = 1\n")

    shown = cli("plan", "mine")

    assert shown.code == 3
    assert "workflows/mine/plan.py has no function plan(options, settings) that yields jobs" in shown.err


@pytest.mark.parametrize(
    ("body", "line", "said"),
    [
        (f"{echo()}\n{echo()}", 2, " is already on line 1"),
        (
            "\n".join(echo(n, ', writes={"published:same.txt": 10}') for n in (1, 2)),
            2,
            "writes: 'published:same.txt' is already written by line 1",
        ),
        (
            f'{echo()}\nyield job("mine", "diagnostics.eco", {{}})',
            2,
            "task: 'diagnostics.eco' is not a task, did you mean",
        ),
        (
            echo(1, ', writes={"publishd:x.txt": 10}'),
            1,
            "writes[0].path: no root is named 'publishd', did you mean published? conductor.toml declares: "
            "published, scratch",
        ),
        (echo(1, ', reads=["nas:x.txt"]'), 1, "reads[0]: no root is named 'nas'"),
        (
            'yield job("mine", "shell", {"argv": ["convert", "x"]})',
            1,
            "args.argv: 'convert' is not among shell_programs of conductor.toml (nothing yet): add it there",
        ),
        (echo(1, ", timeout_s=-1.0"), 1, "timeout_s: "),
        (echo(1, ', needs={"ram": 3}'), 1, "needs"),
    ],
)
def test_a_plan_refuses_what_could_not_be_dispatched_or_run_and_names_the_line(
    cli: Cli, here: Path, body: str, line: int, said: str
) -> None:
    (here / "manifests").mkdir()
    before = here / "manifests" / "mine.jsonl"
    before.write_text("what was there\n")
    a_plan(here, body)

    shown = cli("plan", "mine")

    assert shown.code == 3
    assert f"mine.jsonl:{line}: " in shown.err and said in shown.err
    assert "nothing of it was written" in shown.err
    assert before.read_text() == "what was there\n"
    assert list(before.parent.iterdir()) == [before]


def test_a_plan_of_nothing_says_so(cli: Cli, here: Path) -> None:
    a_plan(here, "return []")

    shown = cli("plan", "mine")

    assert (shown.code, shown.out) == (1, "manifests/mine.jsonl: no job: there was nothing to plan\n")


def test_a_task_module_with_a_fault_says_which_where_and_what(cli: Cli, here: Path) -> None:
    settings = (here / "conductor.toml").read_text()
    (here / "conductor.toml").write_text('task_modules = ["own_faulty"]\n' + settings)
    (here / "own_faulty.py").write_text("print('hello')\n\nimport nothing_like_it\n")
    a_plan(here, echo())

    shown = cli("plan", "mine")

    assert (shown.code, shown.out) == (3, "")
    assert shown.err == (
        "hello\nconductor: task module own_faulty cannot be imported: own_faulty.py, line 3: "
        "ModuleNotFoundError: No "
        "module named 'nothing_like_it'\n"
    )


CHECKS = """\
from conductor.verify.verify import Checks

def checks(settings):
    return Checks(jobs=(check_job,))

def check_job(spec, receipt, facts):
"""


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "def checks(settings):\n    return None\n",
            "verify mine: its checks() returned nothing: it is to return conductor",
        ),
        (
            "def checks(settings):\n    1 / 0\n",
            "verify mine: workflows/mine/verify.py, line 2: ZeroDivisionError: division",
        ),
        (
            CHECKS + "    return receipt.nothing\n",
            "verify mine: workflows/mine/verify.py, line 7: AttributeError: ",
        ),
        (
            CHECKS + "    yield receipt.nothing\n",
            "verify mine: workflows/mine/verify.py, line 7: AttributeError: ",
        ),
        (CHECKS + "    return None\n", "verify mine: check_job returned nothing: it is to yield complaints"),
        (CHECKS + "    return 'bad'\n", "verify mine: check_job returned 'bad': it is to yield complaints"),
    ],
)
def test_checks_with_a_fault_are_named_and_prove_nothing(cli: Cli, here: Path, text: str, said: str) -> None:
    done_by_receipt(cli, here)
    (here / "workflows" / "mine" / "verify.py").write_text(text)

    shown = cli("verify", "manifests/mine.jsonl")

    assert (shown.code, shown.out) == (3, "")
    assert said in shown.err


def test_what_checks_print_does_not_spoil_the_json(cli: Cli, here: Path) -> None:
    done_by_receipt(cli, here)
    (here / "workflows" / "mine" / "verify.py").write_text(
        "print('at import')\n" + CHECKS + "    print('looking')\n    return ['it is blue']\n"
    )

    shown = cli("verify", "manifests/mine.jsonl", "--json")

    assert shown.code == 1
    assert [finding["message"] for finding in json.loads(shown.out)["findings"]] == ["it is blue"]
    assert shown.err == "at import\nlooking\n"


def done_by_receipt(cli: Cli, here: Path) -> None:
    """One job of the workflow «mine», and the receipt that proves it done."""
    from conductor.adapters.files.receipt_log import FileReceiptLog
    from conductor.model.receipt import Receipt
    from conductor.record.manifest import read

    a_plan(here, echo())
    assert cli("plan", "mine").code == 0
    (spec,) = read(here / "manifests" / "mine.jsonl")
    log = FileReceiptLog(here / "receipts", "w1")
    log.append(
        Receipt(
            v=1,
            job_id=spec.id,
            attempt=1,
            workflow="mine",
            task=spec.task,
            outcome="ok",
            started_at=1.0,
            ended_at=2.0,
            node="n",
            worker="w1",
        )
    )
    log.close()

"""What one body leaves changed of its process never reaches the next: put back, or another process."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from conductor.adapters.host import cgroup
from conductor.adapters.host.processes import SESSION, kill_session
from tests.child_scene import ChildScene
from tests.worker_scene import is_alive, wait_file, wait_until
from workers.isolation.protocol import BodyEnded, Passed

BODIES = """
import decimal, gc, locale, os, resource, signal, socket, subprocess, sys, tempfile, threading, time
from workers import task

KEPT = []

@task("body.look", lane="cpu")
def look(args, ctx):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return {
        "umask": os.umask(os.umask(0o22)), "cwd": os.getcwd(), "leak": os.environ.get("LEAK"),
        "home": os.environ.get("HOME"), "locale": locale.setlocale(locale.LC_ALL),
        "term": str(signal.getsignal(signal.SIGTERM)),
        "mask": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, ())),
        "alarm": signal.getitimer(signal.ITIMER_REAL)[0], "files": [soft, hard],
        "path": sys.path, "argv": sys.argv,
        "stdout": sys.stdout is sys.__stdout__, "depth": sys.getrecursionlimit(),
        "gc": gc.isenabled(), "digits": decimal.getcontext().prec, "socket": socket.getdefaulttimeout(),
        "tmp": tempfile.gettempdir(), "nice": os.nice(0), "threads": threading.active_count(),
        "streams": [os.fstat(n).st_ino for n in (1, 2)],
    }

@task("body.pid", lane="cpu")
def pid(args, ctx):
    return {"pid": os.getpid()}

@task("body.soil", lane="cpu")
def soil(args, ctx):
    exec(args["code"], globals() | {"ctx": ctx})
    return {"pid": os.getpid()}
"""


@pytest.fixture
def child(tmp_path: Path) -> Iterator[ChildScene]:
    scene = ChildScene(tmp_path, BODIES)
    yield scene
    scene.close()


@pytest.mark.parametrize(
    "code",
    [
        "os.umask(0o777)",
        "os.chdir('/')",
        "gone = tempfile.mkdtemp(); os.chdir(gone); os.rmdir(gone)",
        "os.environ['LEAK'] = 'x'; del os.environ['HOME']",
        "os.environ.clear()",
        "signal.signal(signal.SIGTERM, signal.SIG_IGN); signal.signal(signal.SIGCHLD, signal.SIG_IGN)",
        "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM, signal.SIGALRM])",
        "signal.signal(signal.SIGALRM, lambda *_: None); signal.alarm(3600)",
        "resource.setrlimit(resource.RLIMIT_NOFILE, (64, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))",
        "locale.setlocale(locale.LC_ALL, 'C.UTF-8')",
        "sys.path.insert(0, '/nowhere'); sys.argv[:] = ['x']; sys.setrecursionlimit(99)",
        "sys.stdout = sys.stderr = open(os.devnull, 'w')",
        "fd = os.open(os.devnull, os.O_WRONLY); os.dup2(fd, 1); os.dup2(fd, 2); os.close(fd)",
        "gc.disable(); decimal.getcontext().prec = 3; socket.setdefaulttimeout(0.001)",
        "tempfile.tempdir = '/nowhere'",
    ],
)
def test_what_a_body_changed_is_put_back_in_the_same_process(child: ChildScene, code: str):
    before, pid = child.run("body.look").result, child.run("body.pid").result

    soiled = child.run("body.soil", {"code": code})

    assert (soiled.cause, soiled.unclean) == (None, "")
    assert child.run("body.look").result == before
    assert child.run("body.pid").result == pid


def test_also_of_a_body_that_failed(child: ChildScene):
    before = child.run("body.look").result
    assert (
        child.run("body.soil", {"code": "os.umask(0o777); os.chdir('/'); raise ValueError"}).cause
        == "task_error"
    )
    assert child.run("body.look").result == before


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))", "changed its limits"),
        ("os.nice(5); os.setpriority(os.PRIO_PROCESS, 0, 5); os.setpgid(0, os.getppid()) if 0 else "
         "os.setpgid(0, 0); "
         "os.setresuid(65534, 65534, 65534)", "changed its user or group"),
        ("threading.Thread(target=time.sleep, args=(3600,), name='ticker', daemon=True).start()",
         "left the thread ticker running"),
        ("threading.Thread(target=time.sleep, args=(3600,), "
         "name='deaf').start()", "left the thread deaf running"),
        ("KEPT.append(open(ctx.scratch / 'log', 'w'))", "left the descriptor"),
        ("[os.dup(1) for _ in range(5)]", "left 5 descriptors"),
    ],
)  # fmt: skip
def test_for_what_cannot_be_put_back_the_process_is_replaced(child: ChildScene, code: str, words: str):
    if "setresuid" in code and os.getuid() != 0:
        pytest.skip("only root can become somebody else")
    before, pid = child.run("body.look").result, child.run("body.pid").result

    soiled = child.run("body.soil", {"code": code})

    assert soiled.result == pid and soiled.cause is None, "its own work counts"
    assert words in soiled.unclean
    assert child.run("body.look").result == before
    assert child.run("body.pid").result != pid


def test_what_lies_ready_behind_such_a_body_does_not_begin_in_its_process(child: ChildScene):
    child.host.ensure(())
    child.give("body.soil", {"code": "KEPT.append(open(ctx.scratch / 'log', 'w'))"})
    child.give("body.pid")

    first, second = child.hear(), child.hear()

    assert isinstance(first, BodyEnded) and first.unclean
    assert isinstance(second, Passed)


def test_a_pool_that_nobody_holds_any_more_is_no_reason(child: ChildScene):
    code = (
        "from concurrent.futures import ThreadPoolExecutor\n"
        "pool = ThreadPoolExecutor(2); pool.submit(int).result()\n"
        "a = socket.socketpair(); loop = [a]; loop.append(loop)"
    )
    assert child.run("body.soil", {"code": code}).unclean == ""


def test_what_belongs_to_a_warm_object_stays(child: ChildScene):
    code = (
        "def make():\n"
        "    thread = threading.Thread(target=time.sleep, args=(3600,), daemon=True); thread.start()\n"
        "    return [thread, open(os.devnull), subprocess.Popen(['sleep', '3600'])]\n"
        "model = ctx.warm('model', make)\n"
        "assert model[0].is_alive() and model[2].poll() is None and not model[1].closed"
    )
    first, second = child.run("body.soil", {"code": code}), child.run("body.soil", {"code": code})

    assert (first.cause, first.unclean, first.left_running) == (None, "", ())
    assert second.result == first.result and (second.unclean, second.left_running) == ("", ())


def test_what_a_module_changes_as_it_is_imported_is_no_bodys_doing(child: ChildScene):
    (child.settings.project / "late.py").write_text(
        "import os\nfrom workers import task\nos.environ['LEAK'] = 'of the module'\n"
        "@task('late.look', lane='cpu')\ndef look(args, ctx): return {'leak': os.environ.get('LEAK')}\n"
    )
    # Two modules of bodies: the second is imported when its first body runs.
    scene = ChildScene(child.settings.project, BODIES + "\nfrom late import look as late_look\n")
    try:
        assert [scene.run("body.look").result["leak"] for _ in range(2)] == ["of the module"] * 2
    finally:
        scene.close()


# ── copies
# ────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "end", ["", "raise ValueError", "sys.exit(3)", "ctx.progress(0.5, 'half'); time.sleep(3600)"]
)
def test_a_copy_of_the_process_answers_for_nobody(child: ChildScene, end: str):
    code = f"print('x', end='')\nif os.fork() == 0:\n    {end or 'pass'}\nelse:\n    time.sleep(0.05)"
    for _ in range(3):
        ended = child.run("body.soil", {"code": code})
        assert ended.cause is None
        assert child.run("body.pid").result == ended.result


def test_a_copy_does_not_hold_the_line_open(child: ChildScene):
    """Its original is killed: that is heard at once, and the copy goes too."""
    child.host.ensure(())
    child.give("body.soil", {"code": "os.fork(); open(f'{os.getpid()}.pid', 'w').close(); time.sleep(3600)"})
    folder = child.settings.project
    wait_until(lambda: len(list(folder.glob("*.pid"))) == 2, "both run")
    pids = [int(file.stem) for file in folder.glob("*.pid")]

    os.kill(child.host.pid, signal.SIGKILL)

    with pytest.raises(EOFError):
        child.host.channel.receive(5.0)
    child.host.bury()
    wait_until(lambda: not any(map(is_alive, pids)), "both are gone")


def test_who_starts_a_child_keeps_its_other_children(child: ChildScene):
    """`run_job` in a process of the user's own."""
    with subprocess.Popen(["sleep", "3600"]) as other:
        child.run("body.pid")
        child.host.kill()
        assert other.poll() is None
        other.kill()


def test_what_got_away_from_a_killed_workers_session_carries_its_mark(child: ChildScene):
    child.host.ensure(())
    child.give(
        "body.soil",
        {"code": "subprocess.run(['sh', '-c', 'setsid sleep 3600 & echo $! > got'])\ntime.sleep(3600)"},
    )
    got = int(wait_file(child.settings.project / "got"))
    marked = f"{SESSION}={os.getsid(0)}".encode()
    # Empty for the moment in which it becomes another program.
    environment = Path(f"/proc/{got}/environ")
    wait_until(lambda: marked in environment.read_bytes().split(b"\0"), "it carries the mark")


def test_a_worker_is_ended_before_what_it_watches(monkeypatch: pytest.MonkeyPatch):
    """It would take the end of its child for a failure of the job, and say so in time."""
    ended: list[int] = []
    with subprocess.Popen(["sleep", "3600"], start_new_session=True) as leader:
        monkeypatch.setattr(cgroup, "end_of", lambda worker: ended.append(leader.wait(10)))
        kill_session(leader.pid)
    assert ended == [-signal.SIGKILL]


def test_a_session_is_ended_with_all_that_left_it(tmp_path: Path):
    words = f"export {SESSION}=$$; setsid sleep 3600 & echo $! > {tmp_path}/got; exec sleep 3600"
    with subprocess.Popen(["sh", "-c", words], start_new_session=True) as leader:
        got = int(wait_file(tmp_path / "got"))
        wait_until(lambda: Path(f"/proc/{got}/cmdline").read_bytes().startswith(b"sleep"), "it is away")
        assert os.getsid(got) != leader.pid

        assert kill_session(leader.pid) == 2

    wait_until(lambda: not is_alive(got), "it is gone")


# ── what it leaves running
# ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "code",
    [
        "p = subprocess.Popen(['sleep', '3600']); found = p.pid",
        "p = subprocess.Popen(['sleep', '3600'], start_new_session=True); found = p.pid",
        "words = 'setsid sleep 3600 >/dev/null 2>&1 & echo $!'\n"
        "found = int(subprocess.run(['sh', '-c', words], capture_output=True).stdout)",
        "os.system('setsid sleep 3600 & echo $! > pid'); found = int(open('pid').read())",
        "found = os.fork()\nif not found: os.setsid(); os.execvp('sleep', ['sleep', '3600'])",
    ],
)
def test_what_a_body_left_running_is_ended_with_it_and_named(child: ChildScene, code: str):
    code += "\nimport pathlib\npath = pathlib.Path(f'/proc/{found}/cmdline')\n"
    code += (
        "while not path.read_bytes().startswith(b'sleep'): time.sleep(0.001)\nopen('found', "
        "'w').write(str(found))"
    )
    ended = child.run("body.soil", {"code": code})

    found = int((child.settings.project / "found").read_text())
    assert (ended.cause, ended.unclean) == (None, "")
    assert ended.left_running == (f"sleep 3600 (pid {found})",)
    assert not is_alive(found)
    assert child.run("body.soil", {"code": "subprocess.run(['true'])"}).left_running == ()

"""What parent and child say to each other: nobody waits for the other to listen, and half a line is no
line.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from conductor.model.spec import TaskDecl
from workers.isolation import protocol
from workers.isolation.protocol import (
    BodyEnded,
    BodyProgress,
    Channel,
    Garbled,
    Run,
    ToChild,
    ToParent,
)

#: Larger than any socket's buffer.
LARGE = "x" * 2_000_000
DECL = TaskDecl(name="mine.write", lane="cpu", module="mine", function="write")


@pytest.fixture
def ends() -> Iterator[tuple[Channel, Channel]]:
    """(the parent's, the child's)"""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield Channel(ours, ToParent), Channel(theirs, ToChild)


def a_run(attempt: int, line: str = "") -> Run:
    return Run(line=line, decl=DECL, job_id="job00001", attempt=attempt)


def an_end(attempt: int, text: str = "") -> BodyEnded:
    return BodyEnded(job_id="job00001", attempt=attempt, result={"text": text})


def progress(fraction: float) -> BodyProgress:
    return BodyProgress(job_id="job00001", attempt=1, fraction=fraction)


def test_two_that_have_much_to_say_to_each_other_do_not_wait_for_each_other(ends: tuple[Channel, Channel]):
    parent, child = ends
    parent.send(a_run(2, LARGE))
    child.send(an_end(1, LARGE))
    assert parent.has_unsent and child.has_unsent

    said = threading.Thread(target=child.settle, daemon=True)
    said.start()

    heard = parent.receive(20)
    assert isinstance(heard, BodyEnded) and heard.result == {"text": LARGE}
    given: list[object] = []
    taker = threading.Thread(target=lambda: given.append(child.receive(20)), daemon=True)
    said.join(20)
    taker.start()
    while parent.has_unsent:
        parent.flush()
    taker.join(20)
    assert [run.line for run in given if isinstance(run, Run)] == [LARGE]


def test_half_a_line_is_waited_for_no_longer_than_its_limit(
    ends: tuple[Channel, Channel], monkeypatch: pytest.MonkeyPatch
):
    parent, child = ends
    send_raw(child, b'{"say":"progress","fra')
    assert parent.receive(0.01) is None
    assert parent.fill() is False and parent.next() is None

    monkeypatch.setattr(protocol, "HALF_LINE_S", 0.0)
    with pytest.raises(Garbled, match="half a line"):
        parent.receive(20)


def test_half_a_line_to_a_child_that_else_waits_for_ever_has_a_limit_too(
    ends: tuple[Channel, Channel], monkeypatch: pytest.MonkeyPatch
):
    parent, child = ends
    monkeypatch.setattr(protocol, "HALF_LINE_S", 0.05)
    send_raw(parent, b'{"say":"run"')
    with pytest.raises(Garbled, match="half a line"):
        child.receive()


def test_what_is_not_worth_a_wait_is_said_whole_or_not_at_all(ends: tuple[Channel, Channel]):
    parent, child = ends
    for n in range(20_000):
        child.offer(progress(n / 20_000))
    child.send(an_end(1))
    done = threading.Thread(target=child.settle, daemon=True)
    done.start()

    heard = [parent.receive(20)]
    while not isinstance(heard[-1], BodyEnded):
        heard.append(parent.receive(20))
    assert len(heard) < 20_000
    assert all(isinstance(word, BodyProgress) for word in heard[:-1])


def test_words_of_several_threads_do_not_mix(ends: tuple[Channel, Channel]):
    parent, child = ends

    def talk() -> None:
        for n in range(500):
            child.offer(progress(n / 500))

    threads = [threading.Thread(target=talk, daemon=True) for _ in range(4)]
    for thread in threads:
        thread.start()
    for n in range(50):
        child.send(an_end(n, "y" * 5000))
        child.settle() if n % 10 == 9 and not child.has_unsent else None
    heard = 0
    while heard < 50:
        child.flush()
        heard += isinstance(parent.receive(20), BodyEnded)
    for thread in threads:
        thread.join(20)


def test_what_was_said_before_the_end_is_heard_after_it(ends: tuple[Channel, Channel]):
    parent, child = ends
    parent.send(a_run(3))  # Never read: the kernel tells the parent of it, behind what was said.
    child.send(an_end(1))
    child.send(an_end(2))
    send_raw(child, b'{"say":"end')
    child.close()

    assert [word.attempt for word in parent.last_words() if isinstance(word, BodyEnded)] == [1, 2]
    with pytest.raises(EOFError):
        parent.fill()


def send_raw(channel: Channel, data: bytes) -> None:
    with socket.socket(fileno=socket.dup(channel.fileno())) as sock:
        sock.sendall(data)

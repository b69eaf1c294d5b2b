"""The log: lines for people that cannot be forged, and one flat JSON object a line."""

import io
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from loguru import logger

from conductor.base.logs import logs


class LogTerminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def quiet_again() -> Iterator[None]:
    yield
    logger.remove()
    logger.add(sys.stderr)


def lines_of(file: Path | None) -> list[dict[str, object]]:
    assert file is not None
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def test_a_newline_in_a_name_forges_no_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    file = logs.set_up(tmp_path, "conduct")

    logger.bind(event="fed", job="a\nb").info("Fed gpu: {}", "clip\n12:00:00 Fed cloud \x1b[31m{x}")

    shown = capsys.readouterr().err
    assert shown.count("\n") == 1
    assert shown.endswith(" Fed gpu: clip\\n12:00:00 Fed cloud \\x1b[31m{x}\n")
    (line,) = lines_of(file)
    assert (line["event"], line["job"], line["level"]) == ("fed", "a\nb", "info")
    assert line["message"] == "Fed gpu: clip\n12:00:00 Fed cloud \x1b[31m{x}"


def test_a_bound_field_never_replaces_a_field_of_the_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    file = logs.set_up(tmp_path, "conduct")

    logger.bind(level="shout", time="never", path=tmp_path).warning("careful")

    (line,) = lines_of(file)
    assert (line["level"], line["message"], line["path"]) == ("warning", "careful", str(tmp_path))
    assert line["time"] != "never"
    assert " warning: careful" in capsys.readouterr().err


def test_what_orjson_refuses_is_written_all_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    file = logs.set_up(tmp_path, "conduct")

    logger.bind(bytes=2**70).info("a name that is not UTF-8: {}", "\udcff.mp4")

    (line,) = lines_of(file)
    assert line["bytes"] == 2**70


def test_the_trace_goes_to_the_file_and_not_to_the_person(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    file = logs.set_up(tmp_path, "conduct")

    try:
        raise ValueError("broken")
    except ValueError:
        logger.exception("It broke")

    (line,) = lines_of(file)
    assert "Traceback" in str(line["exception"])
    assert "Traceback" not in capsys.readouterr().err


def test_a_folder_that_cannot_be_written_is_said_and_not_fatal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "logs").write_text("a file")

    assert logs.set_up(tmp_path / "logs", "conduct") is None
    logger.info("goes on")

    shown = capsys.readouterr().err
    assert "No log file" in shown
    assert "goes on" in shown


def test_colour_is_for_terminals_that_want_it():
    assert logs.is_coloured(LogTerminal(), {"TERM": "xterm"})
    assert not logs.is_coloured(io.StringIO(), {"TERM": "xterm"})
    assert not logs.is_coloured(LogTerminal(), {"TERM": "xterm", "NO_COLOR": "1"})
    assert not logs.is_coloured(LogTerminal(), {"TERM": "dumb"})
    assert logs.is_coloured(LogTerminal(), {"NO_COLOR": ""})


def test_on_a_terminal_what_starts_what_ends_and_what_is_wrong_are_told_apart_and_nothing_else_changes():
    told = {
        "18:04:05 Fed gpu media.cut · clip7.mp4 (k3v7abcd) → node1/gpu0": logs.CYAN,
        "18:04:05 Done: media.cut · clip7.mp4 (k3v7abcd) in 3.21 s": logs.GREEN,
        "18:04:05 Held gpu: paused": logs.YELLOW,
        "18:04:05 warning: Failed: media.cut": logs.YELLOW,
        "18:04:05 error: it is gone": logs.RED,
    }
    for line, colour in told.items():
        shown = logs.tinted(line)
        assert colour in shown and shown != line
        assert re.sub(r"\x1b\[\d+m", "", shown) == line
    assert logs.tinted("Traceback (most recent call last):") == "Traceback (most recent call last):"
    assert logs.CYAN not in logs.tinted("18:04:05 Up; page: http://127.0.0.1:9280/")


def test_a_closed_stderr_does_not_stop_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    file = logs.set_up(tmp_path, "conduct")
    stream.close()

    logger.info("still here")

    assert [line["message"] for line in lines_of(file)] == ["still here"]

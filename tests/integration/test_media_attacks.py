"""Malicious media: files and names that make ffmpeg call a server or read other files. Real ffmpeg, a real
server.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import media
import pytest
from task_bench import Bench

from conductor.base.errors import BadInput, JobError
from workers.media import ffmpeg
from workers.tasks import media_assemble, media_cut, media_preview, media_probe, media_transcode

SMALL = {"width": 160, "height": 90, "fps": 25}
TASKS: dict[str, tuple[Any, dict[str, Any], list[str]]] = {
    "probe": (media_probe.run, {}, ["scratch:facts.json"]),
    "cut": (media_cut.run, {**SMALL, "start_s": 0, "duration_s": 1}, ["scratch:cut.mp4"]),
    "transcode": (media_transcode.run, {}, ["scratch:out.mp4"]),
    "preview": (media_preview.run, {}, ["scratch:poster.jpg", "scratch:clip.mp4"]),
    "assemble": (media_assemble.run, {}, ["scratch:reel.mp4"]),
}


class Server:
    """On loopback; remembers what was asked of it, and answers with a real clip."""

    def __init__(self, body: bytes) -> None:
        self.hits: list[str] = []
        server = self

        class AttackListener(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.hits.append(self.path)
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                return

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), AttackListener)
        self.address = f"http://127.0.0.1:{self.http.server_port}"
        Thread(target=self.http.serve_forever, daemon=True).start()


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return media.clip(tmp_path_factory.mktemp("clips") / "clip.mp4", seconds=1.0)


@pytest.fixture
def server(clip: Path) -> Iterator[Server]:
    server = Server(clip.read_bytes())
    yield server
    server.http.shutdown()
    server.http.server_close()


@pytest.fixture
def bench(tmp_path: Path, clip: Path) -> Bench:
    bench = Bench(tmp_path)
    (bench.inputs / "secret.mp4").write_bytes(clip.read_bytes())
    return bench


def evil_files(server: Server, secret: Path) -> dict[str, str]:
    """File name → content."""
    hls = "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{}\n#EXT-X-ENDLIST\n"
    return {
        "hls-http.m3u8": hls.format(f"{server.address}/hls.ts"),
        "hls-file.m3u8": hls.format(f"file://{secret}"),
        "hls-concat.m3u8": hls.format(f"concat:{secret}|{server.address}/x"),
        "list-file.ffconcat": f"ffconcat version 1.0\nfile '{secret.name}'\n",
        "list-http.ffconcat": f"ffconcat version 1.0\nfile '{server.address}/concat.mp4'\n",
        "live.sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 15004 "
        "RTP/AVP 96\n"
        "a=rtpmap:96 H264/90000\n",
        "dash.mpd": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
        'mediaPresentationDuration="PT1S" minBufferTime="PT1S"><Period><AdaptationSet mimeType="video/mp4">'
        f'<Representation id="1" bandwidth="1"><BaseURL>{server.address}/dash.mp4</BaseURL><SegmentBase/>'
        "</Representation></AdaptationSet></Period></MPD>",
        "pictures.svg": '<svg xmlns="http://www.w3.org/2000/svg"><image '
        f'href="{server.address}/i.png"/></svg>',
        "script.avs": f'Import("{secret}")\n',
        "tones.txt": f"movie={secret}[out0]",
    }


NAMES = [
    *("hls-http.m3u8", "hls-file.m3u8", "hls-concat.m3u8", "list-file.ffconcat", "list-http.ffconcat"),
    *("live.sdp", "dash.mpd", "pictures.svg", "script.avs", "tones.txt"),
]


def stock(server: Server, *source: str) -> bool:
    """What ffmpeg does with it when nobody holds it back: did it decode something, or call the server?"""
    argv = [ffmpeg.binary(), "-nostdin", "-loglevel", "error", *source, "-t", "0.2", "-f", "null", "-"]
    done = subprocess.run(argv, capture_output=True, timeout=30, check=False)
    return done.returncode == 0 or bool(server.hits)


def test_ffmpeg_obeys_names_and_lists_when_nobody_holds_it_back(bench: Bench, server: Server):
    """The controls."""
    secret = bench.inputs / "secret.mp4"
    for name, content in evil_files(server, secret).items():
        (bench.inputs / name).write_text(content)
    frame = bench.inputs / "f%03d.jpg"
    argv = [
        ffmpeg.binary(),
        "-nostdin",
        "-loglevel",
        "error",
        "-i",
        str(secret),
        "-frames:v",
        "2",
        str(frame),
    ]
    subprocess.run(argv, check=True)
    assert stock(server, "-i", f"{server.address}/direct.mp4") and "/direct.mp4" in server.hits
    server.hits.clear()
    assert stock(server, "-i", f"concat:{secret}|{secret}")
    assert stock(server, "-i", f"subfile,,start,0,end,{secret.stat().st_size},,:{secret}")
    assert stock(server, "-i", str(frame)), "%03d is a pattern"
    assert stock(server, "-i", str(bench.inputs / "list-file.ffconcat")), "a list names other files"
    assert stock(server, "-protocol_whitelist", "file,http,tcp", "-i", str(bench.inputs / "hls-http.m3u8"))
    assert "/hls.ts" in server.hits


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("is_disguised", [True, False], ids=["as .mp4", "as it is"])
def test_a_file_that_names_other_files_is_refused(
    bench: Bench, server: Server, name: str, is_disguised: bool
):
    source = bench.inputs / (f"{name}.mp4" if is_disguised else name)
    source.write_text(evil_files(server, bench.inputs / "secret.mp4")[name])

    with pytest.raises(BadInput):
        bench.run(media_probe.run, {}, reads=[source], writes=["scratch:facts.json"])
    assert server.hits == []


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("name", ["list-file.ffconcat", "hls-http.m3u8"])
def test_every_task_refuses_it(bench: Bench, server: Server, task: str, name: str):
    source = bench.inputs / name
    source.write_text(evil_files(server, bench.inputs / "secret.mp4")[name])
    body, args, writes = TASKS[task]

    with pytest.raises(BadInput):
        bench.run(body, args, reads=[source], writes=writes)
    assert server.hits == []


def test_ffmpeg_itself_is_held_back_should_the_probe_ever_let_one_through(bench: Bench, server: Server):
    for name, content in evil_files(server, bench.inputs / "secret.mp4").items():
        source = bench.inputs / name
        source.write_text(content)
        job = ffmpeg.sink([ffmpeg.source(source)], bench.inputs / "out.mp4", "mp4", t=0.2)
        argv = [ffmpeg.binary(), "-nostdin", "-loglevel", "error", *ffmpeg.arguments(job)]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=30, check=False)
        assert done.returncode != 0, name
    assert server.hits == []


@pytest.mark.parametrize("task", TASKS)
def test_an_address_is_never_a_path(bench: Bench, server: Server, task: str):
    body, args, writes = TASKS[task]
    secret = bench.inputs / "secret.mp4"
    for name in (
        *(
            f"{server.address}/x.mp4",
            f"concat:{secret}|{secret}",
            f"subfile,,start,0,end,0,,:{secret}",
            "pipe:0",
        ),
        *(
            f"file:{secret}",
            "data:video/mp4;base64,AAAA",
            f"async:{server.address}/x",
            "tcp://127.0.0.1:1",
            "-i",
        ),
    ):
        with pytest.raises(JobError):
            bench.run(body, args, reads=[name], writes=writes)
    assert server.hits == []


@pytest.mark.parametrize(
    "name", ["f%03d.mp4", "a|b.mp4", "concat:x.mp4", "subfile,,start,0,end,0,,:x.mp4", "-y.mp4"]
)
def test_a_name_that_ffmpeg_would_obey_is_only_a_name(bench: Bench, clip: Path, name: str):
    source = bench.inputs / name
    source.write_bytes(clip.read_bytes())
    made = bench.run(media_cut.run, TASKS["cut"][1], reads=[source], writes=["scratch:o%03d.mp4"])
    assert made and bench.made("scratch:o%03d.mp4").exists()


def test_a_name_in_the_list_of_an_assembly_is_only_a_name(bench: Bench, clip: Path):
    """The list is a small language of its own: quotes, line breaks and directives in it."""
    reads = [
        bench.inputs / name for name in ("it's.mp4", "a\nfile 'secret.mp4'\n.mp4", "b\\'c.mp4", "# d.mp4")
    ]
    for read in reads:
        read.write_bytes(clip.read_bytes())
    made = bench.run(media_assemble.run, {}, reads=reads, writes=["scratch:reel.mp4"])
    assert made["segments"] == 4 and made["duration_s"] == pytest.approx(4.0, abs=0.3)

"""A primary and a Sentinel that speak TLS to clients that show a certificate, and to no others: real servers,
before which a gate ends TLS, for the server that the project brings knows none."""

from __future__ import annotations

import os
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from redis import Redis
from redis.exceptions import RedisError

from conductor.adapters.host.processes import TIED
from conductor.adapters.redis.valkey_binary import find_binary
from tests.free_ports import a_free_port
from tests.hosts import certificates
from tests.sentinel_scene import SERVICE, until

#: The servers listen on the first; what the Sentinel tells of, and what clients are told, is the second.
SERVERS, GATES = "127.0.0.1", "127.0.0.2"


class CertificateGate(threading.Thread):
    """Who speaks TLS shows a certificate; what does not is the Sentinel, and passes."""

    def __init__(self, port: int, tls: ssl.SSLContext) -> None:
        super().__init__(daemon=True)
        self._port, self._tls = port, tls
        self._ends = list[socket.socket]()
        self._listener = socket.create_server((GATES, port))
        self.start()

    def run(self) -> None:
        with suppress(OSError):
            while True:
                end, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(end,), daemon=True).start()

    def _serve(self, end: socket.socket) -> None:
        self._ends.append(end)
        is_tls = end.recv(1, socket.MSG_PEEK) == b"\x16"
        try:
            client = self._tls.wrap_socket(end, server_side=True) if is_tls else end
        except ssl.SSLError:
            # Not closed before the client has read why.
            with suppress(OSError):
                while end.recv(4096):
                    pass
            return
        server = socket.create_connection((SERVERS, self._port))
        self._ends += [client, server]
        threading.Thread(target=_carry, args=(server, client), daemon=True).start()
        _carry(client, server)

    def close(self) -> None:
        for end in (self._listener, *self._ends):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()


def _carry(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(1 << 16):
            target.sendall(data)
    for end in (source, target):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


@contextmanager
def servers_that_want_certificates(folder: Path) -> Generator[tuple[str, Path]]:
    """The address, without its query, and the folder of `ca.crt`, `redis.crt` and `redis.key`: the server's
    certificate, which is good for a client, too."""
    authority, certificate, key = certificates.make(folder / "certificates", GATES)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(authority))
    tls.load_cert_chain(certificate, key)
    tls.verify_mode = ssl.CERT_REQUIRED
    primary, sentinel = a_free_port(), a_free_port()
    with ExitStack() as stack:
        for port in (primary, sentinel):
            stack.callback(CertificateGate(port, tls).close)
        _start(stack, folder / "primary", primary, ["appendonly yes", 'save ""'])
        watched = (f"sentinel monitor {SERVICE} {GATES} {primary} 1",)
        _start(stack, folder / "sentinel", sentinel, watched, "--sentinel")
        yield f"rediss+sentinel://{GATES}:{sentinel}/{SERVICE}/0", authority.parent


def _start(stack: ExitStack, home: Path, port: int, lines: Sequence[str], *words: str) -> None:
    home.mkdir(mode=0o700)
    file = home / "conf"
    file.write_text("\n".join((f"port {port}", f"bind {SERVERS}", f"dir {home}", *lines, "")))
    argv = [sys.executable, "-I", "-S", str(TIED), str(os.getpid()), str(find_binary()), str(file), *words]
    server = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    stack.callback(server.wait)
    stack.callback(server.kill)
    until(lambda: _answers(port), f"{port} answers")


def _answers(port: int) -> bool:
    with suppress(RedisError), Redis(SERVERS, port, protocol=2) as client:
        return bool(client.ping())
    return False

"""A real SMTP server on loopback that keeps the mails it is sent (RFC 5321, as much of it as a client uses),
with AUTH PLAIN and LOGIN where it is given a password."""

from __future__ import annotations

import asyncio
import base64
import email
import email.policy
import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from email.message import EmailMessage
from typing import NamedTuple, cast


class Mail(NamedTuple):
    """As it went over the wire: who sent it to whom, and what they read."""

    sender: str
    recipients: tuple[str, ...]
    message: EmailMessage

    @property
    def subject(self) -> str:
        return str(self.message["subject"])

    @property
    def text(self) -> str:
        part = self.message.get_body(("plain", "html"))
        return "" if part is None else str(part.get_content())


class SmtpServer:
    """`refuses`: words with which it turns each mail away; empty: it takes them."""

    def __init__(self, password: str = "") -> None:
        self.password = password
        self.refuses = ""
        self.port = 0
        self.mails: queue.Queue[Mail] = queue.Queue()

    def next(self, limit_s: float = 20.0) -> Mail:
        return self.mails.get(timeout=limit_s)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await Session(self, reader, writer).run()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # its client is gone
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()


class Session:
    def __init__(
        self, server: SmtpServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.server = server
        self.reader = reader
        self.writer = writer
        self.is_known = not server.password
        self.sender = ""
        self.recipients: list[str] = []

    async def run(self) -> None:
        await self.say("220 loopback ready")
        while line := (await self.reader.readline()).decode().strip():
            word, _, rest = line.partition(" ")
            if word.upper() == "QUIT":
                await self.say("221 bye")
                return
            await self.answer(word.upper(), rest)

    async def answer(self, word: str, rest: str) -> None:
        if word == "EHLO":
            more = ["250 AUTH PLAIN LOGIN"] if self.server.password else []
            await self.say("250-loopback" if more else "250 loopback", *more)
        elif word == "AUTH":
            await self.authenticate(rest)
        elif not self.is_known and word in ("MAIL", "RCPT", "DATA"):
            await self.say("530 authentication required")
        elif word == "MAIL":
            self.sender, self.recipients = _address(rest), []
            await self.say(f"550 {self.server.refuses}" if self.server.refuses else "250 ok")
        elif word == "RCPT":
            self.recipients.append(_address(rest))
            await self.say("250 ok")
        elif word == "DATA":
            await self.take()
        else:
            await self.say("250 ok")

    async def authenticate(self, rest: str) -> None:
        kind, _, told = rest.partition(" ")
        if kind.upper() == "PLAIN":
            said = base64.b64decode(told).split(b"\0")[-1]
        else:
            if not told:
                await self.asked("VXNlcm5hbWU6")
            said = base64.b64decode(await self.asked("UGFzc3dvcmQ6"))
        self.is_known = said.decode() == self.server.password
        await self.say("235 welcome" if self.is_known else "535 the password is wrong")

    async def asked(self, word: str) -> bytes:
        await self.say(f"334 {word}")
        return (await self.reader.readline()).strip()

    async def take(self) -> None:
        await self.say("354 go on")
        body = await self.reader.readuntil(b"\r\n.\r\n")
        text = body[:-5].replace(b"\r\n..", b"\r\n.")
        message = cast("EmailMessage", email.message_from_bytes(text, policy=email.policy.default))
        self.server.mails.put(Mail(self.sender, tuple(self.recipients), message))
        await self.say("250 taken")

    async def say(self, *lines: str) -> None:
        self.writer.write("".join(f"{line}\r\n" for line in lines).encode())
        await self.writer.drain()


def _address(rest: str) -> str:
    return rest.partition("<")[2].partition(">")[0]


@contextmanager
def smtp(password: str = "") -> Iterator[SmtpServer]:
    server, is_up = SmtpServer(password), threading.Event()
    running: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    async def run() -> None:
        over = asyncio.Event()
        listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
        server.port = listening.sockets[0].getsockname()[1]
        running.append((asyncio.get_running_loop(), over))
        is_up.set()
        async with listening:
            await over.wait()

    thread = threading.Thread(target=asyncio.run, args=(run(),), daemon=True)
    thread.start()
    assert is_up.wait(20)
    try:
        yield server
    finally:
        loop, over = running[0]
        loop.call_soon_threadsafe(over.set)
        thread.join(20)

"""The way to Redis: TLS ends here, and a network that is neither quick nor sound is played where the kernel
cannot.

`python gate.py ADDRESS PORT CERTIFICATE KEY SOCKET DELAY_S LOSS SEED`: in the network of the switch; a
process of its own, so that what the test does meanwhile slows nobody. A word on its standard input ends it.
"""

from __future__ import annotations

import asyncio
import os
import random
import ssl
import sys
from contextlib import suppress

#: What a lost packet costs the stream behind it: the kernel's shortest wait before it is sent again.
AGAIN_S = 0.2
#: Of so many lost ones one ends the connection.
RESET_ONE_IN = 50


async def main(words: list[str]) -> None:
    address, port, certificate, key, socket, delay_s, loss, seed = words
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    gate = Gate(socket, float(delay_s), float(loss), random.Random(int(seed)))
    server = await asyncio.start_server(gate.serve, address, int(port), ssl=context)
    sys.stdout.write("listening\n")
    sys.stdout.flush()
    async with server:
        await asyncio.to_thread(sys.stdin.readline)
        os._exit(0)  # A server that closes in order waits for its clients, and some of them are cut off.


class Gate:
    def __init__(self, socket: str, delay_s: float, loss: float, draw: random.Random) -> None:
        self._socket, self._delay_s, self._loss, self._draw = socket, delay_s, loss, draw

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection of a host, until either side has ended it."""
        try:
            inner, outer = await asyncio.open_unix_connection(self._socket)
        except OSError:
            writer.close()
            return
        ways = [
            asyncio.create_task(self._carry(reader, outer, self._delay_s)),
            asyncio.create_task(self._carry(inner, writer, 0.0)),
        ]
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for way in ways:
            way.cancel()
        for end in (writer, outer):
            end.transport.abort()

    async def _carry(
        self, source: asyncio.StreamReader, target: asyncio.StreamWriter, delay_s: float
    ) -> None:
        """In order, each piece so much later; a lost one holds up those behind it."""
        loop, due_at = asyncio.get_running_loop(), 0.0
        pieces: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
        sending = asyncio.create_task(_send(pieces, target))
        try:
            while piece := await source.read(1 << 16):
                at = loop.time() + delay_s
                if self._draw.random() < self._loss:
                    if self._draw.randrange(RESET_ONE_IN) == 0:
                        return
                    at += AGAIN_S
                due_at = max(due_at, at)
                pieces.put_nowait((due_at, piece))
        except OSError:
            return
        finally:
            sending.cancel()


async def _send(pieces: asyncio.Queue[tuple[float, bytes]], target: asyncio.StreamWriter) -> None:
    loop = asyncio.get_running_loop()
    with suppress(OSError):
        while True:
            due_at, piece = await pieces.get()
            if (left_s := due_at - loop.time()) > 0:
                await asyncio.sleep(left_s)
            target.write(piece)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))

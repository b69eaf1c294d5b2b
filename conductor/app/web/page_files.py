"""The page's own files, as they were when this process began: read once, served from memory. The page names
them below the hash of them all, so that a browser keeps what it has for as long as they are these.
"""

from __future__ import annotations

import gzip
import re
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from fastapi import Response

#: What is served of the folder, by the ending of the name.
KINDS = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".webmanifest": "application/manifest+json",
}
INDEX = "index.html"
#: Below the hash nothing ever changes; by its plain name a file is asked for again each time.
KEPT = {"Cache-Control": "public, max-age=31536000, immutable"}
ASKED_AGAIN = {"Cache-Control": "no-cache"}
_PLACE = re.compile(rb'(?<=["\'])/static/')


class PageFile(NamedTuple):
    content: bytes
    packed: bytes
    kind: str


class PageFiles:
    def __init__(self, folder: Path) -> None:
        found = {
            str(file.relative_to(folder)): file
            for file in sorted(folder.rglob("*"))
            if file.suffix in KINDS and file.is_file()
        }
        contents = {name: file.read_bytes() for name, file in found.items()}
        whole = sha256()
        for name, content in contents.items():
            whole.update(f"{name}\0{len(content)}\0".encode() + content)
        self.version = whole.hexdigest()[:16]
        contents[INDEX] = self._with_places(contents[INDEX], contents)
        self._files = {
            name: PageFile(content, gzip.compress(content, mtime=0), KINDS[found[name].suffix])
            for name, content in contents.items()
        }

    def _with_places(self, index: bytes, names: dict[str, bytes]) -> bytes:
        """Its files by where they are kept; the modules all at once, and not as one after another asks for
        them."""
        modules = (name for name in names if name.endswith(".js"))
        ahead = "".join(
            f'  <link rel="modulepreload" fetchpriority="low" href="/static/{name}">\n' for name in modules
        )
        return _PLACE.sub(
            f"/static/{self.version}/".encode(), index.replace(b"</head>", ahead.encode() + b"</head>")
        )

    def answer(self, name: str, accepts: str = "") -> Response | None:
        """`name`: below the folder, or below the hash; `accepts`: the header Accept-Encoding. None: there is
        no such file. What is no name of them is none, whatever it would lead to."""
        version, _, below = name.partition("/")
        is_kept = version == self.version
        file = self._files.get(below if is_kept else name)
        if file is None:
            return None
        headers = dict(KEPT if is_kept else ASKED_AGAIN) | {"Vary": "Accept-Encoding"}
        if "gzip" not in accepts:
            return Response(file.content, 200, headers, file.kind)
        return Response(file.packed, 200, {**headers, "Content-Encoding": "gzip"}, file.kind)

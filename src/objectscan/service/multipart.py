"""A multipart/form-data body, part by part, as it arrives: nothing is spooled, nothing waits for the end.

async for part in read_parts(body, boundary, limits):
    part.filename is None: await part.text()
    else: async for chunk in part.chunks(): ...
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass

from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header

from objectscan.errors import BadRequest, RequestTooLarge, UnsupportedType

_BATCH_BYTES = 1 << 20
"""Bytes are handed on in pieces of so much: the network brings 64 kB at a time."""
_MOST_TEXT_BYTES = 65_536
_MOST_TEXTS = 100


@dataclass(frozen=True, slots=True)
class PartLimits:
    """What one body may hold."""

    max_bytes: int
    max_files: int


def boundary_of(content_type: str) -> bytes:
    """What separates the parts.

    Raises:
        UnsupportedType: The body is of another kind.
        BadRequest: The header names no boundary.
    """
    try:
        kind, options = parse_options_header(content_type)
    except (UnicodeError, ValueError) as problem:
        raise BadRequest("The content type can't be read.") from problem
    if kind != b"multipart/form-data":
        raise UnsupportedType(
            f"The body is {content_type[:80] or 'of no stated kind'!r}.",
            hint="Send multipart/form-data or application/json.",
        )
    boundary = options.get(b"boundary", b"")
    if not 0 < len(boundary) <= 200:
        raise BadRequest("The content type has no usable boundary.", hint="Let your HTTP library make it.")
    return boundary


class Part:
    """One field. Its bytes must be taken before the next part."""

    def __init__(self, name: str, filename: str | None, source: _Source):
        """Made by `read_parts`."""
        self.name, self.filename = name, filename
        self._source = source

    async def chunks(self) -> AsyncIterator[bytes]:
        """Its bytes, about 1 MB at a time."""
        held = bytearray()
        async for data in self._source.data():
            held += data
            if len(held) >= _BATCH_BYTES:
                yield bytes(held)
                held.clear()
        if held:
            yield bytes(held)

    async def text(self) -> str:
        """Its bytes as UTF-8.

        Raises:
            RequestTooLarge: More than 64 kB.
            BadRequest: Not UTF-8.
        """
        held = bytearray()
        async for data in self._source.data():
            held += data
            if len(held) > _MOST_TEXT_BYTES:
                raise RequestTooLarge(
                    f"The field '{self.name[:40]}' has more than {_MOST_TEXT_BYTES} bytes.",
                    hint="Send files with a file name.",
                )
        try:
            return held.decode("utf-8")
        except UnicodeDecodeError as problem:
            raise BadRequest(f"The field '{self.name[:40]}' is not UTF-8.") from problem


async def read_parts(body: AsyncIterator[bytes], boundary: bytes, limits: PartLimits) -> AsyncGenerator[Part]:
    """The parts of a body in order.

    Args:
        body: As it comes from the network.
        boundary: See `boundary_of`.
        limits: Checked before anything is handed on.

    Raises:
        BadRequest: The body is broken, or ends early.
        RequestTooLarge: It has too many bytes, files or fields.
    """
    source = _Source(body, boundary, limits.max_bytes)
    files = texts = 0
    while True:
        part = await source.next_part()
        if part is None:
            return
        files += part.filename is not None
        texts += part.filename is None
        if files > limits.max_files or texts > _MOST_TEXTS:
            raise RequestTooLarge(
                f"The request has more than {limits.max_files} files or {_MOST_TEXTS} fields.",
                hint="Send fewer files, or a zip.", details={"max_files": limits.max_files},
            )  # fmt: skip
        yield part
        async for _ in source.data():  # what its reader left
            pass


class _Source:
    """Feeds the parser and keeps what it found until it is asked for."""

    def __init__(self, body: AsyncIterator[bytes], boundary: bytes, max_bytes: int):
        self._body, self._left, self._most = body, max_bytes, max_bytes
        self._found: deque[tuple[str, bytes | Part]] = deque()
        self._headers: dict[bytes, bytes] = {}
        self._header, self._value = bytearray(), bytearray()
        self._is_over = False
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._headers.clear,
                "on_header_begin": self._begin_header,
                "on_header_field": lambda data, start, end: self._header.extend(data[start:end]),
                "on_header_value": lambda data, start, end: self._value.extend(data[start:end]),
                "on_header_end": self._end_header,
                "on_headers_finished": self._begin_part,
                "on_part_data": lambda data, start, end: self._found.append(("data", data[start:end])),
                "on_part_end": lambda: self._found.append(("end", b"")),
                "on_end": self._end,
            },
        )

    async def next_part(self) -> Part | None:
        while True:
            while self._found:
                _, what = self._found.popleft()
                if isinstance(what, Part):
                    return what
            if self._is_over:
                return None
            await self._feed()

    async def data(self) -> AsyncIterator[bytes]:
        """Bytes of the part that is at hand, up to its end."""
        while True:
            while self._found:
                if isinstance(self._found[0][1], Part):
                    return
                kind, what = self._found.popleft()
                if kind == "end":
                    self._found.appendleft(("end", b""))  # asked again, it is still over
                    return
                assert isinstance(what, bytes)
                yield what
            await self._feed()

    async def _feed(self) -> None:
        try:
            chunk = await anext(self._body)
        except StopAsyncIteration:
            raise BadRequest("The body ends early.", hint="Send it again, whole.") from None
        self._left -= len(chunk)
        if self._left < 0:
            raise RequestTooLarge(
                f"The request has more than {self._most} bytes.",
                hint="Send fewer or smaller photos, or use the resumable upload.",
                details={"max_request_bytes": self._most},
            )
        try:
            if chunk and not self._is_over:
                self._parser.write(chunk)
        except MultipartParseError as problem:
            raise BadRequest(f"The multipart body can't be read: {problem}.") from problem

    def _begin_header(self) -> None:
        self._header.clear()
        self._value.clear()

    def _end_header(self) -> None:
        self._headers[bytes(self._header).lower()] = bytes(self._value)

    def _begin_part(self) -> None:
        stated = self._headers.get(b"content-disposition", b"").decode("utf-8", "replace")
        name, filename = _names(stated)
        self._found.append(("part", Part(name, filename, self)))

    def _end(self) -> None:
        self._is_over = True


def _names(disposition: str) -> tuple[str, str | None]:
    """(field, file name or None) of a Content-Disposition. Both are kept as text only, never as a path."""
    try:
        # The library reads Latin-1; names are UTF-8 (RFC 7578, 5.1).
        kind, options = parse_options_header(disposition.encode("utf-8").decode("latin-1"))
    except (UnicodeError, ValueError, IndexError) as problem:
        raise BadRequest("A part's Content-Disposition can't be read.") from problem
    if kind != b"form-data" or b"name" not in options:
        raise BadRequest(
            "A part has no name.", hint="Each part needs Content-Disposition: form-data; name=..."
        )
    filename = options.get(b"filename")
    return options[b"name"].decode("utf-8", "replace"), (
        None if filename is None else filename.decode("utf-8", "replace")
    )

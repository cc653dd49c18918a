"""The bytes of a file of rows, however it is packed and encoded: as UTF-8, in bounded memory."""

import codecs
import gzip
import io
import zlib
from collections.abc import Iterator
from typing import BinaryIO, Final, Protocol

GZIP_MAGIC: Final = b"\x1f\x8b"
BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
READ_BYTES: Final = 64 * 1024
UNPACKED_BYTES_MAXIMUM: Final = 20 * 2**30


class Source(Protocol):
    """What bytes are read from."""

    def read(self, size: int, /) -> bytes:
        """So many bytes, or fewer; none at the end."""


class Unreadable(Exception):
    """The file cannot be read further. `code` is one of the documented ones, `rule` says what it breaks.

    `row` is the row's number as a spreadsheet shows it, where one is to blame.
    """

    def __init__(self, code: str, rule: str, row: int | None = None) -> None:
        super().__init__(rule)
        self.code = code
        self.rule = rule
        self.row = row


def utf8_stream(
    stream: BinaryIO, encoding: str = "utf-8", unpacked_bytes_maximum: int = UNPACKED_BYTES_MAXIMUM
) -> Source:
    """The text of a file as UTF-8 without a byte order mark; a file that gzip has packed is unpacked.

    Reading raises `Unreadable`: `not_gzip`, `unpacked_too_large`, `wrong_encoding`. What is not UTF-8 in a
    file that should be is left to whoever decodes it, who knows the row.
    """
    is_packed = stream.read(len(GZIP_MAGIC)) == GZIP_MAGIC
    stream.seek(0)
    source: Source = _Unpacked(stream, unpacked_bytes_maximum) if is_packed else stream
    if is_utf8(encoding):
        return _without_mark(source)
    return io.BufferedReader(_Pieces(_transcoded(source, encoding)), READ_BYTES)


def is_utf8(encoding: str) -> bool:
    """Whether an encoding's name is one of UTF-8's."""
    return codecs.lookup(encoding).name in {"utf-8", "utf-8-sig"}


def ended(lines: bytes) -> bytes:
    """The lines, the last one with its newline, too."""
    return lines if lines.endswith(b"\n") else lines + b"\n"


class _Unpacked(io.BufferedIOBase):
    """What gzip packed, and not a byte more than there may be."""

    def __init__(self, stream: BinaryIO, bytes_maximum: int) -> None:
        self._file = gzip.GzipFile(fileobj=stream)
        self._maximum = bytes_maximum
        self._left = bytes_maximum

    def read(self, size: int | None = -1, /) -> bytes:
        try:
            data = self._file.read(READ_BYTES if size is None or size < 0 else size)
        except (EOFError, OSError, zlib.error):
            raise Unreadable("not_gzip", "not what gzip makes, or not all of it") from None
        self._left -= len(data)
        if self._left < 0:
            raise Unreadable("unpacked_too_large", f"more than {self._maximum} bytes when unpacked")
        return data


class _Pieces(io.RawIOBase):
    """A stream of pieces of bytes."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "bytearray | memoryview", /) -> int:  # type: ignore[override]
        while not self._rest:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._rest = memoryview(piece)
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count


def _without_mark(source: Source) -> Source:
    if isinstance(source, io.BufferedReader | io.BytesIO):
        if source.read(len(BYTE_ORDER_MARK)) != BYTE_ORDER_MARK:
            source.seek(0)
        return source
    return io.BufferedReader(_Pieces(_unmarked(source)), READ_BYTES)


def _unmarked(source: Source) -> Iterator[bytes]:
    yield source.read(READ_BYTES).removeprefix(BYTE_ORDER_MARK)
    while data := source.read(READ_BYTES):
        yield data


def _transcoded(source: Source, encoding: str) -> Iterator[bytes]:
    decoder = codecs.getincrementaldecoder(encoding)()
    first = True
    data = b"-"
    while data:
        data = source.read(READ_BYTES)
        try:
            text = decoder.decode(data, final=not data)
        except UnicodeError:
            raise Unreadable("wrong_encoding", f"not {encoding}") from None
        yield (text.removeprefix("\ufeff") if first else text).encode("utf-8", "surrogatepass")
        first = first and not text

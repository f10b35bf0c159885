"""The lines of a byte stream as they come, and whether the next one is there already. Knows nothing of what is in them."""

from __future__ import annotations

import io
import select
from typing import BinaryIO

from stgcn.errors import ResourceError
from stgcn.stream.lines import LONGEST_LINE

CHUNK = 2**16  # bytes read at once


class Supply:
    """Lines of ``source``, of one that is too long only so much as shows it."""

    def __init__(self, source: BinaryIO) -> None:
        self._read = getattr(source, "read1", source.read)  # gives what is there, and waits only where nothing is
        self._handle = _handle(source)
        self._buffer = bytearray()
        self._searched = 0  # so far there is no end of a line
        self._ended = False

    def next(self) -> bytes | None:
        """The next line with its end, None after the last; waits for it.

        Raises:
            ResourceError: the stream cannot be read.
        """
        while (end := self._line_end()) is None and not self._ended:
            self._fill()
        line = bytes(self._buffer[: min(end or len(self._buffer), LONGEST_LINE + 1)])
        del self._buffer[: end or len(self._buffer)]
        self._searched = 0
        return line or None

    def ready(self) -> bool:
        """Whether the next line is there already, or the end, so that ``next`` would not wait."""
        while self._line_end() is None and not self._ended:
            if not self._readable():
                return False
            self._fill()
        return True

    def _line_end(self) -> int | None:
        """Where the first line of the buffer ends."""
        end = self._buffer.find(b"\n", self._searched) + 1
        if end:
            return end
        del self._buffer[LONGEST_LINE + 1 :]
        self._searched = len(self._buffer)
        return None

    def _fill(self) -> None:
        try:
            chunk = self._read(CHUNK)
        except OSError as error:
            raise ResourceError(f"the input cannot be read: {error.strerror or error}") from None
        self._buffer += chunk or b""
        self._ended = not chunk

    def _readable(self) -> bool:
        if self._handle is None:
            return True  # bytes in memory
        try:
            return bool(select.select([self._handle], [], [], 0)[0])
        except (OSError, ValueError):  # nothing that can be asked
            return False


def _handle(source: BinaryIO) -> int | None:
    """The file descriptor of a stream; None of one without, such as bytes in memory."""
    try:
        return source.fileno()
    except (io.UnsupportedOperation, AttributeError, OSError):
        return None

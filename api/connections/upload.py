"""What somebody sends along with a call, while they send it."""

from collections.abc import AsyncIterator, Awaitable, Callable

from api.errors import PatchbayError

# What is kept so that it can be sent a second time.
_KEPT_BYTES = 1024 * 1024
# What is waited for, so that it goes out in one piece.
_LITTLE_BYTES = 64 * 1024


class TooLarge(PatchbayError):
    def __init__(self, most: int) -> None:
        super().__init__(
            f"Calls to this provider are signed as a whole, so what they send may have at most {most:,} bytes.",
            "Send less at once, or in parts where the provider takes parts.",
        )


class Upload:
    """A body that comes piece by piece. Its beginning is kept as long as all of it is little enough to be sent a second time.

    `take` gives the next piece, or None at the end; to be cancelled while it waits costs it nothing. `length`: where the caller says it.
    """

    def __init__(self, take: Callable[[], Awaitable[bytes | None]], length: int | None = None) -> None:
        self.length = length
        self._take = take
        self._kept: list[bytes] = []
        self._kept_bytes = 0
        self._has_ended = False
        self.is_kept = length is None or length <= _KEPT_BYTES

    @property
    def is_little(self) -> bool:
        return self.length is not None and self.length <= _LITTLE_BYTES

    @property
    def kept_bytes(self) -> int:
        return self._kept_bytes

    def __aiter__(self) -> AsyncIterator[bytes]:
        """From the beginning, where that is kept; the first time in any case."""
        return _Reading(self)

    async def whole(self, *, at_most: int = _KEPT_BYTES) -> bytes:
        """All of it. Raises TooLarge."""
        if self.length is not None and self.length > at_most:
            raise TooLarge(at_most)
        body = bytearray()
        async for piece in self:
            body += piece
            if len(body) > at_most:
                raise TooLarge(at_most)
        if len(body) > self._kept_bytes:
            # Whoever needed it as a whole may need it again.
            self._kept, self._kept_bytes, self.is_kept = [bytes(body)], len(body), True
        self.length = len(body)
        return bytes(body)

    def piece(self, number: int) -> bytes | None:
        """One of those that are kept."""
        return self._kept[number] if number < len(self._kept) else None

    async def next(self) -> bytes | None:
        """The next piece that was not taken yet; None at the end."""
        piece = None if self._has_ended else await self._take()
        if piece is None:
            self._has_ended = True
        elif self.is_kept:
            self._kept.append(piece)
            self._kept_bytes += len(piece)
            if self._kept_bytes > _KEPT_BYTES:
                self.is_kept, self._kept, self._kept_bytes = False, [], 0
        return piece


class _Reading(AsyncIterator[bytes]):
    def __init__(self, upload: Upload) -> None:
        self._upload = upload
        self._next = 0

    async def __anext__(self) -> bytes:
        piece = self._upload.piece(self._next)
        if piece is None:
            piece = await self._upload.next()
        if piece is None:
            raise StopAsyncIteration
        self._next += 1
        return piece

"""The courier's journal: answers, sealed, in files whose room is taken beforehand.

Room that is taken beforehand can be written to while the disk is full. There are two segments; one is written to, and once it is full
and nothing in the other is needed any more, the other one is begun anew.

    segment   header 64: magic 8 │ epoch 8 │ identity 16 │ key check 16 │ zeros │ CRC-32 4     then records, then what was there before
    record    length 4 │ CRC-32 4, of epoch, sequence and sealed │ sequence 8 │ sealed: nonce 12, AES-256-GCM

A record is bound to its segment's identity and epoch and to its sequence, which counts on over both segments: what is left of an earlier
epoch is no record, nor is one that was written in part. Reading ends at the first that is none.
"""

import asyncio
import hmac
import os
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from api.errors import PatchbayError
from api.vault.bound import LABEL, bound, subkey

_MAGIC: Final = b"PBJRNL1\n"
_HEADER_BYTES: Final = 64
_RECORD_BYTES: Final = 16
_NONCE_BYTES: Final = 12
_CHECK_BYTES: Final = 16
SEGMENT_BYTES: Final = 8 * 1024 * 1024
# What the answers of exchanges under way will take: a usual one with much to spare, and room for a few that are far larger.
_USUAL: Final = 16 * 1024
_SPARE: Final = 1024 * 1024


def segment_bytes_for(exchanges: int) -> int:
    """How large a segment is that has room for the answers of so many exchanges at once, and is no sooner full than emptied."""
    return max(SEGMENT_BYTES, 2 * _SPARE + exchanges * _USUAL)


class JournalOfAnother(PatchbayError):
    def __init__(self, folder: Path) -> None:
        super().__init__(
            f"The journal in {folder} holds answers that were sealed with another key.",
            "Give the server the data folder that belongs to its database, or move this journal away.",
        )


class JournalFull(PatchbayError):
    def __init__(self) -> None:
        super().__init__("The journal has no room for this answer.", "It gets room as soon as the database takes what is in it.")


def take_room(folder: Path, *, segment_bytes: int = SEGMENT_BYTES) -> None:
    """Make a journal's files at their full size, where they are not. Raises OSError where the disk has no room for them."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for number in (0, 1):
        _Segment(_file(folder, number), segment_bytes, bytes(_CHECK_BYTES)).close()


@dataclass(frozen=True, slots=True)
class Record:
    sequence: int
    payload: bytes


@dataclass(slots=True)
class _Waiting:
    payload: bytes
    written: "asyncio.Future[int]"


class Journal:
    """Made by `Journal.opened`. One process has it at a time, which whoever opens it sees to.

    After an OSError of `append` it is not to be used again: what is on disk then is known only by reading it anew.
    """

    def __init__(self, segments: "Sequence[_Segment]", key: bytes) -> None:
        self._cipher = AESGCM(subkey(key, "records"))
        self._segments = segments
        self._active = max(segments, key=lambda segment: segment.epoch)
        # What was not settled when it was last used, and maybe what was: the oldest first.
        self.records = sorted((record for each in segments for record in each.read(self._cipher)), key=lambda record: record.sequence)
        self._sequence = self.records[-1].sequence if self.records else 0
        self._writing: asyncio.Task[None] | None = None
        self._waiting: list[_Waiting] = []

    @classmethod
    @contextmanager
    def opened(cls, folder: Path, key: bytes, *, segment_bytes: int = SEGMENT_BYTES) -> Iterator[Self]:
        """Raises JournalOfAnother, and OSError where there is no room for it."""
        check = hmac.digest(subkey(key, "check"), b"journal", "sha256")[:_CHECK_BYTES]
        segments = [_Segment(_file(folder, number), segment_bytes, check) for number in (0, 1)]
        try:
            if any(segment.is_of_another for segment in segments):
                raise JournalOfAnother(folder)
            if not any(segment.epoch for segment in segments):
                segments[0].begin(1)
            journal = cls(segments, key)
            try:
                yield journal
            finally:
                journal._stop()
        finally:
            for segment in segments:
                segment.close()

    def has_room(self, exchanges: int) -> bool:
        """Whether the answers of so many exchanges under way will find room."""
        needed = exchanges * _USUAL + _SPARE
        return self._active.room >= needed or (not self._other.kept and self._other.capacity >= needed)

    async def append(self, payload: bytes) -> int:
        """Write a record; it is on disk when this returns its sequence. Those that come meanwhile share one write.

        Raises JournalFull, with nothing written, and OSError.
        """
        waiting = _Waiting(payload, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        if self._writing is None:
            # allowed: ownerless-task: it ends once nothing waits, each who waits is told, and closing the journal cancels it
            self._writing = asyncio.create_task(self._write_all())
        return await waiting.written

    def settle(self, sequence: int) -> None:
        """Forget a record: it is needed no more. Only in memory, so that it may come back when the journal is opened again."""
        for segment in self._segments:
            segment.kept.discard(sequence)

    async def _write_all(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting, []
                await self._write(batch)
        finally:
            self._writing = None

    def _stop(self) -> None:
        """Write nothing more: the files are about to be closed."""
        if self._writing is not None:
            self._writing.cancel()
        for waiting in self._waiting:
            _fail(waiting, OSError("the journal is closed"))

    async def _write(self, batch: list[_Waiting]) -> None:
        written: list[tuple[_Waiting, int]] = []
        try:
            for waiting in batch:
                try:
                    written.append((waiting, await self._put(waiting.payload)))
                except JournalFull as full:
                    _fail(waiting, full)
            await self._sync()
        except BaseException as error:
            # What came meanwhile is not written either: behind a record that is broken nothing is read.
            batch, self._waiting = [*batch, *self._waiting], []
            for waiting in batch:
                _fail(waiting, error if isinstance(error, OSError) else OSError("the journal was not written"))
            if not isinstance(error, OSError):
                raise
            return
        for waiting, sequence in written:
            # Whoever was cancelled meanwhile wants nothing any more.
            if not waiting.written.done():
                waiting.written.set_result(sequence)

    async def _put(self, payload: bytes) -> int:
        needed = _RECORD_BYTES + _NONCE_BYTES + len(payload) + 16
        if self._active.room < needed:
            if self._other.kept or self._other.capacity < needed:
                raise JournalFull
            await self._sync()
            self._other.begin(self._active.epoch + 1)
            self._active = self._other
        self._sequence += 1
        self._active.put(self._sequence, payload, self._cipher)
        return self._sequence

    async def _sync(self) -> None:
        # Not by the thread: it may outlive the file, whose number is then another's.
        self._active.write()
        await asyncio.to_thread(self._active.sync)

    @property
    def _other(self) -> "_Segment":
        first, second = self._segments
        return second if self._active is first else first


class _Segment:
    def __init__(self, file: Path, size: int, check: bytes) -> None:
        self._check = check
        self._descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self.epoch = 0
        self.is_of_another = False
        self._identity = bytes(16)
        self._end = _HEADER_BYTES
        # What was put and is yet to be written, just before the end.
        self._unwritten: list[bytes] = []
        # The sequences of its records that are still needed.
        self.kept: set[int] = set()
        try:
            self._size = max(size, os.fstat(self._descriptor).st_size)
            os.posix_fallocate(self._descriptor, 0, self._size)
            os.fsync(self._descriptor)
            _sync_folder(file.parent)
            self._read_header()
        except BaseException:
            self.close()
            raise

    @property
    def capacity(self) -> int:
        """How many bytes of records it takes when it is begun anew."""
        return self._size - _HEADER_BYTES

    @property
    def room(self) -> int:
        return self._size - self._end

    def begin(self, epoch: int) -> None:
        """Forget everything that is in it."""
        self.epoch, self._identity, self._end = epoch, os.urandom(16), _HEADER_BYTES
        self.kept.clear()
        head = (_MAGIC + epoch.to_bytes(8, "big") + self._identity + self._check).ljust(_HEADER_BYTES - 4, b"\0")
        self._write(head + zlib.crc32(head).to_bytes(4, "big"), 0)

    def put(self, sequence: int, payload: bytes, cipher: AESGCM) -> None:
        nonce = os.urandom(_NONCE_BYTES)
        sealed = nonce + cipher.encrypt(nonce, payload, self._associated(sequence))
        head = len(sealed).to_bytes(4, "big") + self._checksum(sequence, sealed) + sequence.to_bytes(8, "big")
        self._unwritten += (head, sealed)
        self._end += len(head) + len(sealed)
        self.kept.add(sequence)

    def write(self) -> None:
        """All that was put, in one go."""
        records, self._unwritten = b"".join(self._unwritten), []
        self._write(records, self._end - len(records))

    def read(self, cipher: AESGCM) -> Iterator[Record]:
        """Its records, up to the first that is none; the next one is written there."""
        if not self.epoch:
            return
        while record := self._read_record(cipher):
            self.kept.add(record.sequence)
            yield record

    def sync(self) -> None:
        os.fdatasync(self._descriptor)

    def close(self) -> None:
        os.close(self._descriptor)

    def _read_header(self) -> None:
        header = os.pread(self._descriptor, _HEADER_BYTES, 0)
        if header[:8] != _MAGIC or zlib.crc32(header[:-4]).to_bytes(4, "big") != header[-4:]:
            return
        self.epoch, self._identity = int.from_bytes(header[8:16], "big"), header[16:32]
        self.is_of_another = not hmac.compare_digest(header[32:48], self._check)

    def _read_record(self, cipher: AESGCM) -> Record | None:
        head = os.pread(self._descriptor, _RECORD_BYTES, self._end)
        length, checksum, sequence = int.from_bytes(head[:4], "big"), head[4:8], int.from_bytes(head[8:], "big")
        if len(head) < _RECORD_BYTES or not _NONCE_BYTES < length <= self.room - _RECORD_BYTES:
            return None
        sealed = os.pread(self._descriptor, length, self._end + _RECORD_BYTES)
        if self._checksum(sequence, sealed) != checksum:
            return None
        try:
            payload = cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], self._associated(sequence))
        except InvalidTag:
            return None
        self._end += _RECORD_BYTES + length
        return Record(sequence, payload)

    def _write(self, data: bytes, offset: int) -> None:
        while data:
            count = os.pwrite(self._descriptor, data, offset)
            data, offset = data[count:], offset + count

    def _checksum(self, sequence: int, sealed: bytes) -> bytes:
        return zlib.crc32(self._identity + self.epoch.to_bytes(8, "big") + sequence.to_bytes(8, "big") + sealed).to_bytes(4, "big")

    def _associated(self, sequence: int) -> bytes:
        return bound(LABEL, b"journal", self._identity, self.epoch.to_bytes(8, "big"), sequence.to_bytes(8, "big"))


def _fail(waiting: _Waiting, error: Exception) -> None:
    if not waiting.written.done():
        waiting.written.set_exception(error)
        # Whoever waits raises it; whoever is gone does not need to.
        waiting.written.exception()


def _file(folder: Path, number: int) -> Path:
    return folder / f"journal.{number}"


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

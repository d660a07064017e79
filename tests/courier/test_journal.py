"""The courier's journal on a real file: what was acknowledged comes back, and nothing else does."""

import asyncio
import os
from pathlib import Path

import pytest

from api.courier.journal import SEGMENT_BYTES, Journal, JournalFull, JournalOfAnother, segment_bytes_for, take_room

pytestmark = pytest.mark.anyio

KEY = bytes(range(32))
SEGMENT = 2 * 1024 * 1024
SMALL = 4096


def payloads(folder: Path, *, key: bytes = KEY, segment: int = SEGMENT) -> list[bytes]:
    """What the journal in a folder holds."""
    with Journal.opened(folder, key, segment_bytes=segment) as journal:
        return [record.payload for record in journal.records]


def used(file: Path) -> int:
    """How far a segment is written to; what comes after is zero."""
    return len(file.read_bytes().rstrip(b"\0"))


async def test_what_was_written_comes_back_in_order(tmp_path: Path) -> None:
    with Journal.opened(tmp_path, KEY, segment_bytes=SEGMENT) as journal:
        assert [await journal.append(text) for text in (b"one", b"two", b"three")] == [1, 2, 3]

    assert payloads(tmp_path) == [b"one", b"two", b"three"]


async def test_what_comes_at_once_is_written_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    syncs = 0
    real = os.fdatasync

    def counted(descriptor: int) -> None:
        nonlocal syncs
        syncs += 1
        real(descriptor)

    with Journal.opened(tmp_path, KEY, segment_bytes=SEGMENT) as journal:
        monkeypatch.setattr(os, "fdatasync", counted)
        sequences = await asyncio.gather(*(journal.append(b"%d" % number) for number in range(100)))

    assert sorted(sequences) == list(range(1, 101))
    assert syncs <= 2


async def test_a_journal_has_room_for_as_many_exchanges_as_it_was_made_for(tmp_path: Path) -> None:
    with Journal.opened(tmp_path, KEY) as journal:
        assert (journal.has_room(400), journal.has_room(1000)) == (True, False)
    with Journal.opened(tmp_path, KEY, segment_bytes=segment_bytes_for(1000)) as journal:
        assert journal.has_room(1000)

    assert segment_bytes_for(64) == SEGMENT_BYTES


async def test_a_journal_that_is_made_larger_or_smaller_keeps_what_is_in_it(tmp_path: Path) -> None:
    with Journal.opened(tmp_path, KEY, segment_bytes=SEGMENT) as journal:
        await journal.append(b"one")

    with Journal.opened(tmp_path, KEY, segment_bytes=2 * SEGMENT) as journal:
        await journal.append(b"two")

    assert payloads(tmp_path) == [b"one", b"two"]
    assert {file.stat().st_size for file in tmp_path.iterdir()} == {2 * SEGMENT}


async def test_its_files_are_for_the_owner_alone_and_hold_nothing_plain(tmp_path: Path) -> None:
    with Journal.opened(tmp_path, KEY, segment_bytes=SEGMENT) as journal:
        await journal.append(b"a secret that nobody reads")

    for file in tmp_path.iterdir():
        assert file.stat().st_mode & 0o777 == 0o600
        assert file.stat().st_size == SEGMENT
        assert b"secret" not in file.read_bytes()


async def test_cut_at_any_byte_it_gives_what_is_whole_and_takes_more(tmp_path: Path) -> None:
    file, texts = tmp_path / "journal.0", [b"one", b"two", b"three"]
    with Journal.opened(tmp_path, KEY, segment_bytes=SMALL) as journal:
        ends = [used(file)]
        for text in texts:
            await journal.append(text)
            ends.append(used(file))
    whole = file.read_bytes()

    for cut in range(ends[0], ends[-1] + 1):
        file.write_bytes(whole[:cut].ljust(SMALL, b"\0"))
        with Journal.opened(tmp_path, KEY, segment_bytes=SMALL) as journal:
            found = [record.payload for record in journal.records]
            await journal.append(b"more")
        # One that ends in zeros is whole without them.
        complete = sum(end <= cut for end in ends[1:])
        assert found in (texts[:complete], texts[: complete + 1])
        assert payloads(tmp_path, segment=SMALL) == [*found, b"more"]


async def test_a_record_that_was_changed_in_any_byte_is_none(tmp_path: Path) -> None:
    file = tmp_path / "journal.0"
    with Journal.opened(tmp_path, KEY, segment_bytes=SMALL) as journal:
        await journal.append(b"first")
        before = file.read_bytes()
        await journal.append(b"second")
    whole = file.read_bytes()

    # Not from where the first one seems to end: its last byte may be a zero.
    begin = next(place for place, byte in enumerate(whole) if byte != before[place])
    for place in range(begin, used(file)):
        changed = bytearray(whole)
        changed[place] ^= 0x01
        file.write_bytes(changed)
        assert payloads(tmp_path, segment=SMALL) == [b"first"], place


async def test_it_is_begun_anew_once_nothing_of_it_is_needed(tmp_path: Path) -> None:
    text = bytes(200_000)
    with Journal.opened(tmp_path, KEY, segment_bytes=SEGMENT) as journal:
        for number in range(1, 101):
            assert await journal.append(text) == number
            assert journal.has_room(1)
            if number > 2:
                journal.settle(number - 2)

    with Journal.opened(tmp_path, KEY, segment_bytes=SEGMENT) as journal:
        sequences = [record.sequence for record in journal.records]
        assert sequences == sorted(sequences)
        assert sequences[-2:] == [99, 100]
        # Sequences go on: a server that settles an old one never means a new one.
        assert await journal.append(b"next") == 101


async def test_what_comes_at_once_may_go_on_in_the_other_segment(tmp_path: Path) -> None:
    texts = [bytes([number]) * (SEGMENT // 8) for number in range(12)]
    with Journal.opened(tmp_path, KEY, segment_bytes=SEGMENT) as journal:
        assert await asyncio.gather(*(journal.append(text) for text in texts)) == list(range(1, 13))

    assert payloads(tmp_path) == texts


async def test_full_it_says_so_and_keeps_what_it_has(tmp_path: Path) -> None:
    text = bytes(900_000)
    with Journal.opened(tmp_path, KEY, segment_bytes=SEGMENT) as journal:
        for _ in range(4):
            await journal.append(text)
        assert not journal.has_room(1)
        with pytest.raises(JournalFull):
            await journal.append(text)

        for sequence in (1, 2):
            journal.settle(sequence)
        assert journal.has_room(1)
        assert await journal.append(text) == 5

    assert len(payloads(tmp_path)) == 3


async def test_the_journal_of_another_key_is_left_alone(tmp_path: Path) -> None:
    with Journal.opened(tmp_path, KEY, segment_bytes=SEGMENT) as journal:
        await journal.append(b"one")
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}

    with pytest.raises(JournalOfAnother):
        payloads(tmp_path, key=bytes(32))

    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before
    assert payloads(tmp_path) == [b"one"]


async def test_a_disk_that_fails_is_told_to_everybody_who_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_: int) -> None:
        raise OSError(5, "Input/output error")

    with Journal.opened(tmp_path, KEY, segment_bytes=SEGMENT) as journal:
        monkeypatch.setattr(os, "fdatasync", fails)
        with pytest.raises(OSError, match="Input/output"):
            await journal.append(b"one")


async def test_who_is_cancelled_while_a_record_is_written_is_in_nobody_elses_way(tmp_path: Path) -> None:
    with Journal.opened(tmp_path, KEY, segment_bytes=SEGMENT) as journal:
        tasks = [asyncio.create_task(journal.append(text)) for text in (b"one", b"two", b"three")]
        await asyncio.sleep(0)
        tasks[0].cancel()
        came = await asyncio.gather(*tasks, return_exceptions=True)

        assert (type(came[0]), came[1:]) == (asyncio.CancelledError, [2, 3])
        assert await journal.append(b"four") == 4
    assert payloads(tmp_path) == [b"one", b"two", b"three", b"four"]


async def test_nothing_is_written_once_the_journal_is_closed(tmp_path: Path) -> None:
    with Journal.opened(tmp_path, KEY, segment_bytes=SEGMENT) as journal:
        late = asyncio.create_task(journal.append(b"late"))
        await asyncio.sleep(0)

    with pytest.raises(OSError, match="the journal is closed"):
        await late
    assert payloads(tmp_path) == []


def test_room_that_is_taken_beforehand_is_the_journals(tmp_path: Path) -> None:
    take_room(tmp_path / "courier")

    sizes = {file.name: (file.stat().st_size, file.stat().st_blocks * 512 >= SEGMENT_BYTES) for file in (tmp_path / "courier").iterdir()}
    assert sizes == {"journal.0": (SEGMENT_BYTES, True), "journal.1": (SEGMENT_BYTES, True)}
    with Journal.opened(tmp_path / "courier", KEY) as journal:
        assert journal.records == []

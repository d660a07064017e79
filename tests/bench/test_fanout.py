"""A few who watch, so that the measurement keeps running; what it measures is for `scripts/bench`."""

from dataclasses import asdict
from pathlib import Path

import pytest

from tests.bench import fanout
from tests.bench.audience import Audience, Hall, Watcher
from tests.bench.ground import ground
from tests.bench.rows import Options

pytestmark = pytest.mark.anyio


# Servers that start on a busy machine.
@pytest.mark.timeout(120)
async def test_every_side_delivers_to_all_who_watch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fanout, "_FILLING", 2)
    options = Options(("sqlite",), 1, 0.05, (), 100)

    async with ground("sqlite", tmp_path, 100) as here:
        found = await fanout._measured(here, ["patchbay", "broadcast", "strawberry"], 10, options, None)

    assert [(row.side, row.subscribers, row.rounds) for row in found] == [
        (side, 10, 1) for side in ("patchbay", "broadcast", "strawberry", "stalled")
    ]
    assert all(row.deliveries_per_second.median > 0 and row.bytes_an_event > 400 for row in found)
    assert found[0].patchbay_by_rate.median == 1
    assert asdict(found[0])["work"] == "fanout"


async def test_a_frame_that_comes_in_pieces_is_heard_once() -> None:
    hall = Hall(Audience(1, "/", None, ("none",), 1, ""))
    watcher = Watcher(hall, "none")
    came = b"HTTP/1.1 101 Switching Protocols\r\n\r\n" + b"\x81\x02{}" + b"\x81\x7e\x01\x00" + b"a" * 256 + b"\x81\x02{}"

    for byte in came:
        watcher.data_received(bytes([byte]))

    assert hall.heard == 3

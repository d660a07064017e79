"""Two rounds with a handful of connections: that it runs, and that all are renewed; what it measures is for `scripts/bench`."""

import pytest

from tests.bench.refreshing import Provider, measure_refreshes

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(120)]


@pytest.mark.parametrize("provider", [Provider("slow", milliseconds=20, in_flight=8), Provider("new TLS", in_flight=4, is_tls=True)])
async def test_a_round_is_told_of_each_side(provider: Provider) -> None:
    told = [row async for row in measure_refreshes("sqlite", rounds=1, count=12, providers=[provider])]

    assert [(row.side, row.provider, row.database, row.count) for row in told] == [
        (side, provider.name, "sqlite", 12) for side in ("patchbay", "aiohttp")
    ]
    assert all(row.per_second.median > 0 and row.processor_microseconds.median > 0 for row in told)
    assert told[0].courier_microseconds.median > 0
    assert told[0].patchbay_by_rate.median == 1
    assert "Patchbay by rate" in str(told[1])


async def test_a_side_that_ends_tells_why() -> None:
    rows = measure_refreshes("sqlite", rounds=1, count=12, providers=[Provider("at once", in_flight=8)], PATCHBAY_KEYS="none")

    with pytest.raises(RuntimeError, match=r"(?s)patchbay came to an end:.*Master key number 1"):
        await anext(rows)

from datetime import timedelta

import pytest

from api.vault.vault import Ring
from tests.routes.site import Site

pytestmark = pytest.mark.anyio


async def test_a_process_that_works_is_alive_and_ready(site: Site) -> None:
    site.patchbay.refresh_loop.last_tick_at = site.patchbay.clock()

    live, ready = await site.browser().get("/livez"), await site.browser().get("/readyz")

    assert (live.status_code, live.json()) == (200, {"alive": True})
    assert (ready.status_code, ready.json()["ready"]) == (200, True)
    assert 0 <= ready.json()["last_tick_age"] < 5


async def test_a_loop_that_hangs_is_not_ready(site: Site) -> None:
    site.patchbay.refresh_loop.last_tick_at = site.patchbay.clock() - timedelta(minutes=3)

    ready = await site.browser().get("/readyz")

    assert (ready.status_code, ready.json()["ready"]) == (503, False)


@pytest.mark.parametrize("active", [1, 3], ids=["former key away", "active key away"])
async def test_a_server_that_lacks_a_key_is_not_ready_and_says_which(site: Site, active: int) -> None:
    vault = site.patchbay.vault
    site.patchbay.refresh_loop.last_tick_at = site.patchbay.clock()
    vault.take(Ring(vault.ring.ciphers, active, locked=frozenset({3})))

    ready = await site.browser().get("/readyz")

    told = {"ready": False, "database": True, "key": active == 1, "clock": True, "keys_unavailable": [3], "skipped": 0}
    assert (ready.status_code, {name: ready.json()[name] for name in told}) == (503, told)

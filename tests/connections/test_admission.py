"""Which of what is due begins, and that nobody is in the way of the others."""

import random
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

import models
from api.catalog.catalog import Catalog
from api.connections import reasons
from api.connections.admission import Admission
from api.connections.clock_watch import ClockWatch
from api.connections.pacing import Pacing, Visit
from api.connections.providers import Providers
from api.errors import ProviderFailure
from models import AuthenticationType, ConnectionStatus
from models.leases import Term
from tests.connections.test_clock_watch import JUMPS, Time
from tests.many import NOW, a_connection, a_folder, add

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("database")]

SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)
LEASE = MINUTE
CONNECTOR = """
name = "Acme"
vendor = "Acme"
category = "dev"
base_url = "https://api.{key}.example"

[verify]
path = "/me"

[consent]
label = "Sign in"
authorize_url = "https://{key}.example/authorize"
token_url = "https://{key}.example/token"

[consent.refresh]
rotates = false
"""


class Here:
    """Two providers, and what one process knows of them."""

    def __init__(self, folder: Path) -> None:
        for key in ("acme", "other"):
            (folder / f"{key}.toml").write_text(CONNECTOR.replace("{key}", key))
        self.time = Time()
        self.pacing = Pacing(steady=self.time.steady, chance=random.Random(1))
        self.watch = ClockWatch(self.time.clock, self.time.steady)
        self.admission = Admission(
            providers=Providers(Catalog.load(folder)),
            pacing=self.pacing,
            watch=self.watch,
            chance=random.Random(1),
        )

    @property
    def term(self) -> Term:
        now = self.time.clock.now
        return Term("one", now, now + LEASE, send_before=0)

    async def add(self, numbers: Iterable[int], **columns: Any) -> None:
        folder = await models.Folder.first() or await a_folder()
        await add(a_connection(folder, number, **({"due_at": NOW} | columns)) for number in numbers)

    async def shut(self, host: str = "acme.example") -> None:
        """The host fails often enough."""
        for _ in range(5):
            with pytest.raises(ProviderFailure):
                async with self.pacing.turn(Visit(UUID(int=0), "Acme", host, None)):
                    raise ProviderFailure(reasons.provider_unreachable("Acme"), retryable=True)

    async def begun(self, *, limit: int = 64) -> list[int]:
        """What begins at this tick, which is over at once."""
        begun = []
        while True:
            claimed = await self.admission.claim(self.term, limit=limit)
            begun += [lease.connection_id.int - 1 for lease in claimed.leases]
            for lease in claimed.leases:
                self.admission.done(lease)
            if claimed.count < limit:
                return begun


@pytest.fixture
def here(tmp_path: Path) -> Here:
    (tmp_path / "connectors").mkdir()
    return Here(tmp_path / "connectors")


async def the(number: int) -> models.Connection:
    return await models.Connection.get(id=UUID(int=number + 1))


async def test_a_thousand_of_a_provider_that_is_away_do_not_hold_up_another(here: Here) -> None:
    await here.add(range(1000), due_at=NOW - HOUR, priority=0)
    await here.add(range(1000, 1010), connector_key="other", priority=2)
    await here.shut()

    assert sorted(await here.begun()) == list(range(1000, 1010))
    waiting = await models.Connection.filter(connector_key="acme")
    assert all(row.due_at is not None and row.due_at > NOW and row.lease_until is None for row in waiting)
    # All have a time of their own, and nothing else of them has changed.
    assert len({row.due_at for row in waiting}) == 1000
    assert {(row.status, row.failures) for row in waiting} == {(ConnectionStatus.CONNECTED, 0)}
    assert await here.begun() == []


async def test_of_those_that_wait_for_a_provider_one_asks_and_the_others_go_on_once_it_answers(here: Here) -> None:
    await here.add(range(20))
    await here.shut()
    assert await here.begun() == []

    begun = []
    for _ in range(600):
        here.time.move(1)
        claimed = await here.admission.claim(here.term, limit=64)
        begun.append(len(claimed.leases))
        for lease in claimed.leases:
            async with here.pacing.turn(Visit(lease.connection_id, "Acme", "acme.example", None)):
                pass
            here.admission.done(lease)
            await models.Connection.filter(id=lease.connection_id).update(due_at=None)

    assert next(count for count in begun if count) == 1
    assert sum(begun) == 20


async def test_a_token_that_ends_while_its_provider_is_away_is_told_once(here: Here) -> None:
    await here.add([0], expires_at=NOW)
    await here.add([1], expires_at=NOW, status=ConnectionStatus.DEGRADED)
    await here.add([2], expires_at=NOW + SECOND / 2)
    await here.add([3], expires_at=NOW, status=ConnectionStatus.ACTION_REQUIRED)
    await here.shut()

    assert await here.begun() == [0]
    assert not here.pacing.has(UUID(int=1))
    # It comes again when its token ends, and before all others.
    row = await the(2)
    assert (row.due_at, row.priority) == (NOW + SECOND / 2, 0)


async def test_by_a_clock_that_was_just_set_no_token_has_ended(here: Here) -> None:
    await here.add([0], expires_at=NOW + HOUR)
    await here.shut()
    here.watch.look()
    here.time.clock.move(24 * HOUR)
    here.watch.look()

    assert await here.begun() == []
    assert (await the(0)).status is ConnectionStatus.CONNECTED


async def test_in_a_lane_those_that_come_first_go_first(here: Here) -> None:
    await here.add(range(40), priority=2, created_at=NOW - timedelta(days=60))
    await here.add(range(40, 50), priority=0, last_used_at=NOW)

    first = await here.begun(limit=50)
    rest = []
    for _ in range(80):
        here.time.move(0.25)
        rest += await here.begun()

    assert sorted(first)[-10:] == list(range(40, 50))
    assert sorted(first + rest) == list(range(50))
    # A second of the rate at once, and then the rate.
    assert len(first) == 16


async def test_who_had_its_turn_and_did_not_get_it_is_not_among_the_last_any_more(here: Here) -> None:
    await here.add(range(40), priority=2, created_at=NOW - timedelta(days=60))

    begun = await here.begun()

    waiting = await models.Connection.exclude(id__in=[UUID(int=number + 1) for number in begun])
    assert {row.priority for row in waiting} == {1}


async def test_where_nothing_can_be_put_off_nobody_keeps_a_place(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    await here.add(range(40))

    async def fails(*_: object) -> None:
        raise OSError("the database is away")

    for _ in range(3):
        with monkeypatch.context() as patch, pytest.raises(OSError, match="away"):
            patch.setattr("api.connections.admission.put_off", fails)
            await here.admission.claim(here.term, limit=64)
        here.time.move(60)

    assert len((await here.admission.claim(here.term, limit=64)).leases) == 16


async def test_what_nothing_can_be_known_of_begins_and_is_told_about_by_its_attempt(here: Here) -> None:
    await here.add([0], connector_key="gone")
    await here.add([1], option_key="gone")
    await here.add([2], authentication_type=AuthenticationType.API_KEY)
    await here.shut()

    assert sorted(await here.begun()) == [0, 1, 2]


@pytest.mark.parametrize("jump", JUMPS.values(), ids=JUMPS.keys())
async def test_a_clock_that_jumps_makes_no_more_due_than_the_cap_and_ends_nothing(here: Here, jump: timedelta) -> None:
    await here.add(range(400), due_at=NOW + 30 * MINUTE, expires_at=NOW + HOUR)
    await here.add(range(400, 420), due_at=NOW + HOUR, expires_at=NOW + HOUR, renewable=False)
    here.watch.look()
    here.time.clock.move(jump)
    here.watch.look()

    begun = await here.begun()
    for _ in range(20):
        here.time.move(0.25)
        begun += await here.begun()

    assert len(begun) <= 20 * 5 + 20
    assert all(number < 400 for number in begun)
    ending = await models.Connection.filter(renewable=False)
    assert {(row.status, row.lease_until) for row in ending} == {(ConnectionStatus.CONNECTED, None)}
    if jump > timedelta(0):
        now = here.time.clock.now
        assert all(row.due_at is not None and now < row.due_at <= now + 10 * MINUTE for row in ending)


async def test_an_attempt_that_is_under_way_is_not_begun_again_when_the_clock_is_set_on(here: Here) -> None:
    await here.add([0])
    claimed = await here.admission.claim(here.term, limit=5)
    here.time.clock.move(HOUR)

    assert await here.begun() == []
    assert (await the(0)).due_at == NOW + HOUR + MINUTE
    here.admission.done(claimed.leases[0])
    here.time.clock.move(MINUTE)
    assert await here.begun() == [0]

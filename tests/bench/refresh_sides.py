"""Who asks a token endpoint as fast as it can, as a process of its own: Patchbay, which keeps what comes, or bare aiohttp, which does not.

usage: python -m tests.bench.refresh_sides, with an `Order` as a JSON line on standard input. It answers with an empty line once it is
ready, and then each line that comes with a `Round`.
"""

import asyncio
import json
import os
import ssl
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from uuid import UUID, uuid4

import aiohttp

import models
from api.clock import utc_now
from api.connections.secrets import Secrets, credential_place
from api.garbage import search_seldom
from api.logs import configure_logging
from api.opening import open_patchbay
from api.patchbay import Patchbay
from api.secret import Secret
from api.settings import Settings
from models.database import migrate
from tests import many

_CLIENT = ("client-of-the-bench", Secret("secret-of-the-bench"))
_FOLDER_SIZE = 500


@dataclass(frozen=True, slots=True)
class Order:
    side: str
    url: str
    count: int
    in_flight: int
    # What Patchbay is opened with.
    environment: dict[str, str]
    # Whose certificates are good; None: it is plain HTTP.
    ca_file: str | None


@dataclass(frozen=True, slots=True)
class Round:
    seconds: float
    # Of this process, and of the courier beside it.
    processor_seconds: float
    courier_seconds: float


Act = Callable[[], Awaitable[None]]


@asynccontextmanager
async def _bare(order: Order) -> AsyncIterator[tuple[Act, Act]]:
    """As many at once as are asked for, and nothing more than to read the answer."""
    tls = None if order.ca_file is None else ssl.create_default_context(cafile=order.ca_file)
    connector = aiohttp.TCPConnector(limit=0, ssl=True if tls is None else tls)
    form = {"grant_type": "refresh_token", "refresh_token": "r" * 200}
    async with aiohttp.ClientSession(
        connector=connector, headers={"Authorization": aiohttp.encode_basic_auth(_CLIENT[0], _CLIENT[1].reveal())}
    ) as session:

        async def some(numbers: "asyncio.Queue[int]") -> None:
            while not numbers.empty():
                numbers.get_nowait()
                async with session.post(f"{order.url}/sandbox/token", data=form) as answer:
                    assert (await answer.json())["access_token"]

        async def ask() -> None:
            numbers: asyncio.Queue[int] = asyncio.Queue()
            for number in range(order.count):
                numbers.put_nowait(number)
            async with asyncio.TaskGroup() as tasks:
                for _ in range(order.in_flight):
                    tasks.create_task(some(numbers))

        yield _nothing, ask


async def _nothing() -> None: ...


@asynccontextmanager
async def _patchbay(order: Order) -> AsyncIterator[tuple[Act, Act]]:
    """The refresh loop, over connections of which each is due, until none is any more."""
    settings = Settings.from_environment(order.environment)
    await migrate(settings.database_url.reveal())
    async with open_patchbay(settings, refreshes=False, courier=settings.courier) as patchbay:
        await _fill(patchbay, order.count)
        generation, never = 1, asyncio.Event()

        async def make_due() -> None:
            await models.Connection.all().update(due_at=utc_now(), lease_until=None)

        async def refresh() -> None:
            nonlocal generation
            await patchbay.refresh_loop.catch_up(never)
            await patchbay.refresher.settled()
            generation += 1
            assert await models.Credential.filter(generation=generation).count() == order.count

        yield make_due, refresh


async def _fill(patchbay: Patchbay, count: int) -> None:
    """So many connections of one app, in folders of 500."""
    app = await patchbay.oauth_apps.add(
        connector_key="refreshed", name="App", client_id=_CLIENT[0], client_secret=_CLIENT[1], scopes=["read", "write"]
    )
    for start in range(0, count, _FOLDER_SIZE):
        folder = await many.a_folder(utc_now())
        numbers = range(start, min(start + _FOLDER_SIZE, count))
        await many.add(_connection(folder, number, app.id) for number in numbers)
        await models.Credential.bulk_create([_credential(patchbay, number, folder.id) for number in numbers])


def _connection(folder: models.Folder, number: int, app_id: UUID) -> models.Connection:
    columns = {"connector_key": "refreshed", "oauth_app_id": app_id, "option_key": None, "scopes": ["read", "write"]}
    return many.a_connection(folder, number, **columns, expires_at=utc_now() + timedelta(hours=1))


def _credential(patchbay: Patchbay, number: int, folder_id: UUID) -> models.Credential:
    id, refresh = uuid4(), Secret(f"refresh-0-{number}")
    secrets = Secrets(access_token=Secret(f"access-0-{number}"), refresh_token=refresh, token_type="Bearer")
    return models.Credential(
        id=id,
        connection_id=UUID(int=number + 1),
        secrets=secrets.seal(patchbay.vault, credential_place(id, folder_id)),
        fingerprint=patchbay.vault.fingerprint(refresh),
        obtained_at=utc_now(),
    )


def _processor_seconds(process_id: int) -> float:
    tasks = Path(f"/proc/{process_id}/task")
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks.iterdir()) / 1e9


def _courier_of(order: Order) -> int | None:
    file = Path(order.environment.get("PATCHBAY_DATA_FOLDER", "/")) / "courier" / "pid"
    return int(file.read_text()) if file.exists() else None


async def answer_orders() -> None:
    order = Order(**json.loads(sys.stdin.readline()))
    configure_logging("INFO")
    side = _patchbay if order.side == "patchbay" else _bare
    async with side(order) as (prepare, ask):
        courier = _courier_of(order)
        # As a server does once it stands.
        search_seldom()

        def spent() -> tuple[float, float]:
            return _processor_seconds(os.getpid()), 0 if courier is None else _processor_seconds(courier)

        print(flush=True)
        while await asyncio.to_thread(sys.stdin.readline):
            await prepare()
            began, before = time.perf_counter(), spent()
            await ask()
            seconds, after = time.perf_counter() - began, spent()
            print(json.dumps(asdict(Round(seconds, after[0] - before[0], after[1] - before[1]))), flush=True)


def main() -> None:
    # Not at the top: it is for this process alone. Both sides run in the loop in which a server runs.
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(answer_orders())


if __name__ == "__main__":
    main()

"""Patchbay opened and closed: from settings to the assembled service, with the loops that it runs by itself."""

import difflib
import random
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

from api.catalog.catalog import CONNECTORS, Catalog
from api.clock import Clock, Steady, steady_beside, utc_now
from api.courier.client import Courier
from api.courier.journal import segment_bytes_for, take_room
from api.courier.wire import AT_ONCE, AT_ONCE_WITH_HOST, Terms
from api.errors import InvalidSettings, StartRefused
from api.master_keys import master_keys
from api.outbound.egress import EgressGuard
from api.outbound.http import OutboundClient
from api.outbound.streaming import StreamingClient
from api.patchbay import Patchbay, assemble
from api.settings import Settings
from api.vault.opening import open_vault
from api.vault.vault import Vault
from models.database import open_database


@asynccontextmanager
async def open_patchbay(
    settings: Settings,
    *,
    clock: Clock = utc_now,
    steady: Steady | None = None,
    chance: random.Random | None = None,
    serves: bool = True,
    refreshes: bool = True,
    courier: bool = False,
    outbound: Callable[[EgressGuard], OutboundClient] | None = None,
) -> AsyncIterator[Patchbay]:
    """Open everything, in order; close it in reverse.

    `serves`: somebody is answered, and streams run. `refreshes`: connections are kept alive. Both are off for commands.
    With `courier`, exchanges go through a process beside this one, which outlives it. `outbound` makes another client for calls to the
    outside than the usual one.

    Raises StartRefused where keys or connector files are not right, before anything is written.
    """
    async with AsyncExitStack() as stack:
        catalog = load_catalog(settings)
        keys = master_keys(settings)
        database = await stack.enter_async_context(open_database(settings.database_url.reveal()))
        vault = await open_vault(keys, clock)
        guard = EgressGuard(_private_hosts(settings))
        client = outbound(guard) if outbound is not None else OutboundClient(guard, ca_file=settings.egress_ca_file)
        http = await stack.enter_async_context(client)
        streaming = await stack.enter_async_context(StreamingClient(guard, ca_file=settings.egress_ca_file))
        carrier = await stack.enter_async_context(_courier(settings, vault)) if courier else None
        patchbay = assemble(
            settings, clock, steady or steady_beside(clock), chance or random.Random(), database, vault, catalog, http, streaming, carrier
        )
        await patchbay.own_connectors.read()
        if serves or refreshes:
            await stack.enter_async_context(patchbay.own_connectors.running())
        if serves or refreshes:
            patchbay.replicas.refreshes = refreshes
            await stack.enter_async_context(patchbay.replicas.running())
        if serves:
            await stack.enter_async_context(patchbay.feed.running())
        if serves or refreshes:
            # Also where nothing is refreshed: people verify connections, which may renew them.
            await stack.enter_async_context(patchbay.refresher.running())
        if refreshes:
            await stack.enter_async_context(patchbay.refresh_loop.running())
            await stack.enter_async_context(patchbay.webhooks.dispatcher.running(listens=not serves))
        yield patchbay


async def try_opening(settings: Settings) -> None:
    """Open what may be refused, and close it. The first start makes the keys of the database with it. Raises StartRefused."""
    if settings.courier:
        _take_room_for_courier(settings)
    async with open_database(settings.database_url.reveal()):
        await open_vault(master_keys(settings), utc_now)


def _take_room_for_courier(settings: Settings) -> None:
    """Make the files of the courier's journal. Raises StartRefused where there is no room for them."""
    folder = _courier_folder(settings)
    try:
        take_room(folder, segment_bytes=_segment_bytes(settings))
    except OSError as error:
        raise StartRefused(
            f"The courier's journal in {folder} cannot be made: {error.strerror}. It takes {2 * _segment_bytes(settings) // 1_000_000} MB.",
            "Make room, or set PATCHBAY_DATA_FOLDER to a folder on another disk.",
        ) from error


def _courier(settings: Settings, vault: Vault) -> AbstractAsyncContextManager[Courier]:
    terms = Terms(
        _private_hosts(settings),
        settings.egress_ca_file,
        # People ask besides, when they want to; and a host gets of both kinds of exchanges as many.
        at_once=max(AT_ONCE, 2 * settings.refresh_concurrency),
        at_once_with_host=max(AT_ONCE_WITH_HOST, 2 * settings.provider_concurrency),
        segment_bytes=_segment_bytes(settings),
    )
    return Courier.running(_courier_folder(settings), vault.derived_key(purpose="courier"), terms)


def _segment_bytes(settings: Settings) -> int:
    return segment_bytes_for(settings.refresh_concurrency) if settings.courier_journal is None else settings.courier_journal * 1_048_576


def _courier_folder(settings: Settings) -> Path:
    return settings.data_folder / "courier"


def load_catalog(settings: Settings) -> Catalog:
    """The connectors that come with Patchbay, and the operator's own. Raises CatalogMistakes, InvalidSettings."""
    constants = {"sandbox_url": settings.sandbox_url} if settings.sandbox else {}
    further = [settings.connectors_folder] if settings.connectors_folder else []
    catalog = Catalog.load(CONNECTORS, *further, constants=constants)
    _check_installed(settings, catalog)
    return catalog


def _check_installed(settings: Settings, catalog: Catalog) -> None:
    """Raises InvalidSettings where a connector is to be installed that is none."""
    known = [connector.key for connector in catalog.all]
    problems = []
    for key in sorted(key for key in settings.installed_connectors or () if catalog.find(key) is None):
        near = difflib.get_close_matches(key, known, n=1)
        hint = f" Is {near[0]} meant?" if near else ""
        problems.append(f"PATCHBAY_INSTALLED_CONNECTORS names “{key}”, which is no connector here.{hint}")
    if problems:
        raise InvalidSettings(problems)


def _private_hosts(settings: Settings) -> frozenset[str]:
    """Hosts that may be called though they are private: those that the operator names, and our own while the sandbox is there."""
    own = {urlsplit(settings.public_url).netloc} if settings.sandbox else set()
    return settings.egress_allow | own

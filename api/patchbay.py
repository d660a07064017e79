"""Patchbay without a transport: what the doors are given, put together in one place."""

import os
import random
import secrets
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from api.access import Access
from api.catalog.catalog import CONNECTORS, Catalog
from api.clock import Clock, utc_now
from api.connections.connecting import Connecting
from api.connections.consent import Addresses
from api.connections.exchange import Exchange
from api.connections.journal import Journal
from api.connections.keeping import Keeper
from api.connections.offers import Offers
from api.connections.outcomes import Outcomes
from api.connections.pacing import Pacing
from api.connections.proof import Prover
from api.connections.reading import Reading
from api.connections.refresh_loop import RefreshLoop
from api.connections.refresher import Refresher
from api.connections.service import Connections
from api.connections.wishes import Wishes
from api.events.feed import EventFeed
from api.events.log import EventLog
from api.events.wakeup import Wakeup
from api.oauth.client import OAuthClient
from api.organization.apps import OAuthApps
from api.organization.folders import Folders
from api.organization.people import People
from api.outbound.egress import EgressGuard
from api.outbound.http import OutboundClient
from api.settings import Settings
from api.vault.keys import MasterKeys
from api.vault.opening import open_vault
from api.vault.vault import Vault
from models.database import Database, open_database


@dataclass(frozen=True, slots=True)
class Patchbay:
    settings: Settings
    clock: Clock
    database: Database
    vault: Vault
    catalog: Catalog
    access: Access
    people: People
    folders: Folders
    oauth_apps: OAuthApps
    connecting: Connecting
    connections: Connections
    reading: Reading
    offers: Offers
    feed: EventFeed
    refresher: Refresher
    refresh_loop: RefreshLoop


@asynccontextmanager
async def open_patchbay(
    settings: Settings,
    *,
    clock: Clock = utc_now,
    chance: random.Random | None = None,
    refreshes: bool = True,
    outbound: Callable[[EgressGuard], OutboundClient] | None = None,
) -> AsyncIterator[Patchbay]:
    """Open everything, in order; close it in reverse. `refreshes` is off for commands that only look or set up.

    `outbound` makes another client for calls to the outside than the usual one.
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
        patchbay = _assemble(settings, clock, chance or random.Random(), database, vault, catalog, http)
        if refreshes:
            await stack.enter_async_context(patchbay.feed.running())
            await stack.enter_async_context(patchbay.refresher.running())
            await stack.enter_async_context(patchbay.refresh_loop.running())
        yield patchbay


def _assemble(
    settings: Settings,
    clock: Clock,
    chance: random.Random,
    database: Database,
    vault: Vault,
    catalog: Catalog,
    http: OutboundClient,
) -> Patchbay:
    access, wakeup = Access(), Wakeup()
    log = EventLog(clock, wakeup)
    addresses = Addresses(settings.public_url, settings.return_origins)
    apps = OAuthApps(access, catalog, vault, clock)
    prover = Prover(http, clock)
    exchange = Exchange(oauth=OAuthClient(http, clock), http=http, prover=prover, addresses=addresses)
    wishes = Wishes(access=access, catalog=catalog, vault=vault, apps=apps, addresses=addresses)
    keeper = Keeper(vault=vault, log=log, apps=apps, clock=clock, chance=chance)
    journal = Journal(vault, clock)
    refresher = Refresher(
        catalog=catalog,
        vault=vault,
        exchange=exchange,
        prover=prover,
        apps=apps,
        journal=journal,
        outcomes=Outcomes(vault=vault, log=log, journal=journal, clock=clock, chance=chance),
        pacing=Pacing(clock),
        clock=clock,
        holder=f"{socket.gethostname()[:40]}-{os.getpid()}-{secrets.token_hex(4)}",
    )
    return Patchbay(
        settings=settings,
        clock=clock,
        database=database,
        vault=vault,
        catalog=catalog,
        access=access,
        people=People(clock),
        folders=Folders(access, clock),
        oauth_apps=apps,
        connecting=Connecting(
            access=access,
            vault=vault,
            wishes=wishes,
            exchange=exchange,
            keeper=keeper,
            log=log,
            wakeup=wakeup,
            addresses=addresses,
            clock=clock,
        ),
        connections=Connections(access=access, log=log, refresher=refresher, apps=apps, clock=clock),
        reading=Reading(access),
        offers=Offers(catalog, addresses),
        feed=EventFeed(access, database, wakeup, clock),
        refresher=refresher,
        refresh_loop=RefreshLoop(
            refresher, vault, schedule=settings.refresh_schedule, concurrency=settings.refresh_concurrency, clock=clock
        ),
    )


def load_catalog(settings: Settings) -> Catalog:
    """The connectors that come with Patchbay, and the operator's own. Raises CatalogMistakes."""
    constants = {"sandbox_url": settings.sandbox_url} if settings.sandbox else {}
    further = [settings.connectors_folder] if settings.connectors_folder else []
    return Catalog.load(CONNECTORS, *further, constants=constants)


def master_keys(settings: Settings) -> MasterKeys:
    """The operator's master keys, or those of the local default's key file. Raises KeyTrouble."""
    if settings.keys is not None:
        return MasterKeys.from_text(settings.keys.reveal())
    return MasterKeys.from_file(key_file(settings))


def key_file(settings: Settings) -> Path:
    return settings.key_file or settings.data_folder / "master.key"


def _private_hosts(settings: Settings) -> frozenset[str]:
    """Hosts that may be called though they are private: those that the operator names, and our own while the sandbox is there."""
    own = {urlsplit(settings.public_url).netloc} if settings.sandbox else set()
    return settings.egress_allow | own

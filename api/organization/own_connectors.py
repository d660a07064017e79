"""Connectors of one's own as they are kept: in versions that never change, read into the catalogue of every process.

A process that changes one reads them again at once. The others are told by a notice, which may be lost, so that they look again every few
seconds anyway; and whoever is asked for a version that is not here looks for it before they say that there is none.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from uuid import UUID

import models
from api.catalog.catalog import Catalog
from api.catalog.connector import Connector
from api.catalog.defining import read_document
from api.catalog.definition import ConnectorDefinition
from api.catalog.definition_json import definition_from_json
from api.errors import NotFound
from api.events.wakeup import wait
from models.database import Database
from models.notices import listening, notify

logger = logging.getLogger(__name__)

_CHANNEL = "patchbay_connectors"
_LOOK_AGAIN_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class OwnVersion:
    """One version, read. No connector: it cannot be read by this release."""

    definition: ConnectorDefinition
    connector: Connector | None


class OwnConnectors:
    def __init__(self, catalog: Catalog, database: Database) -> None:
        self._catalog = catalog
        self._database = database
        self._known: dict[UUID, OwnVersion] = {}
        self._definitions: dict[tuple[str, int | None], ConnectorDefinition] = {}
        # One after the other, so that what was read later is taken later.
        self._reading = asyncio.Lock()
        self._told = asyncio.Event()
        catalog.follow(self.read)

    async def read(self) -> None:
        """Have the catalogue as the database has it."""
        async with self._reading:
            alive = set(await models.ConnectorVersion.alive().values_list("id", flat=True))
            new = list(alive - self._known.keys())
            known = {id: version for id, version in self._known.items() if id in alive}
            for row in await models.ConnectorVersion.filter(id__in=new) if new else ():
                known[row.id] = _version_of(row)
            if known.keys() != self._known.keys():
                self._take(known)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Follow what other processes change, for as long as this lasts."""
        async with listening(self._database, _CHANNEL, self._told.set), asyncio.TaskGroup() as tasks:
            follower = tasks.create_task(self._follow())
            try:
                yield
            finally:
                follower.cancel()

    def find_definition(self, key: str, version: int | None) -> ConnectorDefinition | None:
        """What the author of a version gave; None for a connector from a file."""
        return self._definitions.get((key, version))

    async def tell(self) -> None:
        """Tell the other processes, once the running transaction is committed, that something changed."""
        await notify(_CHANNEL)

    def _take(self, known: dict[UUID, OwnVersion]) -> None:
        self._known = known
        connectors = [version.connector for version in known.values() if version.connector is not None]
        self._definitions = {
            (version.connector.key, version.connector.version): version.definition
            for version in known.values()
            if version.connector is not None
        }
        before = self._catalog.shadowed
        self._catalog.adopt(connectors)
        for key in sorted(self._catalog.shadowed - before):
            logger.warning("connector of one's own offered in the place of a file", extra={"connector": key})

    async def _follow(self) -> None:
        while True:
            await wait(self._told, seconds=_LOOK_AGAIN_SECONDS)
            self._told.clear()
            try:
                await self.read()
            # The loop must live: whatever keeps it from the database, it looks again later.
            except Exception:
                logger.exception("connectors not read")


async def require_alive(connector: Connector) -> None:
    """Raises NotFound where the connector was deleted. To be relied on in a transaction that holds the policies still."""
    if connector.version is None:
        return
    if not await models.ConnectorVersion.alive().filter(connector_key=connector.key, version=connector.version).exists():
        raise NotFound("connector")


def _version_of(row: models.ConnectorVersion) -> OwnVersion:
    definition = definition_from_json(row.definition)
    connector, mistakes = read_document(row.connector_key, row.document)
    if mistakes:
        # It was read without one when it was made, by another release.
        logger.error(
            "connector not understood", extra={"connector": row.connector_key, "version": row.version, "problem": str(mistakes[0])}
        )
        return OwnVersion(definition, None)
    return OwnVersion(definition, replace(connector, version=row.version))

"""Which connectors are offered here: what the setting says, and, connector by connector, what an administrator said since."""

from collections.abc import Collection

import models
from api.access import Access, Actor
from api.audit import Audit
from api.catalog.catalog import Catalog
from api.catalog.connector import Connector
from api.clock import Clock
from api.errors import AuthenticationTypeUnavailable
from models.database import transaction
from models.locks import Lock, hold


class InstalledConnectors:
    """`base`: the keys of those that are installed where nobody said otherwise; None: all."""

    def __init__(self, *, catalog: Catalog, base: frozenset[str] | None, access: Access, audit: Audit, clock: Clock) -> None:
        self._catalog = catalog
        self._base = base
        self._access = access
        self._audit = audit
        self._clock = clock

    async def among(self, connector_keys: Collection[str]) -> frozenset[str]:
        """Those of these connectors that are installed. One that is not in the catalogue is not."""
        said = await models.ConnectorInstallation.filter(connector_key__in=list(connector_keys))
        return self._installed(connector_keys, {row.connector_key: row.installed for row in said})

    async def all(self) -> frozenset[str]:
        """Every connector that is installed."""
        said = {row.connector_key: row.installed for row in await models.ConnectorInstallation.all()}
        return self._installed([connector.key for connector in self._catalog.all], said)

    async def require(self, connector: Connector) -> None:
        """Raises AuthenticationTypeUnavailable where the connector is not installed."""
        if not await self.among([connector.key]):
            raise AuthenticationTypeUnavailable(not_installed(connector), "Ask an administrator to install it.")

    async def set(self, actor: Actor, connector_key: str, *, installed: bool) -> Connector:
        """Offer a connector, or do so no more. Connections that are there go on. Administrators only.

        Raises PermissionDenied, NotFound.
        """
        known = self._catalog.find(connector_key)
        action = "connector.install" if installed else "connector.uninstall"
        # Only a key that is one: any other text is not for the audit log.
        async with self._audit.act(actor, action, None if known is None else known.key) as act, transaction():
            # Two who say it for the first time at once would both make the row.
            await hold(Lock.INSTALLED_CONNECTORS, to_change=True)
            await self._access.require_administrator(actor)
            connector = await self._catalog.look_up(connector_key)
            said = {"installed": installed, "changed_at": self._clock()}
            await models.ConnectorInstallation.update_or_create(defaults=said, connector_key=connector.key)
            await act.done(subject_name=connector.name)
        return connector

    def _installed(self, connector_keys: Collection[str], said: dict[str, bool]) -> frozenset[str]:
        known = {key for key in connector_keys if self._catalog.find(key) is not None}
        return frozenset(key for key in known if said.get(key, self._base is None or key in self._base))


def not_installed(connector: Connector) -> str:
    return f"{connector.name} is not installed here."

"""Providers of connections, the same one for all that talk to the same: what is worked out of it is worked out once."""

from collections.abc import Mapping

from api.catalog.catalog import Catalog
from api.connections.provider import Provider
from models import AuthenticationType

# Beyond so many all are forgotten: each is found again in no time.
_KEPT = 1024

_Key = tuple[str, int | None, AuthenticationType, str | None, tuple[tuple[str, str], ...]]


class Providers:
    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._known: dict[_Key, Provider] = {}

    def find(
        self, connector_key: str, version: int | None, type: AuthenticationType, option_key: str | None, site: Mapping[str, str]
    ) -> Provider | None:
        """None where the connector, or the way in which it authenticates, is no longer in the catalogue."""
        connector = self._catalog.find_version(connector_key, version)
        if connector is None:
            return None
        key = connector_key, version, type, option_key, tuple(sorted(site.items()))
        known = self._known.get(key)
        # The catalogue may have been read anew since.
        if known is not None and known.connector is connector:
            return known
        option = connector.find_option(type, option_key)
        if option is None:
            return None
        if len(self._known) >= _KEPT:
            self._known.clear()
        provider = self._known[key] = Provider(connector, option, dict(site))
        return provider

"""What another version of its connector means for a connection: whether it can follow by itself.

A credential goes where it was given for, and nowhere else. So a connection follows by itself only where every address that its credential
goes to stays as it is, and where nothing is asked that it does not have; else its owner reconnects it.
"""

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

import models
from api.catalog.catalog import Catalog
from api.catalog.connector import Connector, Field
from api.connections.provider import Provider
from api.organization.apps import serves

_AT_ONCE = 500


class Effect(StrEnum):
    # It can be moved as it is.
    MIGRATES = "MIGRATES"
    # Its owner gives its credential, or their consent, again.
    MUST_RECONNECT = "MUST_RECONNECT"
    # It goes on with the version that it has.
    STAYS = "STAYS"


@dataclass(frozen=True, slots=True)
class Fate:
    """What becomes of a connection; `reason` where it cannot be moved as it is."""

    connection: models.Connection
    effect: Effect
    reason: str | None = None


async def fates_of(connections: list[models.Connection], new: Connector, catalog: Catalog) -> list[Fate]:
    """What a version means for each of these."""
    fates: list[Fate] = []
    for start in range(0, len(connections), _AT_ONCE):
        some = connections[start : start + _AT_ONCE]
        apps = await _apps_of(some)
        for connection in some:
            kept = await catalog.look_up_version(connection.connector_key, connection.connector_version)
            fates.append(_fate(connection, kept, new, None if connection.oauth_app_id is None else apps.get(connection.oauth_app_id)))
        # There may be many: everybody else gets a turn.
        await asyncio.sleep(0)
    return fates


def _fate(connection: models.Connection, kept: Connector | None, new: Connector, app: models.OAuthApp | None) -> Fate:
    after = _provider(connection, new)
    before = None if kept is None else _provider(connection, kept)
    if after is None:
        return Fate(connection, Effect.STAYS, f"{connection.authentication_type} is not offered any more.")
    if app is not None and not serves(app, new) and before is not None and after.addresses <= before.addresses:
        return Fate(connection, Effect.STAYS, "The secret of its OAuth app must be given again first (rotateOAuthAppSecret).")
    reason = "The version that it has cannot be read any more." if before is None else next(_obstacles(connection, before, after), None)
    return Fate(connection, Effect.MIGRATES if reason is None else Effect.MUST_RECONNECT, reason)


def _obstacles(connection: models.Connection, before: Provider, after: Provider) -> Iterator[str]:
    new = sorted(after.addresses - before.addresses)
    if new:
        yield "Its credential would go to other addresses: " + ", ".join(new) + "."
    asked = {field.name: field for field in before.connector.fields_for(before.option) if field.asked}
    for field in after.connector.fields_for(after.option):
        if field.asked and (problem := _field_problem(field, asked.get(field.name), connection.site)):
            yield f"“{field.label}” {problem}."
    if after.option.grant is not None:
        missing = [scope for scope in after.mandatory_scopes if scope not in connection.scopes]
        if missing:
            yield "It has not these scopes: " + ", ".join(missing) + "."


def _field_problem(field: Field, before: Field | None, site: Mapping[str, str]) -> str | None:
    if before is None:
        return "was not asked for" if field.required and field.default is None else None
    if before.secret is not field.secret:
        return "is kept secret in another way"
    value = site.get(field.name)
    if value is None:
        return "was not given" if field.required and not field.secret else None
    return "has a value that is not taken any more" if field.problem(value) else None


def _provider(connection: models.Connection, connector: Connector) -> Provider | None:
    option = connector.find_option(connection.authentication_type, connection.option_key)
    return None if option is None else Provider(connector, option, connection.site)


async def _apps_of(connections: list[models.Connection]) -> dict[UUID, models.OAuthApp]:
    ids = {connection.oauth_app_id for connection in connections} - {None}
    return {app.id: app for app in await models.OAuthApp.filter(id__in=list(ids))} if ids else {}

"""Lists of connections, wherever in the graph they hang."""

from collections.abc import Awaitable, Callable, Hashable
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import strawberry

from api.connections.pages import RecordPage, record_page
from api.connections.query import ConnectionQuery, OrderField, Position
from api.connections.reading import Each
from api.graphql.context import Info
from api.graphql.ids import find_id, find_key
from api.graphql.page import Cursors, Page, checked_first, checked_search, page_of
from api.graphql.plans.records import Records, columns_asked
from api.graphql.words import OrderDirection
from models import AuthenticationType, ConnectionStatus

if TYPE_CHECKING:
    from api.graphql.connections import Connection


@strawberry.input(description="Which connections. What is left out does not matter.")
class ConnectionFilter:
    search: str | None = strawberry.field(default=None, description="A part of the name or of the account, without regard to case.")
    connector_key: str | None = strawberry.field(default=None, description="Of this connector.")
    status: list[ConnectionStatus] | None = strawberry.field(default=None, description="In one of these states.")
    authentication_type: AuthenticationType | None = strawberry.field(default=None, description="Authenticated in this way.")
    is_default: bool | None = strawberry.field(default=None, description="Only defaults, or only others.")
    owner_id: strawberry.ID | None = strawberry.field(
        default=None,
        description="Of this owner. Where they are deactivated, administrators are shown what is in the owner's workspace too: names, "
        "connectors and states, to hand it over.",
    )
    owner_active: bool | None = strawberry.field(
        default=None, description="Only of owners who may sign in, or only of those who are deactivated; then as with ownerId."
    )


@strawberry.input(description="In which order connections come.")
class ConnectionOrder:
    field: OrderField = strawberry.field(description="What they are ordered by.")
    direction: OrderDirection = strawberry.field(default=OrderDirection.ASC, description="Which end comes first.")


Filtered = Annotated[ConnectionFilter | None, strawberry.argument(description="Only those that match all of it.")]
Ordered = Annotated[ConnectionOrder | None, strawberry.argument(description="In which order; by name without it.")]


def ordered_query(query: ConnectionQuery, filter: ConnectionFilter | None, order: ConnectionOrder | None) -> ConnectionQuery:
    """The query, narrowed by what a client wants. Raises InvalidInput."""
    if filter is not None:
        query = replace(
            query,
            search=checked_search(filter.search),
            connector_key=query.connector_key or find_key(filter.connector_key),
            statuses=None if filter.status is None else tuple(filter.status),
            authentication_type=filter.authentication_type,
            is_default=filter.is_default,
            owner_id=find_id(filter.owner_id),
            owner_active=filter.owner_active,
            nowhere=query.nowhere or (filter.owner_id is not None and find_id(filter.owner_id) is None),
        )
    if order is not None:
        query = replace(query, order=order.field, descending=order.direction is OrderDirection.DESC)
    return query


async def connection_page(
    info: Info, query: ConnectionQuery, *, first: int | None, after: str | None, each: Each | None = None
) -> "Page[Connection]":
    """One page of the connections that the viewer can see. `each`: what the lists beside this one differ in; all are read at once."""
    from api.graphql.connections import Connection

    reading, actor, loaders = info.context.patchbay.reading, info.context.actor, info.context.loaders
    cursors = Cursors(info.context, "connections", _binding(query))
    length, position = checked_first(first), _position(query, cursors.read(after))
    columns = columns_asked(info)

    async def count() -> int:
        return await reading.count(actor, query) if each is None else await loaders.page_count.load((query, each)) or 0

    if columns is not None and (each is None or position is not None):
        page = await record_page(actor, query, columns, first=length, after=position)
        if page is not None:
            return _page_of_records(page, query, cursors, count)
    # A cursor is of one list, so that no list beside it goes on from there.
    found = None if each is None or position is not None else await loaders.first_page.load((query, each, length))
    found = found or await reading.page(actor, query, first=length, after=position)
    cursor = cursors.write(_written(Position.of(found.rows[-1], query.order))) if found.rows else None
    return page_of([Connection.of(row) for row in found.rows], cursor=cursor, has_next=found.has_next, count=count)


def _page_of_records(page: RecordPage, query: ConnectionQuery, cursors: Cursors, count: Callable[[], Awaitable[int]]) -> "Page[Connection]":
    def end() -> str | None:
        return cursors.write(_written(Position.of_record(page.rows[-1], query.order))) if page.rows else None

    # In the place of objects: a plan, which asked for these columns, makes none.
    nodes: Any = Records.of(page.rows)
    return page_of(nodes, cursor=end, has_next=page.has_next, count=count)


def _binding(query: ConnectionQuery) -> tuple[Hashable, ...]:
    return (
        query.folder_id,
        query.search,
        query.connector_key,
        query.statuses,
        query.authentication_type,
        query.is_default,
        query.owner_id,
        query.owner_active,
        query.nowhere,
        query.order,
        query.descending,
    )


def _written(position: Position) -> list[str]:
    value = position.value.isoformat() if isinstance(position.value, datetime) else position.value
    return [value, str(position.id)]


def _position(query: ConnectionQuery, written: Any) -> Position | None:
    if written is None:
        return None
    value, id_text = written
    id = find_id(id_text)
    assert id is not None
    return Position(value if query.order is OrderField.NAME else datetime.fromisoformat(value), id)

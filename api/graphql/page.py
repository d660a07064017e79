"""Pages and their cursors: opaque, signed, and good only for the list, the filter and the viewer that they came from."""

import hashlib
import json
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any, Generic, TypeVar
from uuid import UUID

import orjson
import strawberry

from api.errors import InvalidInput
from api.graphql.context import Context
from api.organization.directory import NamePosition
from api.vault.signing import read_signed, write_signed

Node = TypeVar("Node")

_USUAL_PAGE = 50
_LONGEST_PAGE = 100
# As long as an account may be, which is the longest of what is searched.
_LONGEST_SEARCH = 320
_PURPOSE = "cursor"


First = Annotated[int | None, strawberry.argument(description="How many at most: 1 to 100.")]
After = Annotated[str | None, strawberry.argument(description="The end cursor of the page before.")]


@strawberry.type(description="Where a page ends.")
class PageInfo:
    cursor: strawberry.Private[Callable[[], str | None]]

    @strawberry.field(description="Hand it to `after` for the next page; null where the page is empty.")
    def end_cursor(self) -> str | None:
        return self.cursor()

    has_next_page: bool = strawberry.field(description="Whether there is a next page.")


@strawberry.type(description="One page of a list.")
class Page(Generic[Node]):
    nodes: list[Node] = strawberry.field(description="What is on this page.")
    page_info: PageInfo = strawberry.field(description="How to go on.")
    count: strawberry.Private[Callable[[], Awaitable[int]]]

    @strawberry.field(description="How many there are on all pages; counted only where it is asked for.")
    async def total_count(self) -> int:
        return await self.count()


@dataclass(frozen=True, slots=True)
class Cursors:
    """Makes and reads the cursors of one list. `binding` is what the list depends upon: its filter and order."""

    context: Context
    kind: str
    binding: Hashable = None

    def write(self, position: Any) -> str:
        return write_signed(orjson.dumps(position), self.context.patchbay.vault, purpose=_PURPOSE, scope=self._scope())

    def read(self, cursor: str | None) -> Any:
        """The position, or None for none. Raises InvalidInput for what is not a cursor of this list."""
        if cursor is None:
            return None
        payload = read_signed(cursor, self.context.patchbay.vault, purpose=_PURPOSE, scope=self._scope())
        if payload is None:
            raise InvalidInput({"after": "is not a cursor of this list: use one that came with the same arguments"})
        return json.loads(payload)

    def _scope(self) -> bytes:
        return _scope(self.kind, self.context.actor.user_id, self.binding)


# Who asks for one page asks for the next one.
@lru_cache(256)
def _scope(kind: str, user_id: UUID, binding: Hashable) -> bytes:
    return hashlib.sha256(json.dumps([kind, str(user_id), binding], default=str).encode()).digest()


def written_name(position: NamePosition) -> list[str]:
    """A position in a list that is ordered by name, as a cursor holds it."""
    return [position.name, str(position.id)]


def name_position(written: Any) -> NamePosition | None:
    return None if written is None else NamePosition(written[0], UUID(written[1]))


def checked_first(first: int | None) -> int:
    """How long the page is; fifty where nothing is said. Raises InvalidInput where it would be empty or too long."""
    if first is None:
        return _USUAL_PAGE
    if not 1 <= first <= _LONGEST_PAGE:
        raise InvalidInput({"first": f"must be between 1 and {_LONGEST_PAGE}"})
    return first


def checked_search(text: str | None) -> str | None:
    """What to search for. Raises InvalidInput where it is longer than anything that is searched."""
    if text is not None and len(text) > _LONGEST_SEARCH:
        raise InvalidInput({"filter.search": f"must not be longer than {_LONGEST_SEARCH} characters"})
    return text


def page_of(
    nodes: list[Node], *, cursor: str | Callable[[], str | None] | None, has_next: bool, count: Callable[[], Awaitable[int]]
) -> Page[Node]:
    """`cursor`: of the last of these nodes; or what writes it, where it is asked for."""
    write = cursor if callable(cursor) else lambda: cursor
    return Page(nodes=nodes, page_info=PageInfo(cursor=write, has_next_page=has_next), count=count)


def counted(total: int) -> Callable[[], Awaitable[int]]:
    """A count that is known already."""

    async def count() -> int:
        return total

    return count

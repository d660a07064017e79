"""One page of connections out of any number of folders, in one order, at the price of the page: however many there are around it.

An index has each folder in each order. So the page is looked for in every folder by itself, and what was found is put in order. Asked for
all folders at once, both databases would read whatever is in them, and sort it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from tortoise.context import require_context

from models.status import ConnectionStatus

_ON_POSTGRESQL = """
SELECT {columns} FROM connection JOIN (
  SELECT found.id, found.value FROM json_array_elements_text($1::json) AS place(folder_id)
  CROSS JOIN json_array_elements_text($2::json) AS state(status)
  CROSS JOIN LATERAL (
    SELECT each.id, each.{order} AS value FROM connection AS each
    WHERE each.folder_id = place.folder_id::uuid {further} ORDER BY {each} {direction}, each.id {direction} LIMIT {most}
  ) AS found
  ORDER BY found.value {direction}, found.id {direction} LIMIT {most}
) AS page ON page.id = connection.id
ORDER BY page.value {direction}, page.id {direction}
"""
# The same, where no subquery may look to its side.
_ON_SQLITE = """
SELECT {columns} FROM connection WHERE connection.id IN (
  SELECT found.id FROM json_each($1) AS place CROSS JOIN json_each($2) AS state CROSS JOIN connection AS found ON found.id IN (
    SELECT each.id FROM connection AS each
    WHERE each.folder_id = place.value {further} ORDER BY {each} {direction}, each.id {direction} LIMIT {most}
  )
  ORDER BY found.{order} {direction}, found.id {direction} LIMIT {most}
)
ORDER BY connection.{order} {direction}, connection.id {direction}
"""
_STATUS = {"postgres": "AND each.status = state.status", "sqlite": "AND each.status = state.value"}


@dataclass(frozen=True, slots=True)
class OrderedPage:
    """`most` connections in the order of a column and then of their ids, from behind a position on."""

    folder_ids: Sequence[UUID]
    column: str
    descending: bool
    most: int
    statuses: Sequence[ConnectionStatus] | None = None
    after: tuple[str | datetime, UUID] | None = None

    def statement(self, columns: str = "connection.*") -> tuple[str, list[object]]:
        """For `rows`: what selects these columns of the page, with its parameters.

        Pages of one list have the same text, but for the first.
        """
        dialect = require_context().db().capabilities.dialect
        # Without a status there is one state, of which nothing is asked.
        states = [""] if self.statuses is None else list(self.statuses)
        each = self._each()
        further = "" if self.statuses is None else _STATUS[dialect]
        if self.after is not None:
            further += f" AND ({each}, each.id) {'<' if self.descending else '>'} ($3, $4)"
        form = _ON_POSTGRESQL if dialect == "postgres" else _ON_SQLITE
        direction = "DESC" if self.descending else "ASC"
        # The limit is in the text, because PostgreSQL plans for a tenth of the table where it does not know it.
        statement = form.format(columns=columns, order=self.column, each=each, further=further, direction=direction, most=self.most)
        return statement, [[str(id) for id in self.folder_ids], states, *(self.after or ())]

    def _each(self) -> str:
        """What each folder is ordered by: the column, or what is no index's but has the same value.

        Of the statuses that few have, all that have them are read and sorted, where no index has those in that order: to go through the
        others in order, and pass over them, would take longer the more there are.
        """
        few = self.statuses is not None and ConnectionStatus.CONNECTED not in self.statuses
        return f"coalesce(each.{self.column}, each.{self.column})" if few and self.column != "name_key" else f"each.{self.column}"

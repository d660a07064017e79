"""One subscription as its client sees it, which may be slow, and holds all that it is told against the model."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import orjson
from strawberry.types.graphql import OperationType

from api.graphql import sharing
from api.graphql.schema import schema
from api.graphql.sharing import Document
from api.patchbay import Patchbay
from tests.events.seen import Happened, Viewer

# Those of one kind differ in their variables alone.
DOCUMENTS = {
    "names": "subscription($after: String) { connectionStatusChanged(after: $after) { cursor connectionName } }",
    "folders": """
        subscription($after: String, $all: Boolean!, $in: ID) {
          connectionStatusChanged(after: $after, folderId: $in) {
            cursor connectionName folder { id permissions @include(if: $all) } previousFolder { id } actor @include(if: $all) { email }
          }
        }""",
    # Made for each: it goes into what only the viewer may list.
    "lists": """
        subscription($after: String) {
          connectionStatusChanged(after: $after) { cursor connectionName folder { connections(first: 1) { totalCount } } }
        }""",
}


class Follower:
    """`who`: which of those there are. `start`: the number of the last event that it does not want.

    `since`: which state there was when it began. `look`: told what was answered, and whether to many at once.
    """

    def __init__(
        self,
        who: int,
        viewer: Viewer,
        document: str,
        variables: Mapping[str, Any],
        start: int,
        since: int,
        look: Callable[["Follower", Mapping[str, Any], bool], Happened],
    ) -> None:
        self.who = who
        self.viewer = viewer
        self.document = document
        self.variables = variables
        self.start = start
        self.since = since
        self.told: list[Happened] = []
        self.codes: list[str] = []
        self.has_ended = False
        # It takes nothing more until it is let go on.
        self.goes_on = asyncio.Event()
        self.goes_on.set()
        self.waits_to_go_on = False
        # So often it is not there to be written to at once.
        self.misses = 0
        self.has_been_away_long = False
        self._look = look

    @property
    def last(self) -> int:
        return self.told[-1].number if self.told else self.start

    @property
    def is_stuck(self) -> bool:
        return self.waits_to_go_on and not self.goes_on.is_set() and not self.has_ended

    def wants(self, happened: Happened) -> bool:
        asked = self.variables.get("in")
        return happened.number > self.start and (asked is None or asked in [str(place) for place in happened.places])

    def asked_for(self, answer: Mapping[str, Any]) -> bool:
        """Whether it is answered with what its document and its variables ask for, no more and no less."""
        folder, asked = set[str](), {"cursor", "connectionName"}
        match self.document:
            case "folders":
                asked |= {"folder", "previousFolder"} | ({"actor"} if self.variables["all"] else set())
                folder = {"id"} | ({"permissions"} if self.variables["all"] else set())
            case "lists":
                asked, folder = asked | {"folder"}, {"connections"}
        told = answer.get("folder")
        return answer.keys() == asked and (told is None or told.keys() == folder)

    def write(self, payload: bytes) -> bool:
        if self.misses or not self.goes_on.is_set():
            self.misses = max(0, self.misses - 1)
            return False
        self._take(payload, shared=True)
        return True

    async def follow(self, patchbay: Patchbay) -> None:
        asked = Document(schema, DOCUMENTS[self.document], None, dict(self.variables), {OperationType.SUBSCRIPTION})
        try:
            async for answer in sharing.answers(asked, patchbay, self.viewer.actor, write=self.write):
                self._take(answer.payload, shared=False)
                self.waits_to_go_on = True
                await self.goes_on.wait()
                self.waits_to_go_on = False
        finally:
            self.has_ended = True

    def _take(self, payload: bytes, *, shared: bool) -> None:
        answer = orjson.loads(payload)
        if "errors" in answer:
            self.codes += [error["extensions"]["code"] for error in answer["errors"]]
        else:
            self.told.append(self._look(self, answer["data"]["connectionStatusChanged"], shared))

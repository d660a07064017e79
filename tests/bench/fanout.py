"""An event to all who watch: the sides take turns, each with an audience of its own that stays.

Patchbay's audience are people of one folder, with fifty sockets each. Its events are renamings through its API; theirs are told them.
"""

import asyncio
import json
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal
from uuid import UUID, uuid4

import click

import models
from api.clock import utc_now
from api.graphql.turnstile import STREAMS_PER_CALLER
from api.opening import open_patchbay
from api.settings import Settings
from models import AuthenticationType, FolderKind, Permission
from tests import many
from tests.acceptance.processes import free_port
from tests.bench.audience import Audience, Shown, Turn
from tests.bench.ground import Ground, ground
from tests.bench.npm import SCRIPTS, installed
from tests.bench.rows import Options, Spread
from tests.bench.servers import Server, serving

Side = Literal["patchbay", "stalled", "broadcast", "strawberry", "graphql-ws"]

_DOCUMENT = """
subscription { connectionStatusChanged {
  cursor type connectionId connectionName previousStatus status at reason { code message } connection { id name status } folder { id name }
} }
"""
_RENAME = "mutation($id: ID!, $name: String!) { renameConnection(input: {connectionId: $id, name: $name}) { __typename } }"
_SUBSCRIBERS = (1_000, 5_000)
# Enough that what the systems between keep of them is full, for who does not read.
_FILLING = 250
_FILLING_SECONDS = 8


@dataclass(frozen=True, slots=True)
class Fanout:
    """One side, for so many subscribers, over all rounds. `stalled` is Patchbay where every tenth does not read."""

    heading: ClassVar[str] = (
        f"{'work':10}  {'database':10}  {'watching':>8}  {'side':10}  {'deliveries/s':>24}  {'processor µs':>18}  {'last ms':>20}  "
        f"{'KB each':>7}  {'Patchbay: by rate':>18}  {'by processor':>18}"
    )

    work: str
    database: str
    subscribers: int
    side: Side
    rounds: int
    deliveries_per_second: Spread
    # Of the server alone, a delivery.
    processor_microseconds: Spread
    # From asking for the event until the last had it.
    last_milliseconds: Spread
    kilobytes_a_subscriber: float
    joined_seconds: float
    bytes_an_event: int
    patchbay_by_rate: Spread
    patchbay_by_processor: Spread

    def __str__(self) -> str:
        figures = [
            f"{self.deliveries_per_second.told(0):>24}",
            f"{self.processor_microseconds.told(1):>18}",
            f"{self.last_milliseconds.told(0):>20}",
            f"{self.kilobytes_a_subscriber:7.1f}",
        ]
        if self.side != "patchbay":
            figures += [f"{each.told(2):>18}" for each in (self.patchbay_by_rate, self.patchbay_by_processor)]
        return "  ".join([f"{self.work:10}", f"{self.database:10}", f"{self.subscribers:8}", f"{self.side:10}", *figures])


@dataclass(frozen=True, slots=True)
class Figures:
    """What one side did in one round."""

    deliveries_per_second: float
    processor_microseconds: float
    last_milliseconds: float
    bytes_an_event: int


@dataclass(frozen=True, slots=True)
class Watched:
    """The folder's connection, and the tokens of those who may see it, each for so many sockets."""

    connection_id: UUID
    tokens: tuple[str, ...]


class Stand:
    """A side with its audience."""

    def __init__(self, side: Side, server: Server, process: asyncio.subprocess.Process) -> None:
        self.side = side
        self.kilobytes = 0.0
        self.joined_seconds = 0.0
        self._server = server
        self._process = process

    async def fill(self, audience: Audience) -> None:
        """Have the audience join, and see what that takes."""
        before = self._server.memory()[1]
        self.joined_seconds = await self._told(asdict(audience))
        await self.turn(Turn(0))
        self.kilobytes = 1024 * (self._server.memory()[1] - before) / audience.subscribers

    async def turn(self, turn: Turn) -> Figures:
        before = self._server.processor_seconds()
        shown = Shown(**await self._told(asdict(turn)))
        spent = self._server.processor_seconds() - before
        return Figures(shown.deliveries / shown.seconds, 1e6 * spent / shown.deliveries, shown.median_last_milliseconds, shown.bytes_each)

    async def _told(self, order: dict[str, Any]) -> Any:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(order).encode() + b"\n")
        line = await self._process.stdout.readline()
        if not line:
            raise RuntimeError(
                f"the audience of {self.side} did not come to an end; what it said is above\n{self._server.program.log[-3000:]}"
            )
        return json.loads(line)


async def measure_fanout(options: Options) -> AsyncIterator[Fanout]:
    """All sides for each number of subscribers; without Node, all but graphql-ws."""
    node = await _packages()
    others: list[Side] = ["graphql-ws"] if node else []
    sides: list[Side] = ["patchbay", "broadcast", "strawberry", *others]
    for kind in options.kinds:
        for subscribers in _SUBSCRIBERS:
            with tempfile.TemporaryDirectory(prefix="patchbay-bench-") as folder:
                async with ground(kind, Path(folder), 100) as here:
                    for row in await _measured(here, sides, subscribers, options, node):
                        yield row


async def _packages() -> Path | None:
    try:
        return await installed()
    except RuntimeError as missing:
        click.echo(f"Without graphql-ws: {missing}", err=True)
        return None


async def _measured(here: Ground, sides: Sequence[Side], subscribers: int, options: Options, node: Path | None) -> list[Fanout]:
    watched = await _watched(here, subscribers)
    async with AsyncExitStack() as stack:
        stands = [await stack.enter_async_context(_stand(side, here, watched, subscribers, node)) for side in sides]
        found: dict[Side, list[Figures]] = {side: [] for side in sides}
        for number in range(options.rounds):
            # Forth and back, so that none is always the first.
            for stand in stands if number % 2 == 0 else reversed(stands):
                found[stand.side].append(await stand.turn(Turn(options.seconds)))
        rows = [_row(here, stand.side, stand, subscribers, found) for stand in stands]
        # At the end, because whoever does not read is left after a while. The others are compared with how they fared just before.
        fared: dict[Side, list[Figures]] = {"patchbay": [await stands[0].turn(Turn(options.seconds)) for _ in range(options.rounds)]}
        await stands[0].turn(Turn(_FILLING_SECONDS, _FILLING, stalled=subscribers // 10))
        fared["stalled"] = [await stands[0].turn(Turn(options.seconds)) for _ in range(options.rounds)]
        return [*rows, _row(here, "stalled", stands[0], subscribers, fared)]


@asynccontextmanager
async def _stand(side: Side, here: Ground, watched: Watched, subscribers: int, node: Path | None) -> AsyncIterator[Stand]:
    port = free_port()
    environment = here.environment | {"PATCHBAY_PORT": str(port)}
    audience = _audience(side, port, here, watched, subscribers)
    async with serving(_command(side, port, node), port, here, environment, side=side) as server:
        # With the first one a server loads what it needs for any: that is nobody's share.
        async with _hall() as process:
            await Stand(side, server, process).fill(replace(audience, subscribers=1))
        async with _hall() as process:
            stand = Stand(side, server, process)
            await stand.fill(audience)
            yield stand


@asynccontextmanager
async def _hall() -> AsyncIterator[asyncio.subprocess.Process]:
    """A process for an audience."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "tests.bench.audience", stdin=pipe, stdout=pipe)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def _command(side: Side, port: int, node: Path | None) -> list[str]:
    match side:
        case "patchbay":
            return [sys.executable, "-m", "api", "serve", "--no-refresh"]
        case "graphql-ws":
            assert node is not None
            [binary] = node.glob("node-linux-*/bin/node")
            return [str(binary), str(SCRIPTS / "graphql_ws.mjs"), str(port), str(node.parent)]
    return [sys.executable, "-m", "tests.bench.broadcasting", side, str(port)]


def _audience(side: Side, port: int, here: Ground, watched: Watched, subscribers: int) -> Audience:
    document = None if side == "broadcast" else _DOCUMENT
    if side == "patchbay":
        asked = {"query": _RENAME, "variables": {"id": str(watched.connection_id), "name": "Event @@@@@@"}}
        trigger = _request(port, "/graphql", json.dumps(asked), here.token.reveal())
        return Audience(port, "/graphql", document, watched.tokens, subscribers, trigger)
    return Audience(port, "/graphql", document, ("none",), subscribers, _request(port, "/publish", "@@@@@@", "none"))


def _request(port: int, path: str, body: str, token: str) -> str:
    head = [
        f"POST {path} HTTP/1.1",
        f"Host: 127.0.0.1:{port}",
        f"Authorization: Bearer {token}",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
    ]
    return "\r\n".join(head) + "\r\n\r\n" + body


async def _watched(here: Ground, subscribers: int) -> Watched:
    """A folder that as many people may look into as it takes to watch it by so many sockets."""
    settings = Settings.from_environment(here.environment)
    async with open_patchbay(settings, serves=False, refreshes=False) as patchbay:
        now, owner = utc_now(), await models.User.get(name="Ada")
        folder = await models.Folder.create(id=uuid4(), name="Watched", name_key="watched", kind=FolderKind.SHARED, created_at=now)
        await models.FolderGrant.create(folder=folder, user_id=owner.id, permissions=Permission.every())
        connection = many.a_connection(
            folder, 0, id=uuid4(), owner_id=owner.id, connector_key="measured", authentication_type=AuthenticationType.PERSONAL_ACCESS_TOKEN
        )
        await many.add([connection])
        tokens = []
        for number in range(-(-subscribers // STREAMS_PER_CALLER)):
            user = await patchbay.people.add_user(name=f"Watcher {number}")
            await models.FolderGrant.create(folder=folder, user_id=user.id, permissions=Permission.VIEW)
            tokens.append((await patchbay.people.add_token(user.id, name="For watching")).token.reveal())
    return Watched(connection.id, tuple(tokens))


def _row(here: Ground, side: Side, stand: Stand, subscribers: int, found: dict[Side, list[Figures]]) -> Fanout:
    mine = found[side]
    pairs = list(zip(found["patchbay"], mine, strict=True))
    return Fanout(
        work="fanout",
        database=here.kind,
        subscribers=subscribers,
        side=side,
        rounds=len(mine),
        deliveries_per_second=Spread.of([each.deliveries_per_second for each in mine]),
        processor_microseconds=Spread.of([each.processor_microseconds for each in mine]),
        last_milliseconds=Spread.of([each.last_milliseconds for each in mine]),
        kilobytes_a_subscriber=stand.kilobytes,
        joined_seconds=stand.joined_seconds,
        bytes_an_event=mine[0].bytes_an_event,
        patchbay_by_rate=Spread.of([one.deliveries_per_second / other.deliveries_per_second for one, other in pairs]),
        patchbay_by_processor=Spread.of([other.processor_microseconds / one.processor_microseconds for one, other in pairs]),
    )

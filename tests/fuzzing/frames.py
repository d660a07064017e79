"""Sequences of frames, good and spoiled ones, over a real socket: each socket has to end with a code, and nothing is logged."""

import json
import random
from collections.abc import Sequence
from typing import Any

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from tests.fuzzing.bodies import Bodies
from tests.fuzzing.documents import Documents
from tests.fuzzing.scene import Run, Scene, open_scene
from tests.fuzzing.tally import Tally
from tests.graphql.endpoint import close_code

_EVERY = 500
_AT_ONCE = 4
# Its answer shows that what was asked before it was begun; then comes no message of the protocol, so that the socket has to end.
_LAST_QUESTION = '{"type":"subscribe","id":"last","payload":{"query":"{ viewer { id } }"}}'
_END = '{"type":"end"}'

Frame = str | bytes


async def send_frames(run: Run, count: int) -> Tally:
    """So many sockets, with up to ten frames each."""
    tally, chance = Tally("sockets of frames"), random.Random(run.seed)
    while tally.trials < count:
        async with open_scene(run) as scene:

            async def send(frames: Sequence[Frame], scene: Scene = scene) -> None:
                await _send(run, scene, tally, frames)

            frames = _Frames(chance, scene)
            for _ in range(min(_EVERY, count - tally.trials) // _AT_ONCE or 1):
                await run.watch.trials(tally, [frames.next() for _ in range(min(_AT_ONCE, count - tally.trials))], send)
    return tally


class _Frames:
    """Makes sequences of frames."""

    def __init__(self, chance: random.Random, scene: Scene) -> None:
        self._chance = chance
        self._scene = scene
        self._documents = Documents(chance, scene.ids, scene.canary)
        self._bodies = Bodies(chance, [self._good() for _ in range(30)], [chance.randbytes(40) for _ in range(20)])

    def next(self) -> list[Frame]:
        begin = [json.dumps({"type": "connection_init", "payload": {"authorization": self._scene.tokens[self._chance.randrange(2)]}})]
        # The first that is spoiled ends it, so that only where few are anything else is reached.
        share = self._chance.choice([0.02, 0.1, 0.5])
        more = [self._frame(share) for _ in range(self._chance.randint(1, 9))]
        return [*(begin if self._chance.random() < 0.9 else []), *more]

    def _good(self) -> dict[str, Any]:
        document = self._documents.next(["query", "subscription"]).body
        id = self._chance.choice([*"123456789", "a" * 128])
        token = self._chance.choice([*self._scene.tokens, self._scene.canary])
        return self._chance.choice(
            [
                {"type": "subscribe", "id": id, "payload": document},
                {"type": "subscribe", "id": id, "payload": document},
                {"type": "complete", "id": id},
                {"type": "ping"},
                {"type": "pong", "payload": {"a": 1}},
                {"type": "connection_init", "payload": {"authorization": token}} if self._chance.random() < 0.2 else {"type": "ping"},
            ]
        )

    def _frame(self, share: float) -> Frame:
        """A frame, that in this share of cases is spoiled as bytes, and in as many in one of its members."""
        fate = self._chance.random() / share
        if fate > 2:
            return json.dumps(self._good())
        frame = self._bodies.spoiled() if fate < 1 else json.dumps(self._strange(self._good())).encode()
        return frame if self._chance.random() < 0.05 else frame.decode(errors="replace")

    def _strange(self, frame: dict[str, Any]) -> dict[str, Any]:
        values: list[Any] = [
            None,
            1,
            [],
            {},
            "",
            "x" * 200,
            "subscribe",
            "next",
            {"query": 1},
            {"authorization": {}},
            {"authorization": None},
        ]
        return frame | {self._chance.choice(["type", "id", "payload"]): self._chance.choice(values)}


async def _send(run: Run, scene: Scene, tally: Tally, frames: Sequence[Frame]) -> None:
    async with scene.endpoint.socket() as opened:
        heard: list[Frame] = []
        try:
            for frame in [*frames, _LAST_QUESTION]:
                await opened.send(frame)
            await _hear_to_the_end(opened, heard)
        except ConnectionClosed:
            pass
        code = await close_code(opened)
        text = " ".join(str(each) for each in heard)
        tally.count(str(code))
        if code is None or not (4400 <= code < 4500 or code in (1000, 1003, 1007, 1008, 1009)) or '"INTERNAL"' in text:
            tally.server_error((code, text[:500], frames))
        if run.watch.sees_secret(f"{text} {opened.close_reason}"):
            tally.leak((text[:500], frames))


async def _hear_to_the_end(opened: ClientConnection, heard: list[Frame]) -> None:
    async for frame in opened:
        heard.append(frame)
        said = json.loads(frame)
        if said.get("id") == "last" and said["type"] in ("complete", "error"):
            await opened.send(_END)

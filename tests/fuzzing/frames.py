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
# No message of the protocol: whoever gets so far is refused here at the latest.
_LAST = '{"type":"end"}'

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
        spoiled = [self._spoiled() for _ in range(self._chance.randint(1, 9))]
        return [*(begin if self._chance.random() < 0.9 else []), *spoiled]

    def _good(self) -> dict[str, Any]:
        document = self._documents.next(["query", "subscription"]).body
        id = self._chance.choice(["1", "2", "a" * 128])
        token = self._chance.choice([*self._scene.tokens, self._scene.canary])
        return self._chance.choice(
            [
                {"type": "subscribe", "id": id, "payload": document},
                {"type": "subscribe", "id": id, "payload": document},
                {"type": "complete", "id": id},
                {"type": "ping"},
                {"type": "pong", "payload": {"a": 1}},
                {"type": "connection_init", "payload": {"authorization": token}},
            ]
        )

    def _spoiled(self) -> Frame:
        frame = self._bodies.spoiled() if self._chance.random() < 0.5 else json.dumps(self._strange(self._good())).encode()
        return frame if self._chance.random() < 0.05 else frame.decode(errors="replace")

    def _strange(self, frame: dict[str, Any]) -> dict[str, Any]:
        """The same frame, or one with a member of another kind."""
        if self._chance.random() < 0.6:
            return frame
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
            for frame in [*frames, _LAST]:
                await opened.send(frame)
            await _hear_all(opened, heard)
        except ConnectionClosed:
            pass
        code = await close_code(opened)
        text = " ".join(str(each) for each in heard)
        tally.count(str(code))
        if code is None or not (4400 <= code < 4500 or code in (1000, 1003, 1007, 1008, 1009)) or '"INTERNAL"' in text:
            tally.server_error((code, text[:500], frames))
        if run.watch.sees_secret(f"{text} {opened.close_reason}"):
            tally.leak((text[:500], frames))


async def _hear_all(opened: ClientConnection, heard: list[Frame]) -> None:
    async for frame in opened:
        heard.append(frame)  # noqa: PERF401  # what was heard before it was closed counts as well

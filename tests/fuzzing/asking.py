"""Documents and bodies, sent to the endpoint."""

import json
import random
from collections.abc import AsyncIterator, Iterator, Sequence
from itertools import cycle
from typing import Any, TypeVar

import httpx2
from graphql import StringValueNode, print_schema
from hypothesis import strategies as st
from hypothesis_graphql import from_schema

from api.graphql.schema import schema
from tests.fuzzing.bodies import Bodies, Sent
from tests.fuzzing.documents import Asked, Documents
from tests.fuzzing.drawing import drawn
from tests.fuzzing.scene import Run, Scene, open_scene
from tests.fuzzing.tally import Tally, Watch

# After so many, people and their things are made anew: what was asked has changed and deleted much of it.
_EVERY = 500
_AT_ONCE = 16

Item = TypeVar("Item")


async def ask_documents(run: Run, count: int) -> Tally:
    """Documents of our grammar, by turns as an administrator and as somebody who may see one folder."""
    tally, chance = Tally("documents of our grammar"), random.Random(run.seed)
    while tally.trials < count:
        async with open_scene(run) as scene:
            documents = Documents(chance, scene.ids, scene.canary)
            await _ask(run, scene, tally, [documents.next() for _ in range(min(_EVERY, count - tally.trials))])
    return tally


async def ask_drawn_documents(run: Run, count: int) -> Tally:
    """Documents that hypothesis-graphql draws from the printed schema."""
    tally = Tally("documents of hypothesis-graphql")
    moments = st.sampled_from(["2999-01-31T12:00:00Z", "soon", ""]).map(lambda text: StringValueNode(value=text))
    strategy = from_schema(print_schema(schema._schema), custom_scalars={"DateTime": moments})
    documents = [Asked(text) for text in drawn(strategy, count, run.seed)]
    for some in _in_parts(documents, _EVERY):
        async with open_scene(run) as scene:
            await _ask(run, scene, tally, some)
    return tally


async def _ask(run: Run, scene: Scene, tally: Tally, documents: Sequence[Asked]) -> None:
    async def ask(asked: Asked) -> None:
        headers = {"authorization": f"Bearer {next(tokens)}"}
        answer = await scene.endpoint.client.post(scene.endpoint.url, json=_encodable(asked.body), headers=headers)
        _look(answer, asked, run.watch, tally)

    tokens = cycle(scene.tokens)
    for batch in _in_parts(documents, _AT_ONCE):
        await run.watch.trials(tally, batch, ask)


def _in_parts(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    return (items[start : start + size] for start in range(0, len(items), size))


def _encodable(body: object) -> object:
    """Half of a pair of surrogates can be said in JSON only by its escape, which the client does not write."""
    match body:
        case str():
            return body.encode(errors="surrogatepass").decode(errors="replace")
        case dict():
            return {_encodable(name): _encodable(value) for name, value in body.items()}
        case list():
            return [_encodable(each) for each in body]
    return body


async def send_bodies(run: Run, count: int) -> Tally:
    tally, chance = Tally("raw bodies"), random.Random(run.seed)
    strange = drawn(st.binary(max_size=300) | st.text(max_size=100).map(str.encode), min(count // 4, 5_000), run.seed)

    async with open_scene(run) as scene:

        async def send(sent: Sent) -> None:
            _look(await _post(scene, sent, chance), sent, run.watch, tally)

        bodies = Bodies(chance, _good(scene, chance), strange)
        while tally.trials < count:
            await run.watch.trials(tally, [bodies.next() for _ in range(min(_AT_ONCE, count - tally.trials))], send)
    return tally


def _good(scene: Scene, chance: random.Random) -> list[dict[str, Any]]:
    """Queries, and a mutation that holds secrets but is for nobody's folder."""
    documents = Documents(chance, scene.ids, scene.canary)
    wish = {
        "folderId": "none", "connectorKey": "sandbox", "authenticationType": "PERSONAL_ACCESS_TOKEN",
        "fields": [{"name": "token", "value": scene.canary}],
    }  # fmt: skip
    connect = {"query": "mutation($input: ConnectInput!) { connect(input: $input) { __typename } }", "variables": {"input": wish}}
    plain = {"query": "query A($n: Int) { folders(first: $n) { nodes { id name } } }", "variables": {"n": 5}, "operationName": "A"}
    return [plain, connect, connect, *(_plain_body(documents) for _ in range(20))]


def _plain_body(documents: Documents) -> dict[str, Any]:
    body = _encodable(documents.next(["query"]).body)
    assert isinstance(body, dict)
    return body


async def _post(scene: Scene, sent: Sent, chance: random.Random) -> httpx2.Response:
    known = {} if chance.random() < 0.02 else scene.endpoint.with_token
    headers = [(name.encode(), value.encode()) for name, value in (known | dict(sent.headers)).items()]
    content = sent.body if sent.chunk is None else _in_pieces(sent.body, max(sent.chunk, len(sent.body) // 50))
    return await scene.endpoint.client.post(scene.endpoint.url, content=content, headers=headers)


async def _in_pieces(body: bytes, size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(body), max(1, size)):
        yield body[start : start + size]


def _look(answer: httpx2.Response, sent: object, watch: Watch, tally: Tally) -> None:
    codes = [error["extensions"]["code"] for error in answer.json().get("errors", [])] if "json" in answer.headers["content-type"] else []
    tally.count(f"{answer.status_code} {codes[0] if codes else ''}".strip())
    if answer.status_code >= 500 or '"INTERNAL"' in answer.text:
        tally.server_error((answer.status_code, sent))
    told = json.dumps(but_for_issued(answer.json())) if '"IssueCredentialSuccess"' in answer.text else answer.text
    if watch.sees_secret(told) or watch.sees_secret(repr(answer.headers)):
        tally.leak((answer.text[:500], sent))


def but_for_issued(told: Any) -> Any:
    """An answer, without the credentials in it that were issued to who asked for them: those are told on purpose."""
    match told:
        case dict():
            if "IssueCredentialSuccess" in [value for value in told.values() if isinstance(value, str)]:
                return "issued"
            return {name: but_for_issued(value) for name, value in told.items()}
        case list():
            return [but_for_issued(value) for value in told]
    return told

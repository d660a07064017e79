"""Answers that a token endpoint should never give: through the reader alone, and through a whole refresh."""

import json
import random
import re
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import patch
from urllib.parse import urlencode

from starlette.responses import Response

import models
from api.oauth.answers import parse_token_answer
from api.oauth.errors import TokenError
from api.oauth.tokens import AuthorizationServer
from api.outbound.http import Answer
from api.sandbox import app as sandbox_app
from api.secret import Secret
from tests.fuzzing.scene import Run, Scene, open_scene, secrets_of
from tests.fuzzing.tally import Tally
from tests.fuzzing.texts import HOSTILE_TEXTS, shaken

_NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
_SERVERS = [
    AuthorizationServer("https://a.example/token"),
    AuthorizationServer("https://a.example/token", accepts_form_answer=True, default_lifetime=timedelta(hours=1)),
    AuthorizationServer("https://a.example/token", capture={"a": "team.id", "b": "scope"}, granted_scope_separator=","),
]
_MEMBERS = ["access_token", "refresh_token", "token_type", "expires_in", "scope", "error", "error_description", "ok", "team", "id_token"]
_CONTROLS = [chr(code) for code in (*range(32), 127, 0x85, 0x2028, 0x202E, 0xD800, 0xFEFF)]
_PRINTABLE = re.compile(r"[\x21-\x7e]{1,16384}")
_PART = 16


@dataclass(frozen=True)
class Hostile:
    status: int
    headers: Mapping[str, str]
    body: bytes


def hostile(chance: random.Random, canary: str) -> Hostile:
    """An answer that starts from a good one, and is wrong somewhere."""
    granted = {
        "access_token": f"new{chance.getrandbits(64)}",
        "token_type": "Bearer",
        "expires_in": 60,
        "refresh_token": f"r{chance.random()}",
    }
    for name in chance.sample(_MEMBERS, chance.choice([0, 1, 1, 2, 3])):
        granted[name] = _value(chance, canary)
    headers = {
        "content-type": chance.choice(["application/json", "application/json", "text/html", "application/x-www-form-urlencoded", ""])
    }
    if chance.random() < 0.2:
        headers["retry-after"] = chance.choice(["0", "-1", "1e3", "9" * 400, "soon", "Sun, 01 Mar 99999 11:00:00 GMT"])
    return Hostile(chance.choice([200] * 12 + [201, 204, 301, 400, 400, 401, 403, 429, 500, 503]), headers, _body(granted, chance))


def _body(granted: dict[str, Any], chance: random.Random) -> bytes:
    text = json.dumps(granted, ensure_ascii=chance.random() < 0.8)
    size = chance.choice([10, 40, 2_000, 50_000])
    match chance.randrange(12):
        case 0:
            text = urlencode(granted, errors="replace")
        case 1:
            text = text[:-1] + "," + text[1:]
        case 2:
            text = shaken(text, chance)
        case 3:
            text = text[:-1] + ',"more":' + '{"a":' * size + "1" + "}" * size + "}"
        case 4:
            text = text[:-1] + ',"more":[' + "1," * size + "1]}"
        case 5:
            text = text[:-1] + ',"expires_in":' + "9" * size + "}"
        case 6:
            text = f"[{text}]"
        case 7:
            text = chance.choice(["", "null", "1", '"text"', "[]", "{}", "<html>", "NaN", text + text, "\ufeff" + text])
    return text.encode(chance.choice(["utf-8"] * 8 + ["utf-16", "latin-1"]), errors=chance.choice(["replace", "ignore"]))


def _value(chance: random.Random, canary: str) -> Any:
    control = chance.choice(_CONTROLS)
    return chance.choice(
        [
            None, True, False, 0, -1, 1.5, 10**19, float("inf"), [], {}, [canary], {"token": canary}, "", " ", "a" * 20_000,
            f"a{control}b", f"ab{control}", f"{control}ab", "Bearer x\r\nX-Other: 1", *HOSTILE_TEXTS[:12], "invalid_grant",
            "invalid_client", f"the token {canary} is wrong",
        ]
    )  # fmt: skip


async def read_answers(run: Run, count: int) -> Tally:
    """The reader alone: it raises nothing but its own errors, which repeat no secret, and lets no token through that is no plain text."""
    tally, chance = Tally("token answers, read"), random.Random(run.seed)
    canary = f"canary{chance.getrandbits(128):032x}"
    run.watch.plant([canary])

    async def read(answer: Hostile) -> None:
        said = Answer(answer.status, {name.title(): value for name, value in answer.headers.items()}, answer.body)
        try:
            tokens = parse_token_answer(said, chance.choice(_SERVERS), _NOW, secrets=[Secret(canary)])
        except TokenError as error:
            tally.count(type(error).__name__)
            if run.watch.sees_secret(f"{error} {error!r} {error.error} {error.description}"):
                tally.leak((str(error), answer))
            return
        tally.count("granted")
        assert answer.status // 100 == 2
        _check(tokens.access_token, tokens.refresh_token, tokens.id_token)

    while tally.trials < count:
        await run.watch.trials(tally, [hostile(chance, canary) for _ in range(min(_PART, count - tally.trials))], read)
    return tally


def _check(*tokens: Secret | None) -> None:
    assert all(_PRINTABLE.fullmatch(token.reveal()) for token in tokens if token is not None), "a token is not plain text"


async def refresh_with_answers(run: Run, count: int) -> Tally:
    """A whole refresh at an endpoint that answers so: what was saved is plain text, or is what was there before."""
    tally, chance = Tally("token answers, refreshed"), random.Random(run.seed)
    async with open_scene(run) as scene:
        connection = await scene.here.connect_by_consent(name="Refreshed")
        # Those of the scene would be asked as well.
        await models.Connection.exclude(id=connection.id).update(due_at=None)

        async def refresh(answer: Hostile) -> None:
            tally.count(await _refresh(scene, connection, answer))

        for _ in range(count):
            await run.watch.trials(tally, [hostile(chance, scene.canary)], refresh)
    return tally


async def _refresh(scene: Scene, connection: models.Connection, answer: Hostile) -> str:
    """Have it refreshed once, and say what came of it."""
    here = scene.here
    await models.TokenJournal.all().delete()
    # As if a person had set everything right since the last one.
    await models.OAuthApp.all().update(incident_json=None, incident_since=None)
    healthy = {"status": models.ConnectionStatus.CONNECTED, "reason_json": None, "failures": 0, "internal_failures": 0}
    await models.Connection.filter(id=connection.id).update(**healthy, due_at=here.clock.now, lease_until=None)
    before, old = await models.Credential.get(connection_id=connection.id), await secrets_of(here, connection.id)
    asked: list[object] = []

    with _answering(answer, asked):
        await here.tick(after=timedelta(hours=2))

    after, new = await models.Credential.get(connection_id=connection.id), await secrets_of(here, connection.id)
    if after.generation == before.generation:
        assert new == old, "the old token is gone, and no new one was taken"
        return "kept" if asked else "not asked"
    assert answer.status // 100 == 2, "tokens were taken from an answer that is no success"
    _check(new.access_token, new.refresh_token)
    return "renewed"


def _answering(answer: Hostile, asked: list[object]) -> AbstractContextManager[object]:
    """The sandbox answers so, whatever it is asked for, and does nothing."""

    async def say(request: object, _: object) -> Response:
        asked.append(request)
        # A body under 204 would be a fault of the server that plays the provider.
        return Response(b"" if answer.status == 204 else answer.body, answer.status, dict(answer.headers))

    return patch.object(sandbox_app, "_answer_to_client", say)

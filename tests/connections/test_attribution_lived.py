"""Whose fault it is, lived: for each answer to a refresh, what its connection shows, until when, and whether it mends itself."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

import models
from api.catalog.grant import Blame
from api.connections.requests import OwnApp
from api.outbound.egress import EgressRefused, OutboundError
from api.outbound.http import Answer, AnswerTooLarge, DeadlineExceeded, Obstacle, OutboundClient, OutboundRequest, Unreachable
from models import AuthenticationType, ConnectionEventType
from tests.connections.watching import found, told
from tests.installation import Installation

# What a provider answers is the same to either database.
pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)]

HOST = "https://provider.example"
Said = Answer | OutboundError


@dataclass(frozen=True)
class Lived:
    # What is shown while the token lasts, and once it has ended: status, reason, who can act.
    early: tuple[str, ...]
    late: tuple[str, ...]
    # Whether it is tried again, and so is well by itself once the trouble is over.
    again: bool
    # Whether the token may be used up although none came for it: remembered, so that a later refusal is told as what it is.
    spent: bool


WELL = ("CONNECTED",)
QUIET = Lived(WELL, ("DEGRADED", "PROVIDER_UNREACHABLE", "NOBODY"), again=True, spent=False)
LOST = Lived(WELL, ("DEGRADED", "PROVIDER_UNREACHABLE", "NOBODY"), again=True, spent=True)
FAILED = Lived(WELL, ("DEGRADED", "PROVIDER_ERROR", "NOBODY"), again=True, spent=True)
BUSY = Lived(WELL, ("DEGRADED", "RATE_LIMITED", "NOBODY"), again=True, spent=False)
NO_TOKEN = Lived(WELL, ("DEGRADED", "PROVIDER_ERROR", "OPERATOR"), again=True, spent=True)
OBSCURE = Lived(WELL, ("DEGRADED", "PROVIDER_ERROR", "OPERATOR"), again=True, spent=False)


def at_once(reason: str, fixer: str) -> Lived:
    shown = ("ACTION_REQUIRED", reason, fixer)
    return Lived(shown, shown, again=False, spent=False)


def at_its_end(reason: str, fixer: str) -> Lived:
    """What says nothing of the token, which works for as long as it lasts."""
    return Lived(("CONNECTED", reason, fixer), ("ACTION_REQUIRED", reason, fixer), again=True, spent=False)


DEAD = at_once("REAUTHENTICATION_REQUIRED", "CONNECTION_OWNER")
DENIED = at_once("ACCESS_DENIED", "CONNECTION_OWNER")
SCOPES = at_once("INSUFFICIENT_SCOPES", "CONNECTION_OWNER")
REDIRECT = at_once("REDIRECT_URI_MISMATCH", "APP_OWNER")
APP = at_its_end("INVALID_CLIENT", "APP_OWNER")


def says(status: int, body: str = "{}", **headers: str) -> Answer:
    return Answer(status, {"Content-Type": "application/json"} | headers, body.encode())


def refuses(error: str, status: int = 400, description: str = "") -> Answer:
    return says(status, f'{{"error": "{error}", "error_description": "{description}"}}')


NETWORK: dict[str, tuple[Said, Lived]] = {
    "no address": (Unreachable(HOST, Obstacle.NAME, may_have_arrived=False), QUIET),
    "no connection": (Unreachable(HOST, Obstacle.CONNECTION, may_have_arrived=False), QUIET),
    "no TLS": (Unreachable(HOST, Obstacle.TLS, may_have_arrived=False), QUIET),
    "no connection in time": (DeadlineExceeded(HOST, timedelta(seconds=20), may_have_arrived=False), QUIET),
    "no answer in time": (DeadlineExceeded(HOST, timedelta(seconds=20), may_have_arrived=True), LOST),
    "an answer broken off": (Unreachable(HOST, Obstacle.EXCHANGE, may_have_arrived=True), LOST),
    "an answer without end": (AnswerTooLarge(HOST, "a body"), LOST),
    "an address that may not be called": (
        EgressRefused(HOST, "its address is not public"),
        at_its_end("PROVIDER_UNREACHABLE", "CONNECTION_OWNER"),
    ),
}
TROUBLE: dict[str, tuple[Said, Lived]] = {
    "500 with a page": (says(500, "<html>"), FAILED),
    "502": (says(502), FAILED),
    "503": (refuses("temporarily_unavailable", 503), FAILED),
    "503 that names a code of the grant": (refuses("invalid_grant", 503), FAILED),
    "408": (says(408), FAILED),
    "a redirect": (says(302, Location="https://elsewhere.example/"), FAILED),
    "400 temporarily_unavailable": (refuses("temporarily_unavailable"), FAILED),
    "400 with a page": (says(400, "<html>"), FAILED),
    "401 with a page": (says(401, "<html>"), FAILED),
    "429": (says(429), BUSY),
    "429 that names a code of the grant": (refuses("invalid_grant", 429), BUSY),
    "400 slow_down": (refuses("slow_down"), BUSY),
    "200 ratelimited": (says(200, '{"ok": false, "error": "ratelimited"}'), BUSY),
}
SUCCESSES: dict[str, tuple[Said, Lived]] = {
    "200 with a page": (says(200, "<html>Maintenance</html>"), FAILED),
    "200 and nothing": (says(200, ""), FAILED),
    "200 cut off": (says(200, '{"access_token": "half of'), FAILED),
    "200 without a token": (says(200, '{"token_type": "bearer"}'), NO_TOKEN),
    "200 with a list": (says(200, "[]"), NO_TOKEN),
    "200 with a token that is none": (says(200, '{"access_token": "two words"}'), NO_TOKEN),
    "200 invalid_grant": (refuses("invalid_grant", 200), DEAD),
    "200 token_revoked": (says(200, '{"ok": false, "error": "token_revoked"}'), DEAD),
    "200 invalid_client": (refuses("invalid_client", 200), APP),
}
REFUSALS: dict[str, tuple[Said, Lived]] = {
    "invalid_grant": (refuses("invalid_grant"), DEAD),
    "invalid_client in 400": (refuses("invalid_client"), APP),
    "invalid_client in 401": (refuses("invalid_client", 401), APP),
    "401 without a code": (says(401), APP),
    "unauthorized_client": (refuses("unauthorized_client"), APP),
    "invalid_scope": (refuses("invalid_scope"), SCOPES),
    "access_denied": (refuses("access_denied", 403), DENIED),
    "redirect_uri_mismatch": (refuses("redirect_uri_mismatch"), REDIRECT),
    "invalid_grant for its callback URL": (refuses("invalid_grant", description="redirect_uri does not match"), REDIRECT),
    "unsupported_grant_type": (refuses("unsupported_grant_type"), OBSCURE),
    "invalid_request": (refuses("invalid_request"), OBSCURE),
    "a code that nobody knows": (refuses("e_4711"), OBSCURE),
    "403 without a code": (says(403), OBSCURE),
}
OVERRIDDEN: dict[str, tuple[Said, Lived]] = {
    "app": (refuses("e_app"), APP),
    "grant": (refuses("e_grant"), DEAD),
    "scope": (refuses("e_scope"), SCOPES),
    "person": (refuses("e_person"), DENIED),
    "busy": (refuses("e_busy"), BUSY),
    "invalid_grant that means the app": (refuses("unsupported_grant_type"), APP),
}


@pytest.mark.parametrize("answers", [NETWORK, TROUBLE, SUCCESSES, REFUSALS], ids=["network", "trouble", "successes", "refusals"])
async def test_each_answer_is_lived_as_whose_fault_it_is(
    here: Installation, monkeypatch: pytest.MonkeyPatch, answers: dict[str, tuple[Said, Lived]]
) -> None:
    lived = {name: await live(here, monkeypatch, said) for name, (said, _) in answers.items()}

    assert lived == {name: expected for name, (_, expected) in answers.items()}


async def test_what_the_connector_says_of_a_code_is_lived(here: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    errors = grant_errors(here)
    for blame in Blame:
        monkeypatch.setitem(errors, f"e_{blame}", blame)
    monkeypatch.setitem(errors, "unsupported_grant_type", Blame.APP)

    lived = {name: await live(here, monkeypatch, said) for name, (said, _) in OVERRIDDEN.items()}

    assert lived == {name: expected for name, (_, expected) in OVERRIDDEN.items()}


def grant_errors(here: Installation) -> dict[str, Blame]:
    option = here.patchbay.catalog.get("sandbox").find_option(AuthenticationType.OAUTH2_AUTHORIZATION_CODE)
    assert option is not None and option.grant is not None and isinstance(option.grant.errors, dict)
    return option.grant.errors


async def live(here: Installation, monkeypatch: pytest.MonkeyPatch, said: Said) -> Lived:
    """A connection of its own app that is answered so from now on, until its token has ended and beyond; and then no more."""
    own = OwnApp(here.sandbox.client_id, here.sandbox.client_secret)
    connection = await here.connect_by_consent(authentication_type=AuthenticationType.OAUTH2_BRING_YOUR_OWN_APP, own_app=own)
    with answering(monkeypatch, said):
        await here.tick(after=timedelta(seconds=50))
        early = await shown(connection)
        spent = await models.TokenJournal.exists(connection_id=connection.id)
        await here.tick(after=timedelta(minutes=30))
        late = await shown(connection)
        again = (await found(connection)).due_at is not None
    await here.tick(after=timedelta(hours=1))
    last = await shown(connection)

    assert last == (WELL if again else late)
    await tells_each_change_once(connection, [early, late, last])
    await here.patchbay.connections.delete(here.ada, connection.id)
    return Lived(early, late, again, spent)


async def shown(connection: models.Connection) -> tuple[str, ...]:
    now = await found(connection)
    return (now.status, *(() if now.reason is None else (now.reason.code, now.reason.fixable_by)))


async def tells_each_change_once(connection: models.Connection, states: list[tuple[str, ...]]) -> None:
    changes = [state for before, state in zip([WELL, *states], states, strict=False) if state != before]
    assert await told(connection) == [(ConnectionEventType.STATUS_CHANGED, state[0]) for state in changes]


@contextmanager
def answering(monkeypatch: pytest.MonkeyPatch, said: Said) -> Iterator[None]:
    """What the token endpoint says, or how it cannot be reached."""
    real: Callable[..., Any] = OutboundClient.send

    async def send(client: OutboundClient, request: OutboundRequest, **limits: Any) -> Answer:
        if not request.url.endswith("/token"):
            answer: Answer = await real(client, request, **limits)
            return answer
        if isinstance(said, OutboundError):
            raise said
        return said

    with monkeypatch.context() as patch:
        patch.setattr(OutboundClient, "send", send)
        yield

from datetime import timedelta
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest

from api.errors import StartRefused
from api.sandbox import create_sandbox
from tests.sandbox.visiting import ISSUER, REDIRECT_URI, HandClock, Visitor

pytestmark = pytest.mark.anyio


async def test_consent_brings_a_code_the_state_and_the_issuer(visitor: Visitor) -> None:
    brought = await visitor.decide()

    assert brought.keys() == {"code", "state", "iss"}
    assert brought["state"] == "state-1"
    assert brought["iss"] == ISSUER


async def test_a_code_becomes_tokens_that_open_the_api(visitor: Visitor) -> None:
    code = (await visitor.decide())["code"]

    answer = await visitor.exchange(code)

    tokens = answer.json()
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    assert tokens.keys() == {"token_type", "access_token", "expires_in", "refresh_token", "scope"}
    assert (tokens["token_type"], tokens["expires_in"], tokens["scope"]) == ("Bearer", 60, "read write")
    me = (await visitor.me(tokens["access_token"])).json()
    assert (me["account"], me["name"], me["scopes"]) == ("alex", "Alex Example", ["read", "write"])


async def test_the_client_may_send_its_secret_in_the_body(visitor: Visitor) -> None:
    code = (await visitor.decide())["code"]

    client_id, client_secret = visitor.basic
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": REDIRECT_URI, "code_verifier": visitor.verifier}
    answer = await visitor.browser.post(f"{ISSUER}/token", data=form | {"client_id": client_id, "client_secret": client_secret})

    assert answer.status_code == 200


async def test_an_unticked_scope_is_not_granted(visitor: Visitor) -> None:
    brought = await visitor.decide({"decision": "allow", "account": "sam", "scope": ["read"]})

    tokens = (await visitor.exchange(brought["code"])).json()

    assert tokens["scope"] == "read"
    assert (await visitor.me(tokens["access_token"])).json()["scopes"] == ["read"]


async def test_a_scope_that_was_not_asked_for_cannot_be_ticked(visitor: Visitor) -> None:
    brought = await visitor.decide({"decision": "allow", "account": "sam", "scope": ["read", "admin"]})

    assert (await visitor.exchange(brought["code"])).json()["scope"] == "read"


@pytest.mark.parametrize(
    "form",
    [
        {"decision": "deny", "account": "alex", "scope": ["read"]},
        {"decision": "allow", "account": "nobody", "scope": ["read"]},
        {"decision": "allow", "account": "alex"},
    ],
)
async def test_denied_consent_brings_access_denied_and_no_code(visitor: Visitor, form: dict[str, object]) -> None:
    brought = await visitor.decide(form)

    assert brought["error"] == "access_denied"
    assert (brought["state"], brought["iss"]) == ("state-1", ISSUER)
    assert "code" not in brought
    assert (await visitor.report())["grants"] == []


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"code_challenge": None, "code_challenge_method": None}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"code_challenge_method": None}, "invalid_request"),
        ({"scope": "read everything"}, "invalid_scope"),
        ({"response_type": "token"}, "unsupported_response_type"),
    ],
)
async def test_a_bad_request_goes_back_to_the_client_with_its_error(visitor: Visitor, changes: dict[str, str | None], error: str) -> None:
    answer = await visitor.browser.get(f"{ISSUER}/authorize", params=visitor.request(**changes))

    brought = dict(parse_qsl(urlsplit(answer.headers["location"]).query))
    assert answer.status_code == 302
    assert answer.headers["location"].startswith(REDIRECT_URI + "?")
    assert (brought["error"], brought["state"], brought["iss"]) == (error, "state-1", ISSUER)


@pytest.mark.parametrize(
    "changes",
    [
        {"redirect_uri": "http://127.0.0.1:8000/elsewhere"},
        {"redirect_uri": REDIRECT_URI + "?more=1"},
        {"redirect_uri": 'http://evil.example/"><script>'},
        {"redirect_uri": None},
        {"client_id": "somebody-else"},
        {"client_id": "sömebody"},
        {"response_type": '"'},
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_nobody_is_sent_to_an_address_that_is_not_registered(visitor: Visitor, method: str, changes: dict[str, str | None]) -> None:
    answer = await visitor.browser.request(method, f"{ISSUER}/authorize", params=visitor.request(**changes))

    assert answer.status_code == 400
    assert answer.headers["content-type"].startswith("text/html")
    assert "location" not in answer.headers


async def test_a_wrong_verifier_gets_no_token(visitor: Visitor) -> None:
    code = (await visitor.decide())["code"]

    answer = await visitor.exchange(code, code_verifier="x" * 43)

    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")
    assert (await visitor.report())["grants"] == []


async def test_a_wrong_client_secret_gets_no_token(visitor: Visitor) -> None:
    code = (await visitor.decide())["code"]

    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": REDIRECT_URI, "code_verifier": visitor.verifier}
    answer = await visitor.browser.post(f"{ISSUER}/token", data=form, auth=(visitor.sandbox.client_id, "wrong"))

    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")
    assert (await visitor.report())["grants"] == []


async def test_another_redirect_uri_at_the_token_endpoint_gets_no_token(visitor: Visitor) -> None:
    code = (await visitor.decide())["code"]

    answer = await visitor.exchange(code, redirect_uri="http://127.0.0.1:8000/elsewhere")

    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")


async def test_a_code_that_comes_twice_ends_what_came_of_it(visitor: Visitor) -> None:
    code = (await visitor.decide())["code"]
    tokens = (await visitor.exchange(code)).json()

    answer = await visitor.exchange(code)

    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")
    assert (await visitor.me(tokens["access_token"])).status_code == 401


async def test_a_code_is_good_for_a_minute(visitor: Visitor, clock: HandClock) -> None:
    code = (await visitor.decide())["code"]
    clock.advance(timedelta(seconds=60))

    assert (await visitor.exchange(code)).json()["error"] == "invalid_grant"


async def test_an_access_token_ends_and_its_successor_works(visitor: Visitor, clock: HandClock) -> None:
    first = await visitor.connect()
    clock.advance(timedelta(seconds=60))
    assert (await visitor.me(first["access_token"])).status_code == 401

    second = (await visitor.refresh(first["refresh_token"])).json()

    assert second["refresh_token"] != first["refresh_token"]
    assert second["expires_in"] == 60
    assert (await visitor.me(second["access_token"])).status_code == 200
    assert (await visitor.report())["grants"][0]["refreshes"] == 1


async def test_a_refresh_token_that_comes_twice_revokes_the_grant(visitor: Visitor) -> None:
    first = await visitor.connect()
    second = (await visitor.refresh(first["refresh_token"])).json()

    answer = await visitor.refresh(first["refresh_token"])

    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")
    assert (await visitor.refresh(second["refresh_token"])).json()["error"] == "invalid_grant"
    assert (await visitor.me(second["access_token"])).status_code == 401
    assert (await visitor.report())["grants"][0]["mode"] == "revoked"


async def test_a_refresh_may_ask_for_less_and_never_for_more(visitor: Visitor) -> None:
    first = await visitor.connect()

    refused = await visitor.refresh(first["refresh_token"], scope="read admin")
    narrowed = (await visitor.refresh(first["refresh_token"], scope="read")).json()

    assert refused.json()["error"] == "invalid_scope"
    assert narrowed["scope"] == "read"
    assert (await visitor.refresh(narrowed["refresh_token"])).json()["scope"] == "read write"


@pytest.mark.parametrize("text", ["", "unknown", "ü"])
async def test_an_unknown_refresh_token_is_an_invalid_grant(visitor: Visitor, text: str) -> None:
    answer = await visitor.refresh(text)

    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")


async def test_an_access_token_does_not_refresh_and_a_refresh_token_opens_nothing(visitor: Visitor) -> None:
    tokens = await visitor.connect()

    assert (await visitor.refresh(tokens["access_token"])).json()["error"] == "invalid_grant"
    assert (await visitor.me(tokens["refresh_token"])).status_code == 401


async def test_client_credentials_bring_an_access_token_alone(visitor: Visitor) -> None:
    form = {"grant_type": "client_credentials", "scope": "read"}

    tokens = (await visitor.browser.post(f"{ISSUER}/token", data=form, auth=visitor.basic)).json()

    assert tokens.keys() == {"token_type", "access_token", "expires_in", "scope"}
    me = (await visitor.me(tokens["access_token"])).json()
    assert (me["account"], me["scopes"]) == ("patchbay-sandbox", ["read"])


async def test_revoking_a_refresh_token_ends_the_grant(visitor: Visitor) -> None:
    tokens = await visitor.connect()

    form = {"token": tokens["refresh_token"], "token_type_hint": "refresh_token"}
    answer = await visitor.browser.post(f"{ISSUER}/revoke", data=form, auth=visitor.basic)

    assert answer.status_code == 200
    assert (await visitor.me(tokens["access_token"])).status_code == 401
    assert (await visitor.refresh(tokens["refresh_token"])).json()["error"] == "invalid_grant"


async def test_revoking_an_access_token_ends_that_token_only(visitor: Visitor) -> None:
    tokens = await visitor.connect()

    await visitor.browser.post(f"{ISSUER}/revoke", data={"token": tokens["access_token"]}, auth=visitor.basic)

    assert (await visitor.me(tokens["access_token"])).status_code == 401
    assert (await visitor.refresh(tokens["refresh_token"])).status_code == 200


async def test_revoking_needs_the_client(visitor: Visitor) -> None:
    tokens = await visitor.connect()

    answer = await visitor.browser.post(f"{ISSUER}/revoke", data={"token": tokens["refresh_token"]})

    assert answer.status_code == 401
    assert (await visitor.me(tokens["access_token"])).status_code == 200


@pytest.mark.parametrize("body", ["grant_type=a&grant_type=b", 'grant_type="', "grant_type=password", ""])
async def test_a_malformed_token_request_is_refused(visitor: Visitor, body: str) -> None:
    headers = {"content-type": "application/x-www-form-urlencoded"}

    answer = await visitor.browser.post(f"{ISSUER}/token", content=body, headers=headers, auth=visitor.basic)

    assert answer.status_code == 400
    assert answer.json()["error"] in ("invalid_request", "unsupported_grant_type")


def test_an_issuer_that_is_neither_https_nor_loopback_is_refused(data_file: Path, clock: HandClock) -> None:
    with pytest.raises(StartRefused):
        create_sandbox(data_file, "http://sandbox.example/sandbox", clock, ())

    assert not data_file.exists()

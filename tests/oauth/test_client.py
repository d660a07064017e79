"""The client's side of OAuth over real sockets: what it sends, byte for byte, and what it makes of the answers."""

import base64
import hashlib
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from joserfc import jwt
from joserfc.jwk import ECKey

from api.oauth.client import OAuthClient
from api.oauth.errors import ReservedParameter, ServerFailed, ServerRefused, TokenError, UnusableAnswer, UnusableKey
from api.oauth.tokens import (
    Assertion,
    AssertionUse,
    AuthorizationServer,
    BodyFormat,
    ClientAuthentication,
    ClientCredentials,
    RevocationEndpoint,
    TokenHint,
    TokenPaths,
    TokenSet,
)
from api.outbound.egress import EgressGuard, EgressRefused, OutboundError
from api.outbound.http import AnswerTooLarge, OutboundClient, Unreachable
from api.secret import Secret
from tests.outbound.servers import Server, answer, says, serve

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
REDIRECT_URI = "https://patchbay.example/provisioning_/callback/example"
CLIENT = ClientCredentials("client id", Secret("s:ec/ret+é"))
PUBLIC_CLIENT = ClientCredentials("client id")
PROVIDER = AuthorizationServer("https://provider.example/token", authorize_url="https://provider.example/authorize")
GRANT = answer(200, b'{"access_token":"access","expires_in":3600,"refresh_token":"new"}', Content_Type="application/json")


def oauth(http: OutboundClient) -> OAuthClient:
    return OAuthClient(http, lambda: NOW)


def provider(server: Server, **habits: Any) -> AuthorizationServer:
    return AuthorizationServer(server.url("/token"), **habits)


async def exchange(server: Server, client: ClientCredentials = CLIENT, **habits: Any) -> TokenSet:
    async with server.client as http:
        return await oauth(http).exchange_code(
            provider(server, **habits),
            client,
            code=Secret("the code"),
            redirect_uri=REDIRECT_URI,
            code_verifier=Secret("verifier"),
            asked_scopes=["read", "write"],
        )


async def refresh(server: Server, client: ClientCredentials = CLIENT, **habits: Any) -> TokenSet:
    async with server.client as http:
        return await oauth(http).refresh(provider(server, **habits), client, Secret("old&token"), scopes=["read"])


def form(server: Server, number: int = 0) -> dict[str, str]:
    assert server.header("Content-Type", number) == "application/x-www-form-urlencoded"
    pairs = parse_qsl(server.body(number).decode(), strict_parsing=True, keep_blank_values=True)
    assert len(dict(pairs)) == len(pairs)
    return dict(pairs)


# The authorization request


def authorization_url(server: AuthorizationServer = PROVIDER, scopes: tuple[str, ...] = ("read", "write:all"), pkce: bool = True) -> str:
    return oauth(OutboundClient(EgressGuard())).authorization_url(
        server,
        CLIENT,
        redirect_uri=REDIRECT_URI,
        state=Secret("the state"),
        scopes=scopes,
        code_verifier=Secret("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk") if pkce else None,
    )


def test_the_authorization_url_holds_the_request_and_the_challenge_of_rfc_7636() -> None:
    url = authorization_url(replace(PROVIDER, authorize_parameters={"access_type": "offline", "prompt": "a&b"}))

    assert url.startswith("https://provider.example/authorize?")
    assert parse_qsl(urlsplit(url).query) == [
        ("access_type", "offline"),
        ("prompt", "a&b"),
        ("scope", "read write:all"),
        ("code_challenge", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"),
        ("code_challenge_method", "S256"),
        ("response_type", "code"),
        ("client_id", "client id"),
        ("redirect_uri", REDIRECT_URI),
        ("state", "the state"),
    ]


@pytest.mark.parametrize(
    ("habits", "expected"),
    [
        ({"scope_separator": ","}, {"scope": "read,write:all"}),
        ({"scope_parameter": "user_scope"}, {"user_scope": "read write:all"}),
        ({"scope_parameter": None}, {}),
    ],
)
def test_scopes_are_asked_for_as_the_provider_wants_them(habits: dict[str, Any], expected: dict[str, str]) -> None:
    parameters = dict(parse_qsl(urlsplit(authorization_url(replace(PROVIDER, **habits))).query))

    assert {name: value for name, value in parameters.items() if "scope" in name} == expected


def test_no_scopes_are_no_parameter() -> None:
    assert "scope" not in authorization_url(scopes=())


def test_pkce_is_left_out_only_where_the_provider_refuses_it() -> None:
    assert "code_challenge" not in authorization_url(replace(PROVIDER, pkce=False))
    assert "code_challenge" not in authorization_url(replace(PROVIDER, pkce=False), pkce=False)
    with pytest.raises(ValueError, match="verifier"):
        authorization_url(pkce=False)


def test_each_verifier_is_new_and_of_256_bits() -> None:
    verifiers = {OAuthClient.new_code_verifier().reveal() for _ in range(100)}

    assert len(verifiers) == 100
    assert {len(base64.urlsafe_b64decode(verifier + "=")) for verifier in verifiers} == {32}


RESERVED = [
    "response_type", "client_id", "redirect_uri", "state", "code_challenge", "code_challenge_method", "code_challenge_x", "scope", "nonce",
    "request_uri", "STATE", "State", "redirect-uri", "redirect.uri", "redirectUri", "Redirect_URI", "state[]",
    "state[0]", " state", "state ", "state\x00", "stat%65", "%73tate", "%2573tate", "ſtate", "ｓtate", "st\u200bate", "state&x", "x&state",
    "x=1&state", "state=1", "x#", "", "scope\t", "a" * 65,
]  # fmt: skip


@pytest.mark.parametrize("name", RESERVED)
def test_an_extra_parameter_never_replaces_one_of_the_protocol(name: str) -> None:
    with pytest.raises(ReservedParameter):
        authorization_url(replace(PROVIDER, authorize_parameters={"prompt": "consent", name: "evil"}))


def test_vendors_have_meanings_of_their_own_for_some_names_of_the_protocol() -> None:
    url = authorization_url(replace(PROVIDER, authorize_parameters={"response_mode": "query", "request": "1"}))

    assert {"response_mode": "query", "request": "1"}.items() <= dict(parse_qsl(urlsplit(url).query)).items()


@pytest.mark.parametrize(
    "query", ["state=evil", "a=b&client_id=evil", "STATE", "%73tate=evil", "state[]=evil", "code%5Fchallenge=evil", "a;state=1"]
)
def test_the_query_of_the_authorization_endpoint_holds_none_either(query: str) -> None:
    with pytest.raises((ReservedParameter, EgressRefused)):
        authorization_url(replace(PROVIDER, authorize_url=f"https://provider.example/authorize?{query}"))


def test_a_query_of_the_authorization_endpoint_is_kept() -> None:
    assert authorization_url(replace(PROVIDER, authorize_url="https://provider.example/authorize?tenant=t1")).startswith(
        "https://provider.example/authorize?tenant=t1&scope=read"
    )


@pytest.mark.parametrize(
    "url", ["http://provider.example/a", "https://127.0.0.1/a", "https://provider.example/a#b", "javascript:alert(1)//"]
)
def test_a_person_is_sent_to_no_address_that_is_refused(url: str) -> None:
    with pytest.raises(EgressRefused):
        authorization_url(replace(PROVIDER, authorize_url=url))


# Token requests


async def test_a_code_is_exchanged_with_its_verifier_and_redirect_uri() -> None:
    async with serve(says(GRANT)) as server:
        tokens = await exchange(server, token_headers={"X-Version": "3"}, token_parameters={"requirev3": "true"})

    assert tokens == TokenSet(Secret("access"), refresh_token=Secret("new"), expires_at=NOW + timedelta(hours=1), scopes=("read", "write"))
    assert form(server) == {
        "requirev3": "true",
        "grant_type": "authorization_code",
        "redirect_uri": REDIRECT_URI,
        "code": "the code",
        "code_verifier": "verifier",
    }
    assert server.requests[0].startswith(b"POST /token HTTP/1.1\r\n")
    assert server.header("Accept") == "application/json"
    assert server.header("X-Version") == "3"
    assert len(server.requests) == 1


async def test_no_verifier_goes_to_a_provider_that_refuses_pkce() -> None:
    async with serve(says(GRANT)) as server:
        await exchange(server, pkce=False)

    assert "code_verifier" not in form(server)


@pytest.mark.parametrize(
    ("authentication", "header", "parameters"),
    [
        (ClientAuthentication.CLIENT_SECRET_BASIC, "client+id:s%3Aec%2Fret%2B%C3%A9", {}),
        (ClientAuthentication.CLIENT_SECRET_BASIC_RAW, "client id:s:ec/ret+é", {}),
        (ClientAuthentication.CLIENT_SECRET_POST, None, {"client_id": "client id", "client_secret": "s:ec/ret+é"}),
        (ClientAuthentication.NONE, None, {"client_id": "client id"}),
    ],
)
async def test_a_client_proves_itself_as_the_provider_wants_it(
    authentication: ClientAuthentication, header: str | None, parameters: dict[str, str]
) -> None:
    async with serve(says(GRANT)) as server:
        await exchange(server, client_authentication=authentication)

    sent = server.header("Authorization")
    assert (None if sent is None else base64.b64decode(sent.removeprefix("Basic ")).decode()) == header
    assert {name: value for name, value in form(server).items() if name.startswith("client_")} == parameters


@pytest.mark.parametrize("authentication", ClientAuthentication)
async def test_a_public_client_only_names_itself(authentication: ClientAuthentication) -> None:
    async with serve(says(GRANT)) as server:
        await exchange(server, PUBLIC_CLIENT, client_authentication=authentication)

    assert server.header("Authorization") is None
    assert form(server)["client_id"] == "client id"
    assert "client_secret" not in form(server)


async def test_a_token_request_may_be_json() -> None:
    async with serve(says(GRANT)) as server:
        await exchange(server, body_format=BodyFormat.JSON, client_authentication=ClientAuthentication.CLIENT_SECRET_POST)

    assert server.header("Content-Type") == "application/json"
    assert json.loads(server.body()) == {
        "grant_type": "authorization_code",
        "redirect_uri": REDIRECT_URI,
        "code": "the code",
        "code_verifier": "verifier",
        "client_id": "client id",
        "client_secret": "s:ec/ret+é",
    }


async def test_a_token_request_may_be_a_query() -> None:
    async with serve(says(GRANT)) as server:
        await refresh(server, body_format=BodyFormat.QUERY, client_authentication=ClientAuthentication.NONE)

    target = server.requests[0].split(b" ")[1].decode()
    assert dict(parse_qsl(urlsplit(target).query)) == {
        "grant_type": "refresh_token",
        "refresh_token": "old&token",
        "client_id": "client id",
    }
    assert server.body() == b""


async def test_a_connectors_parameters_add_to_the_grant_and_replace_only_its_name() -> None:
    extra = {
        "code": "evil",
        "redirect_uri": "evil",
        "code_verifier": "evil",
        "client_id": "evil",
        "client_secret": "evil",
        "audience": "api",
    }
    async with serve(says(GRANT)) as server:
        await exchange(
            server,
            client_authentication=ClientAuthentication.CLIENT_SECRET_POST,
            token_parameters=extra | {"grant_type": "account_credentials"},
        )
        await exchange(server, token_parameters={"grant_type": ""})

    assert form(server) == {
        "grant_type": "account_credentials",
        "audience": "api",
        "code": "the code",
        "redirect_uri": REDIRECT_URI,
        "code_verifier": "verifier",
        "client_id": "client id",
        "client_secret": "s:ec/ret+é",
    }
    assert "grant_type" not in form(server, 1)


async def test_a_connectors_headers_do_not_replace_the_proof_of_the_client() -> None:
    async with serve(says(GRANT)) as server:
        await exchange(server, token_headers={"AUTHORIZATION": "evil", "accept": "text/plain"})

    assert (server.header("Authorization") or "").startswith("Basic ")
    assert server.header("Accept") == "text/plain"


async def test_a_refresh_sends_no_scopes_and_returns_the_new_token() -> None:
    async with serve(says(GRANT)) as server:
        tokens = await refresh(server)

    assert form(server) == {"grant_type": "refresh_token", "refresh_token": "old&token"}
    assert tokens == TokenSet(Secret("access"), refresh_token=Secret("new"), expires_at=NOW + timedelta(hours=1), scopes=("read",))


async def test_a_refresh_without_a_new_token_keeps_the_old_one() -> None:
    async with serve(says(answer(200, b'{"access_token":"access","scope":"read extra"}'))) as server:
        tokens = await refresh(server)

    assert tokens == TokenSet(Secret("access"), refresh_token=Secret("old&token"), scopes=("read", "extra"))


async def test_a_refresh_goes_its_own_way_where_the_provider_has_one() -> None:
    async with serve(says(GRANT)) as server:
        await refresh(
            server,
            refresh_url=server.url("/renew"),
            client_authentication=ClientAuthentication.CLIENT_SECRET_BASIC,
            refresh_client_authentication=ClientAuthentication.NONE,
            refresh_parameters={"redirect_uri": REDIRECT_URI, "scope": "longlife_refresh_token", "refresh_token": "evil"},
            token_parameters={"only": "for codes"},
        )

    assert server.requests[0].startswith(b"POST /renew ")
    assert form(server) == {
        "grant_type": "refresh_token",
        "refresh_token": "old&token",
        "client_id": "client id",
        "redirect_uri": REDIRECT_URI,
        "scope": "longlife_refresh_token",
    }


async def test_client_credentials_ask_for_scopes_and_get_them() -> None:
    async with serve(says(answer(200, b'{"access_token":"access"}'))) as server, server.client as http:
        tokens = await oauth(http).obtain(
            provider(server, scope_separator=",", token_parameters={"audience": "api"}), CLIENT, "client_credentials", {}, ["read", "write"]
        )

    assert form(server) == {"grant_type": "client_credentials", "scope": "read,write", "audience": "api"}
    assert tokens == TokenSet(Secret("access"), scopes=("read", "write"))


# Tokens without a person


async def obtain(
    server: Server,
    grant_type: str = "client_credentials",
    parameters: dict[str, str] | None = None,
    scopes: tuple[str, ...] = (),
    client: ClientCredentials = CLIENT,
    **habits: Any,
) -> TokenSet:
    given = {name: Secret(value) for name, value in (parameters or {}).items()}
    async with server.client as http:
        return await oauth(http).obtain(provider(server, **habits), client, grant_type, given, scopes)


async def test_a_user_name_and_a_password_are_a_grant() -> None:
    async with serve(says(GRANT)) as server:
        tokens = await obtain(server, "password", {"username": "ann@x", "password": "a b&c=é+%"}, ("read",))

    assert form(server) == {"grant_type": "password", "username": "ann@x", "password": "a b&c=é+%", "scope": "read"}
    assert (server.header("Authorization") or "").startswith("Basic ")
    assert tokens == TokenSet(Secret("access"), refresh_token=Secret("new"), expires_at=NOW + timedelta(hours=1), scopes=("read",))


async def test_a_grant_without_a_client_names_none() -> None:
    async with serve(says(GRANT)) as server:
        for authentication in ClientAuthentication:
            await obtain(server, "password", {"username": "ann"}, client=ClientCredentials(""), client_authentication=authentication)

    for number in range(len(ClientAuthentication)):
        assert server.header("Authorization", number) is None
        assert form(server, number) == {"grant_type": "password", "username": "ann"}


@pytest.mark.parametrize(("name", "sent"), [("vendors_own", {"grant_type": "vendors_own"}), ("", {})])
async def test_a_provider_names_a_grant_as_it_likes_or_not_at_all(name: str, sent: dict[str, str]) -> None:
    async with serve(says(GRANT)) as server, server.client as http:
        for habits in ({"grant_type": name}, {"token_parameters": {"grant_type": name}}):
            await oauth(http).obtain(provider(server, **habits), PUBLIC_CLIENT, "client_credentials", {"apikey": Secret("1")}, [])

    assert form(server) == form(server, 1) == {**sent, "apikey": "1", "client_id": "client id"}


async def test_a_refresh_is_named_as_one_whatever_the_grant_is_called() -> None:
    async with serve(says(GRANT)) as server:
        await refresh(server, grant_type="")

    assert form(server) == {"grant_type": "refresh_token", "refresh_token": "old&token"}


async def test_a_token_may_be_asked_for_by_get() -> None:
    async with serve(says(GRANT)) as server:
        await obtain(
            server,
            "fb_exchange_token",
            {"fb_exchange_token": "a&b"},
            token_method="GET",
            body_format=BodyFormat.QUERY,
            client_authentication=ClientAuthentication.CLIENT_SECRET_POST,
        )

    method, target, _ = server.requests[0].partition(b"\r\n")[0].decode().split(" ")
    assert method == "GET"
    assert dict(parse_qsl(urlsplit(target).query)) == {
        "grant_type": "fb_exchange_token",
        "fb_exchange_token": "a&b",
        "client_id": "client id",
        "client_secret": "s:ec/ret+é",
    }
    assert server.body() == b""
    assert server.header("Content-Length") is None


async def test_a_query_of_the_token_endpoint_is_kept() -> None:
    async with serve(says(GRANT)) as server, server.client as http:
        server_with_query = AuthorizationServer(
            server.url("/token?tenant=a%20b"), body_format=BodyFormat.QUERY, client_authentication=ClientAuthentication.NONE
        )
        await oauth(http).obtain(server_with_query, CLIENT, "client_credentials", {}, [])

    target = server.requests[0].split(b" ")[1].decode()
    assert parse_qsl(urlsplit(target).query) == [("tenant", "a b"), ("grant_type", "client_credentials"), ("client_id", "client id")]


async def test_a_providers_own_basic_is_the_only_proof() -> None:
    """Whatever else a connector sends: two proofs are none."""
    async with serve(says(GRANT)) as server:
        for authentication in ClientAuthentication:
            await obtain(
                server,
                token_basic=("ann", Secret("p:é")),
                client_authentication=authentication,
                token_headers={"AUTHORIZATION": "evil"},
            )

    for number in range(len(ClientAuthentication)):
        header = server.header("Authorization", number) or ""
        assert base64.b64decode(header.removeprefix("Basic ")).decode() == "ann:p:é"
        assert form(server, number) == {"grant_type": "client_credentials"}


async def test_a_whole_body_is_sent_as_it_is() -> None:
    body = '{"method":"login","params":["ann","a\\"b\\\\é"],"id":1}'
    answered = answer(200, b'{"result":"token"}', Content_Type="application/json")
    async with serve(says(answered)) as server:
        tokens = await obtain(
            server, "password", {"username": "x"}, client=ClientCredentials(""), token_body=Secret(body), paths=TokenPaths("result")
        )
        await obtain(
            server,
            token_body=Secret("<a/>"),
            client=ClientCredentials(""),
            token_headers={"Content-Type": "text/xml"},
            paths=TokenPaths("result"),
        )

    assert tokens == TokenSet(Secret("token"), scopes=())
    assert server.body() == body.encode()
    assert json.loads(server.body())["params"] == ["ann", 'a"b\\é']
    assert server.header("Content-Type") == "application/json"
    assert (server.body(1), server.header("Content-Type", 1)) == (b"<a/>", "text/xml")


async def test_a_whole_body_is_for_the_first_token_only() -> None:
    async with serve(says(GRANT)) as server:
        await refresh(server, token_body=Secret("whole"))

    assert form(server) == {"grant_type": "refresh_token", "refresh_token": "old&token"}


# Signed assertions

SIGNER = generate_private_key(SECP256R1())
ASSERTION = Assertion(
    Secret(SIGNER.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()),
    "ES256",
    AssertionUse.GRANT,
    timedelta(minutes=10),
    claims={"iss": "client id"},
)


def check_assertion(text: str) -> None:
    public = SIGNER.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    claims = jwt.decode(text, ECKey.import_key(public), algorithms=["ES256"]).claims
    issued = int(NOW.timestamp()) - 30
    assert {name: value for name, value in claims.items() if name != "jti"} == {"iss": "client id", "iat": issued, "exp": issued + 600}


async def test_an_assertion_is_the_grant() -> None:
    async with serve(says(GRANT)) as server:
        await obtain(server, "urn:ietf:params:oauth:grant-type:jwt-bearer", client=ClientCredentials(""), assertion=ASSERTION)

    sent = form(server)
    check_assertion(sent.pop("assertion"))
    assert sent == {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer"}
    assert server.header("Authorization") is None


async def test_an_assertion_is_the_proof_of_a_client_at_every_token_request() -> None:
    habits: dict[str, Any] = {
        "assertion": replace(ASSERTION, use=AssertionUse.CLIENT),
        "client_authentication": ClientAuthentication.CLIENT_SECRET_POST,
    }
    async with serve(says(GRANT)) as server:
        await obtain(server, client=PUBLIC_CLIENT, scopes=("read",), **habits)
        await refresh(server, PUBLIC_CLIENT, **habits)
        await exchange(server, PUBLIC_CLIENT, **habits)

    ids = set()
    for number, grant_type in enumerate(("client_credentials", "refresh_token", "authorization_code")):
        sent = form(server, number)
        check_assertion(sent["client_assertion"])
        ids.add(sent["client_assertion"])
        assert sent["client_assertion_type"] == "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
        assert (sent["grant_type"], sent["client_id"]) == (grant_type, "client id")
        assert "client_secret" not in sent
    assert len(ids) == 3


async def test_an_assertion_is_the_bearer_of_the_request_and_its_only_proof() -> None:
    async with serve(says(answer(201, b'{"token":"access","expires_at":"2026-03-01T13:00:00Z"}'))) as server:
        tokens = await obtain(
            server,
            assertion=replace(ASSERTION, use=AssertionUse.BEARER),
            token_parameters={"grant_type": ""},
            paths=TokenPaths("token", expires_at="expires_at"),
        )

    check_assertion((server.header("Authorization") or "").removeprefix("Bearer "))
    assert server.body() == b""
    assert tokens == TokenSet(Secret("access"), expires_at=NOW + timedelta(hours=1), scopes=())


async def test_an_assertion_may_be_the_token_and_nobody_is_asked(outward: list[object]) -> None:
    server = AuthorizationServer("https://provider.example/token", assertion=replace(ASSERTION, use=AssertionUse.TOKEN))

    tokens = await oauth(OutboundClient(EgressGuard())).obtain(server, ClientCredentials(""), "", {}, ["read"])

    check_assertion(tokens.access_token.reveal())
    assert replace(tokens, access_token=Secret("x")) == TokenSet(Secret("x"), expires_at=NOW + timedelta(minutes=10), scopes=("read",))
    assert outward == []


@pytest.mark.parametrize("use", AssertionUse)
async def test_a_key_that_cannot_sign_sends_nothing(use: AssertionUse, outward: list[object]) -> None:
    server = AuthorizationServer("https://provider.example/token", assertion=replace(ASSERTION, use=use, key=Secret("canary")))

    with pytest.raises(UnusableKey) as unusable:
        await oauth(OutboundClient(EgressGuard())).obtain(server, CLIENT, "", {}, [])

    assert "canary" not in f"{unusable.value} {unusable.value!r}"
    assert outward == []


@pytest.mark.parametrize(
    "habits",
    [
        {"token_basic": ("id", Secret("canary"))},
        {"token_body": Secret('{"password":"canary"}')},
        {"token_parameters": {"apikey": "canary"}},
        {"token_headers": {"X-Key": "canary"}},
    ],
)
async def test_no_error_repeats_what_was_filled_into_a_template(habits: dict[str, Any]) -> None:
    async def echo(writer: Any) -> None:
        request = server.requests[-1].decode()
        await says(answer(400, json.dumps({"error": request, "error_description": request}).encode()))(writer)

    async with serve(echo) as server:
        with pytest.raises(ServerRefused) as refused:
            await obtain(server, **habits, secrets=(Secret("canary"),))

    assert (refused.value.error, refused.value.description) == (None, None)


@pytest.mark.parametrize("use", [AssertionUse.GRANT, AssertionUse.CLIENT, AssertionUse.BEARER])
async def test_no_error_repeats_an_assertion(use: AssertionUse) -> None:
    async def echo(writer: Any) -> None:
        request = server.requests[-1].decode()
        await says(answer(400, json.dumps({"error": request, "error_description": request}).encode()))(writer)

    async with serve(echo) as server:
        with pytest.raises(ServerRefused) as refused:
            await obtain(server, assertion=replace(ASSERTION, use=use))

    assert (refused.value.error, refused.value.description) == (None, None)


# Longer tokens for those that still last, and renewals that go their own way


async def swap(server: Server, **habits: Any) -> TokenSet:
    async with server.client as http:
        return await oauth(http).swap(provider(server, **habits), CLIENT, Secret("short-lived"), scopes=["read"])


async def test_a_token_is_swapped_for_one_that_lasts_longer() -> None:
    async with serve(says(answer(200, b'{"access_token":"long","expires_in":5184000}'))) as server:
        tokens = await swap(
            server,
            refresh_url=server.url("/swap"),
            refresh_method="GET",
            body_format=BodyFormat.QUERY,
            refresh_client_authentication=ClientAuthentication.CLIENT_SECRET_POST,
            refresh_parameters={"grant_type": "ig_exchange_token", "access_token": "short-lived"},
            token_parameters={"only": "for codes"},
        )

    method, target, _ = server.requests[0].partition(b"\r\n")[0].decode().split(" ")
    assert (method, urlsplit(target).path) == ("GET", "/swap")
    assert dict(parse_qsl(urlsplit(target).query)) == {
        "grant_type": "ig_exchange_token",
        "access_token": "short-lived",
        "client_id": "client id",
        "client_secret": "s:ec/ret+é",
    }
    assert tokens == TokenSet(Secret("long"), expires_at=NOW + timedelta(days=60), scopes=("read",))


async def test_a_swap_without_a_grant_names_none_and_its_errors_tell_no_token() -> None:
    said = [answer(200, b'{"access_token":"long"}'), answer(400, b'{"error":"short-lived","error_description":"no short-lived"}')]

    async def respond(writer: Any) -> None:
        await says(said.pop(0))(writer)

    async with serve(respond) as server:
        await swap(server, client_authentication=ClientAuthentication.NONE)
        with pytest.raises(ServerRefused) as refused:
            await swap(server, client_authentication=ClientAuthentication.NONE)

    assert form(server) == {"client_id": "client id"}
    assert (refused.value.error, refused.value.description) == (None, None)


async def test_a_refresh_has_its_own_method_and_its_answer_other_members() -> None:
    said = answer(200, b'{"data":[{"new":"renewed","again":"next","lasts":60}],"access_token":"decoy"}')
    async with serve(says(said)) as server:
        tokens = await refresh(
            server,
            refresh_method="PUT",
            refresh_paths=TokenPaths("data.0.new", "data.0.again", expires_in="data.0.lasts"),
            paths=TokenPaths("nowhere"),
        )

    assert server.requests[0].startswith(b"PUT /token ")
    assert tokens == TokenSet(Secret("renewed"), refresh_token=Secret("next"), expires_at=NOW + timedelta(seconds=60), scopes=("read",))


@pytest.mark.parametrize("body", [b'"the-token"', b' "the-token" \n'])
async def test_an_answer_may_be_the_token_itself(body: bytes) -> None:
    async with serve(says(answer(200, body))) as server:
        tokens = await obtain(server, paths=TokenPaths("$"), default_lifetime=timedelta(minutes=30))

    assert tokens == TokenSet(Secret("the-token"), expires_at=NOW + timedelta(minutes=30), scopes=())


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (200, b"the-token", ServerFailed),
        (200, b'""', UnusableAnswer),
        (200, b'"two words"', UnusableAnswer),
        (200, b"null", UnusableAnswer),
        (200, b"17", UnusableAnswer),
        (200, b'["the-token"]', UnusableAnswer),
        (200, b'{"error":"invalid_grant"}', ServerRefused),
        (401, b'"the-token"', ServerFailed),
    ],
)
async def test_an_answer_that_is_a_text_must_be_a_token(status: int, body: bytes, error: type[Exception]) -> None:
    async with serve(says(answer(status, body))) as server:
        with pytest.raises(error):
            await obtain(server, paths=TokenPaths("$"))


@pytest.mark.parametrize(
    ("told", "lifetime"),
    [
        ("2026-03-01T13:00:00Z", timedelta(hours=1)),
        ("2026-03-01T13:00:00.500Z", timedelta(hours=1)),
        ("2026-03-01T14:00:00+01:00", timedelta(hours=1)),
        ("2026-03-01T13:00:00", timedelta(hours=1)),
        (1_772_370_000, timedelta(hours=1)),
        (1_772_370_000.9, timedelta(hours=1)),
        ("2126-03-01T12:00:00Z", timedelta(days=400)),
        ("9999-12-31T23:59:59-23:59", timedelta(days=400)),
        (10**19, timedelta(days=400)),
        # Over, or not understood: then as long as its provider's tokens last.
        ("2026-03-01T11:59:59Z", timedelta(minutes=5)),
        ("0001-01-01T00:00:00+23:59", timedelta(minutes=5)),
        (1_772_360_000, timedelta(minutes=5)),
        (-1, timedelta(minutes=5)),
        ("soon", timedelta(minutes=5)),
        (True, timedelta(minutes=5)),
        (None, timedelta(minutes=5)),
        ([], timedelta(minutes=5)),
    ],
)
async def test_the_end_of_a_token_may_be_told_as_a_time(told: Any, lifetime: timedelta) -> None:
    body = json.dumps({"access_token": "access", "ends": {"at": told}}).encode()
    async with serve(says(answer(200, body))) as server:
        tokens = await obtain(server, paths=TokenPaths(expires_at="ends.at"), default_lifetime=timedelta(minutes=5))

    assert tokens.expires_at == NOW + lifetime


async def test_a_lifetime_is_believed_before_a_time() -> None:
    async with serve(says(answer(200, b'{"access_token":"a","expires_in":60,"at":"2026-03-01T13:00:00Z"}'))) as server:
        tokens = await obtain(server, paths=TokenPaths(expires_at="at"))

    assert tokens.expires_at == NOW + timedelta(seconds=60)


MONTH = timedelta(days=30)


@pytest.mark.parametrize(
    ("said", "refresh_token", "ends_at"),
    [
        (b'{"access_token":"a","refresh_token":"new"}', "new", NOW + MONTH),
        # Used just now, it lives on, though it does not come back.
        (b'{"access_token":"a"}', "old&token", NOW + MONTH),
        (b'{"access_token":"a","refresh_token":"new","refresh_token_expires_in":60}', "new", NOW + timedelta(seconds=60)),
        (b'{"access_token":"a","refresh_token_expires_in":60}', "old&token", NOW + timedelta(seconds=60)),
    ],
)
async def test_a_refresh_prolongs_the_life_of_its_token(said: bytes, refresh_token: str, ends_at: datetime) -> None:
    async with serve(says(answer(200, said))) as server:
        tokens = await refresh(server, refresh_lifetime=MONTH)

    assert tokens == TokenSet(Secret("a"), refresh_token=Secret(refresh_token), refresh_expires_at=ends_at, scopes=("read",))


async def test_a_first_refresh_token_lives_as_long_as_its_provider_says() -> None:
    async with serve(says(GRANT)) as server:
        tokens = await exchange(server, refresh_lifetime=MONTH)
        without = await obtain(server, refresh_lifetime=MONTH, paths=TokenPaths(refresh_token="nowhere"))

    assert tokens.refresh_expires_at == NOW + MONTH
    assert (without.refresh_token, without.refresh_expires_at) == (None, None)


def test_scopes_may_be_asked_for_in_parameters_of_their_own() -> None:
    habits: dict[str, Any] = {"scope_parameters": {"me": "user_scope", "mine": "user_scope", "none": "x"}, "scope_separator": ","}
    url = authorization_url(replace(PROVIDER, **habits), scopes=("read", "me", "write", "mine"))
    only = authorization_url(replace(PROVIDER, **habits | {"scope_parameter": None}), scopes=("read", "me"))

    assert [pair for pair in parse_qsl(urlsplit(url).query) if "scope" in pair[0]] == [("scope", "read,write"), ("user_scope", "me,mine")]
    assert [pair for pair in parse_qsl(urlsplit(only).query) if "scope" in pair[0]] == [("user_scope", "me")]


def test_a_parameter_of_scopes_is_replaced_by_none_of_the_connectors() -> None:
    with pytest.raises(ReservedParameter):
        authorization_url(replace(PROVIDER, scope_parameters={"me": "user_scope"}, authorize_parameters={"user_scope": "evil"}))


# Revocation


async def revoke(server: Server, endpoint: RevocationEndpoint, client: ClientCredentials | None = CLIENT) -> None:
    async with server.client as http:
        await oauth(http).revoke(endpoint, client, Secret("refresh-token"), TokenHint.REFRESH_TOKEN)


async def test_a_token_is_revoked_as_rfc_7009_says() -> None:
    async with serve(says(answer())) as server:
        endpoint = provider(
            server, revoke_url=server.url("/revoke"), client_authentication=ClientAuthentication.CLIENT_SECRET_POST
        ).revocation
        assert endpoint is not None
        await revoke(server, endpoint)

    assert server.requests[0].startswith(b"POST /revoke ")
    assert form(server) == {
        "token": "refresh-token",
        "token_type_hint": "refresh_token",
        "client_id": "client id",
        "client_secret": "s:ec/ret+é",
    }


async def test_a_token_is_revoked_in_the_vendors_own_way() -> None:
    async with serve(says(answer(204))) as server:
        await revoke(
            server,
            RevocationEndpoint(
                server.url("/applications/grant"),
                method="DELETE",
                client_authentication=ClientAuthentication.CLIENT_SECRET_BASIC_RAW,
                body_format=BodyFormat.JSON,
                parameters={"access_token": Secret("access-token")},
            ),
        )
        await revoke(server, RevocationEndpoint(server.url("/revoke"), parameters={}, headers={"Authorization": "Bearer access-token"}))

    assert server.requests[0].startswith(b"DELETE /applications/grant ")
    assert json.loads(server.body()) == {"access_token": "access-token"}
    assert server.body(1) == b""
    assert server.header("Authorization", 1) == "Bearer access-token"


@pytest.mark.parametrize(
    "said", [answer(400, b'{"error":"invalid_client"}'), answer(503), answer(302, b"", Location="/"), answer(200, b'{"ok":false}')]
)
async def test_a_revocation_that_fails_raises_and_is_not_repeated(said: bytes) -> None:
    async with serve(says(said)) as server:
        with pytest.raises(TokenError):
            await revoke(server, RevocationEndpoint(server.url("/revoke")))

    assert len(server.requests) == 1


def test_a_server_without_a_revocation_endpoint_has_none() -> None:
    assert PROVIDER.revocation is None


def test_a_revocation_endpoint_prints_no_token() -> None:
    endpoint = RevocationEndpoint("https://x/canary", parameters={"token": Secret("canary")}, headers={"Authorization": "canary"})

    assert "canary" not in repr(endpoint)


# Failures: each is told once, by type, and nothing is sent twice


@pytest.mark.parametrize(
    ("said", "error"),
    [
        (answer(400, b'{"error":"invalid_grant"}'), ServerRefused),
        (answer(200, b'{"error":"bad_verification_code"}'), ServerRefused),
        (answer(302, b"", Location="/elsewhere"), ServerFailed),
        (answer(307, b"", Location="/elsewhere"), ServerFailed),
        (answer(308, b"", Location="/elsewhere"), ServerFailed),
        (answer(429, b"", Retry_After="1"), ServerFailed),
        (answer(500, b"<html>"), ServerFailed),
        (answer(200, b"{}"), UnusableAnswer),
        (answer(200, b" " * 300_000), AnswerTooLarge),
        (b"nonsense\r\n\r\n", Unreachable),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\nConnection: close\r\n\r\n{}", Unreachable),
    ],
)
@pytest.mark.parametrize("call", [exchange, refresh])
async def test_a_failure_is_told_by_type_and_never_tried_again(call: Any, said: bytes, error: type[Exception]) -> None:
    turns = iter([False])

    async def respond(writer: Any) -> None:
        assert not next(turns)
        await says(said)(writer)
        if error is Unreachable:
            writer.close()

    async with serve(respond) as server:
        with pytest.raises(error):
            await call(server)

    assert len(server.requests) == 1


@pytest.mark.parametrize("status", [200, 302, 400, 401, 429, 500])
async def test_a_server_that_repeats_what_it_was_told_gets_none_of_it_into_an_error(status: int) -> None:
    client = ClientCredentials("id", Secret("canary"))

    async def echo(writer: Any) -> None:
        request = server.requests[-1].decode()
        body = json.dumps({"error": request, "error_description": request}).encode()
        await says(answer(status, body, Location=server.url("/canary")))(writer)

    async with serve(echo) as server:
        for authentication in ClientAuthentication:
            for body_format in BodyFormat:
                with pytest.raises((TokenError, OutboundError)) as raised:
                    await refresh(server, client, client_authentication=authentication, body_format=body_format)
                told = f"{raised.value} {raised.value!r} {vars(raised.value)}"
                for secret in ("canary", "old&token", "old%26token", base64.b64encode(b"id:canary").decode()):
                    assert secret not in told


@pytest.mark.parametrize("url", ["http://provider.example/token", "https://10.0.0.1/token", "https://user:canary@provider.example/"])
async def test_no_secret_goes_to_an_address_that_is_refused(url: str, outward: list[object]) -> None:
    async with OutboundClient(EgressGuard()) as http:
        with pytest.raises(EgressRefused) as refused:
            await oauth(http).obtain(AuthorizationServer(url), CLIENT, "client_credentials", {}, [])

    assert "canary" not in str(refused.value)
    assert outward == []


# Callbacks


ISSUER = "https://provider.example"


@pytest.mark.parametrize(
    ("issuer", "sends_issuer", "iss", "accepted"),
    [
        (ISSUER, True, ISSUER, True),
        (ISSUER, True, None, False),
        (ISSUER, False, None, True),
        (ISSUER, False, "https://evil.example", False),
        (ISSUER, True, ISSUER + "/", False),
        (ISSUER, True, ISSUER + ":443", False),
        (ISSUER, True, "https://Provider.example", False),
        (ISSUER, True, "", False),
        (None, False, None, True),
        (None, False, "https://anyone.example", True),
    ],
)
def test_an_issuer_is_compared_exactly(issuer: str | None, sends_issuer: bool, iss: str | None, accepted: bool) -> None:
    assert replace(PROVIDER, issuer=issuer, sends_issuer=sends_issuer).accepts_issuer(iss) is accepted


def test_the_challenge_is_the_hash_of_the_verifier() -> None:
    verifier = OAuthClient.new_code_verifier()
    url = oauth(OutboundClient(EgressGuard())).authorization_url(
        PROVIDER, CLIENT, redirect_uri=REDIRECT_URI, state=Secret("s"), scopes=[], code_verifier=verifier
    )

    challenge = dict(parse_qsl(urlsplit(url).query))["code_challenge"]
    assert base64.urlsafe_b64decode(challenge + "=") == hashlib.sha256(verifier.reveal().encode()).digest()
    assert verifier.reveal() not in url

"""Statements of an identity provider: which are believed, and which are not."""

import asyncio
import base64
import hmac
import json
import string
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as some
from joserfc.jwk import ECKey, OKPKey, RSAKey
from joserfc.jws import JWSRegistry
from starlette.responses import JSONResponse, RedirectResponse, Response

from api.oauth.errors import ServerRefused
from api.oauth.issuer import Issuer, IssuerUnusable, Kept
from api.oauth.openid import OpenIdClient, OpenIdProvider, StatementRefused, find_claim
from api.oauth.tokens import ClientCredentials
from api.outbound.egress import EgressGuard
from api.outbound.http import OutboundClient
from api.secret import Secret
from tests.clock import HeldClock
from tests.oauth.issuing import AUDIENCE, CLIENT_ID, CLIENT_SECRET, CURVE, FOREIGN, NEXT, RSA, IdentityProvider, issuing, later
from tests.outbound.servers import says, serve

pytestmark = pytest.mark.anyio

STATE, NONCE, VERIFIER = Secret("state-canary"), Secret("nonce-canary"), Secret("verifier-" + "v" * 40)
DISCOVERY = "/.well-known/openid-configuration"
WANTED = ("name", "email", "groups")


@dataclass(frozen=True)
class Flow:
    provider: IdentityProvider
    client: OpenIdClient
    clock: HeldClock

    async def sign_in(self, nonce: Secret = NONCE, **claims: Any) -> Any:
        url = await self.client.authorization_url(state=STATE, nonce=NONCE, code_verifier=VERIFIER, groups_scope="groups")
        answer = dict(self.provider.answer_to(url, **claims))
        return await self.client.identify(Secret(answer["code"]), code_verifier=VERIFIER, nonce=nonce, wanted=WANTED)

    async def refusal_of(self, token: str) -> str:
        with pytest.raises(StatementRefused) as refusal:
            await self.client.read_access_token(Secret(token))
        return refusal.value.problem

    async def trouble(self) -> str:
        with pytest.raises(IssuerUnusable) as trouble:
            await self.client.read_access_token(Secret(self.provider.access_token()))
        return trouble.value.problem


def client_of(issuer: str, http: OutboundClient, clock: HeldClock) -> OpenIdClient:
    credentials = ClientCredentials(CLIENT_ID, Secret(CLIENT_SECRET))
    callback = "https://patchbay.example/sign-in/callback"
    return OpenIdClient(OpenIdProvider(issuer, credentials, AUDIENCE, callback, "https://patchbay.example/sign-in"), http, clock)


@pytest.fixture
async def flow() -> AsyncIterator[Flow]:
    clock = HeldClock()
    async with issuing(clock) as provider:
        guard = EgressGuard(frozenset({urlsplit(provider.issuer).netloc}))
        async with OutboundClient(guard) as http:
            yield Flow(provider, client_of(provider.issuer, http, clock), clock)


async def test_a_browser_is_sent_on_with_state_nonce_and_challenge(flow: Flow) -> None:
    url = await flow.client.authorization_url(state=STATE, nonce=NONCE, code_verifier=VERIFIER, groups_scope="groups")

    asked = parse_qs(urlsplit(url).query)
    assert url.startswith(f"{flow.provider.issuer}/authorize?")
    assert asked["scope"] == ["openid profile email groups"]
    assert (asked["state"], asked["nonce"]) == ([STATE.reveal()], [NONCE.reveal()])
    assert asked["code_challenge_method"] == ["S256"]
    assert VERIFIER.reveal() not in url


async def test_a_scope_that_the_provider_does_not_know_is_not_asked_for(flow: Flow) -> None:
    url = await flow.client.authorization_url(state=STATE, nonce=NONCE, code_verifier=VERIFIER, groups_scope="realm_access.roles")

    assert parse_qs(urlsplit(url).query)["scope"] == ["openid profile email"]


async def test_an_id_token_says_who_signed_in(flow: Flow) -> None:
    statement = await flow.sign_in(sub="ada", name="Ada", email="ada@example.com", groups=["Sales"])

    assert (statement.subject, statement.issued_at) == ("ada", flow.clock.now)
    assert [statement.claim(name) for name in WANTED] == ["Ada", "ada@example.com", ["Sales"]]
    assert "/userinfo" not in flow.provider.asked


async def test_user_info_fills_in_what_the_id_token_lacks_and_replaces_nothing(flow: Flow) -> None:
    flow.provider.user_info = {"sub": "ada", "name": "Someone else", "groups": ["Sales"]}

    statement = await flow.sign_in(sub="ada", name="Ada")

    assert [statement.claim(name) for name in WANTED] == ["Ada", None, ["Sales"]]


async def test_user_info_of_somebody_else_is_refused(flow: Flow) -> None:
    flow.provider.user_info = {"sub": "eve", "name": "Ada"}

    with pytest.raises(StatementRefused, match="about somebody else"):
        await flow.sign_in(sub="ada")


async def test_user_info_that_is_not_there_ends_the_sign_in(flow: Flow) -> None:
    """Else somebody whose groups are not known would be taken for somebody without any."""
    flow.provider.answers["/userinfo"] = Response(status_code=503)

    with pytest.raises(IssuerUnusable, match="HTTP 503"):
        await flow.sign_in(sub="ada")


async def test_a_nonce_of_another_sign_in_is_refused(flow: Flow) -> None:
    for nonce in (Secret("another"), Secret("")):
        with pytest.raises(StatementRefused, match="answers another sign-in"):
            await flow.sign_in(nonce)


@pytest.mark.parametrize(
    ("claims", "problem"),
    [
        ({"nonce": None}, "answers another sign-in"),
        ({"nonce": ["nonce-canary"]}, "answers another sign-in"),
        ({"aud": "another-client"}, "not made for Patchbay"),
        ({"aud": AUDIENCE}, "not made for Patchbay"),
        ({"aud": None}, "lacks what"),
        ({"aud": [CLIENT_ID, "another-client"]}, "made for another client"),
        ({"aud": [CLIENT_ID, "another-client"], "azp": "another-client"}, "made for another client"),
        ({"azp": "another-client"}, "made for another client"),
        ({"iss": "https://evil.example"}, "another issuer made it"),
        ({"sub": None}, "lacks what"),
        ({"sub": ""}, "not of the right kind"),
        ({"sub": 7}, "not of the right kind"),
        ({"sub": "a" * 256}, "its subject is no name"),
        ({"sub": "a\nb"}, "its subject is no name"),
        ({"exp": None}, "lacks what"),
        ({"iat": None}, "lacks what"),
    ],
)
async def test_an_id_token_for_anyone_or_anything_else_is_refused(flow: Flow, claims: dict[str, Any], problem: str) -> None:
    flow.provider.token_claims = claims

    with pytest.raises(StatementRefused, match=problem):
        await flow.sign_in()


async def test_an_id_token_for_several_that_names_us_as_its_client_is_taken(flow: Flow) -> None:
    flow.provider.token_claims = {"aud": [CLIENT_ID, "https://other.example"], "azp": CLIENT_ID}

    assert (await flow.sign_in(name="Ada", email="a@b.c", groups=[])).subject == "ada"


async def test_an_access_token_is_not_taken_for_an_id_token(flow: Flow) -> None:
    token = flow.provider.access_token({"aud": CLIENT_ID, "nonce": NONCE.reveal()})
    flow.provider.answers["/token"] = JSONResponse({"access_token": "opaque", "token_type": "Bearer", "id_token": token})

    with pytest.raises(StatementRefused, match="no ID token"):
        await flow.sign_in()


async def test_an_answer_without_an_id_token_is_refused(flow: Flow) -> None:
    flow.provider.answers["/token"] = JSONResponse({"access_token": "opaque", "token_type": "Bearer"})

    with pytest.raises(StatementRefused, match="without an ID token"):
        await flow.sign_in()


async def test_a_code_is_good_for_the_browser_that_began_alone(flow: Flow) -> None:
    url = await flow.client.authorization_url(state=STATE, nonce=NONCE, code_verifier=VERIFIER, groups_scope="groups")
    code = Secret(dict(flow.provider.answer_to(url))["code"])

    with pytest.raises(ServerRefused) as refusal:
        await flow.client.identify(code, code_verifier=Secret("another" + "v" * 40), nonce=NONCE, wanted=WANTED)

    assert refusal.value.error == "invalid_grant"


async def test_where_answers_name_the_issuer_one_without_it_is_not_the_providers(flow: Flow) -> None:
    named = [await flow.client.accepts_issuer(issuer) for issuer in (flow.provider.issuer, None, "https://evil.example")]
    assert named == [True, False, False]


async def test_an_access_token_says_who_a_program_acts_for(flow: Flow) -> None:
    statement = await flow.client.read_access_token(Secret(flow.provider.access_token({"sub": "ada"})))

    assert (statement.subject, statement.issued_at) == ("ada", flow.clock.now)
    assert flow.provider.asked == [DISCOVERY, "/keys"]


@pytest.mark.parametrize(
    ("claims", "typ"),
    [
        ({}, "at+jwt"),
        ({}, "application/at+jwt"),
        ({"scope": "api"}, "JWT"),
        ({"scp": "api"}, "JWT"),
        ({"client_id": "some-app"}, None),
        ({"typ": "Bearer", "nonce": "n"}, "JWT"),
        ({"aud": ["https://other.example", AUDIENCE]}, "at+jwt"),
        ({"azp": "some-app"}, "at+jwt"),
    ],
)
async def test_access_tokens_are_known_by_what_providers_give_them(flow: Flow, claims: dict[str, Any], typ: str | None) -> None:
    assert (await flow.client.read_access_token(Secret(flow.provider.sign(claims, typ=typ)))).subject == "ada"


@pytest.mark.parametrize(
    ("claims", "typ"),
    [
        ({}, "JWT"),
        ({"nonce": "n", "scope": "openid"}, "JWT"),
        ({"at_hash": "h", "client_id": "some-app"}, None),
        ({"typ": "ID"}, "JWT"),
        ({"typ": "Refresh"}, "JWT"),
        ({"events": {}, "client_id": "some-app"}, "JWT"),
        ({"client_id": "some-app"}, "logout+jwt"),
        ({"client_id": "some-app"}, "dpop+jwt"),
    ],
)
async def test_an_id_token_opens_no_api(flow: Flow, claims: dict[str, Any], typ: Any) -> None:
    token = signed_by_hand({"alg": "RS256", "kid": "first", "typ": typ}, usual(flow) | claims, RSA)

    assert "no access token" in await flow.refusal_of(token)


@pytest.mark.parametrize("claims", [{"client_id": "ada"}, {"azp": "ada"}])
async def test_a_token_that_a_client_got_for_itself_stands_for_nobody(flow: Flow, claims: dict[str, Any]) -> None:
    assert "for itself" in await flow.refusal_of(flow.provider.sign({"sub": "ada"} | claims, typ="at+jwt"))


@pytest.mark.parametrize(
    ("claims", "problem"),
    [
        ({"aud": "https://other.example"}, "not made for Patchbay"),
        ({"aud": CLIENT_ID}, "not made for Patchbay"),
        ({"aud": [AUDIENCE, 7]}, "not made for Patchbay"),
        ({"aud": {"value": AUDIENCE}}, "not made for Patchbay"),
        ({"iss": "https://evil.example"}, "another issuer"),
        ({"iss": ["x"]}, "another issuer"),
        ({"exp": 0}, "has expired"),
        ({"exp": "tomorrow"}, "has expired"),
        ({"exp": True}, "has expired"),
        ({"iat": 1e300}, "not valid yet"),
        ({"iat": -(10**18)}, "times are none"),
    ],
)
async def test_a_token_for_another_audience_time_or_issuer_is_refused(flow: Flow, claims: dict[str, Any], problem: str) -> None:
    assert problem in await flow.refusal_of(flow.provider.access_token(claims))


async def test_a_minute_is_granted_to_clocks_and_no_more(flow: Flow) -> None:
    def token(**times: float) -> str:
        return flow.provider.access_token({name: later(flow.clock, seconds=by) for name, by in times.items()})

    for good in (token(exp=-59), token(nbf=60), token(iat=60)):
        assert (await flow.client.read_access_token(Secret(good))).subject == "ada"
    assert "has expired" in await flow.refusal_of(token(exp=-60))
    assert "not valid yet" in await flow.refusal_of(token(nbf=61))
    assert "not valid yet" in await flow.refusal_of(token(iat=61))


async def test_a_token_without_a_signature_is_refused(flow: Flow) -> None:
    for algorithm in ("none", "None", "NONE"):
        token = f"{encoded({'alg': algorithm, 'typ': 'at+jwt'})}.{encoded(usual(flow))}."
        assert "an algorithm that is taken here" in await flow.refusal_of(token)
    assert flow.provider.asked == []


async def test_the_public_key_is_no_secret_to_sign_with(flow: Flow) -> None:
    for form in (RSA.as_pem(private=False), RSA.as_der(private=False), json.dumps(RSA.as_dict(private=False)).encode()):
        token = signed_by_hand({"alg": "HS256", "kid": "first", "typ": "at+jwt"}, usual(flow), form)
        assert "an algorithm that is taken here" in await flow.refusal_of(token)


async def test_a_symmetric_key_among_the_published_ones_is_none(flow: Flow) -> None:
    flow.provider.keys = [RSA, {"kty": "oct", "kid": "shared", "k": encoded(b"k" * 32)}]

    token = signed_by_hand({"alg": "HS256", "kid": "shared", "typ": "at+jwt"}, usual(flow), b"k" * 32)

    assert "an algorithm that is taken here" in await flow.refusal_of(token)


async def test_a_key_is_used_for_nothing_but_its_own_algorithm(flow: Flow) -> None:
    flow.provider.keys = [RSA, CURVE]

    for header in ({"alg": "PS256", "kid": "first"}, {"alg": "RS256", "kid": "curve"}, {"alg": "ES384", "kid": "curve"}):
        token = f"{encoded(header | {'typ': 'at+jwt'})}.{encoded(usual(flow))}.{'A' * 86}"
        assert "key that the issuer publishes" in await flow.refusal_of(token)


async def test_a_signature_by_another_key_of_the_same_name_is_refused(flow: Flow) -> None:
    assert "signature is not good" in await flow.refusal_of(flow.provider.access_token(key=FOREIGN))


async def test_a_changed_claim_breaks_the_signature(flow: Flow) -> None:
    header, _, signature = flow.provider.access_token().split(".")

    assert "signature is not good" in await flow.refusal_of(f"{header}.{encoded(usual(flow) | {'sub': 'root'})}.{signature}")


async def test_a_key_that_came_with_the_token_is_not_used(flow: Flow) -> None:
    jwk = {"jwk": FOREIGN.as_dict(private=False)}
    url = {"jku": "https://evil.example/keys"}
    for header in (jwk, url):
        token = signed_by_hand({"alg": "RS256", "kid": "theirs", "typ": "at+jwt"} | header, usual(flow), FOREIGN)
        assert "key that the issuer publishes" in await flow.refusal_of(token)


async def test_what_a_header_calls_critical_and_we_do_not_know_is_refused(flow: Flow) -> None:
    for critical in ("b64", "unknown", 7, None):
        header = {"alg": "RS256", "kid": "first", "typ": "at+jwt", "crit": [critical], "b64": False, "unknown": 1}
        await flow.refusal_of(signed_by_hand(header, usual(flow), RSA))


@pytest.mark.parametrize(
    ("key", "algorithm"),
    [
        (RSA, "RS256"),
        (RSAKey.import_key(RSA.as_pem(private=True), {"kid": "open"}), "RS512"),
        (RSAKey.import_key(RSA.as_pem(private=True), {"kid": "open"}), "PS384"),
        (CURVE, "ES256"),
        (ECKey.generate_key("P-521", {"kid": "large"}), "ES512"),
        (OKPKey.generate_key("Ed25519", {"kid": "edwards"}), "Ed25519"),
    ],
)
async def test_every_algorithm_of_the_list_is_verified(flow: Flow, key: Any, algorithm: str) -> None:
    flow.provider.keys = [key]

    token = flow.provider.access_token(key=key, alg=algorithm)

    assert (await flow.client.read_access_token(Secret(token))).subject == "ada"


async def test_a_token_that_names_no_key_is_taken_where_only_one_can_be_meant(flow: Flow) -> None:
    flow.provider.keys = [RSA, CURVE]
    unnamed = flow.provider.access_token(kid=None)
    assert (await flow.client.read_access_token(Secret(unnamed))).subject == "ada"

    flow.provider.keys = [RSA, NEXT]
    flow.clock.move(timedelta(hours=1))
    assert "key that the issuer publishes" in await flow.refusal_of(flow.provider.access_token(kid=None))


async def test_a_new_key_is_fetched_when_it_first_appears_and_asked_for_once_a_minute(flow: Flow) -> None:
    await flow.client.read_access_token(Secret(flow.provider.access_token()))
    flow.provider.keys, flow.provider.signing_key = [RSA, NEXT], NEXT
    token = Secret(flow.provider.access_token())

    flow.clock.move(timedelta(seconds=59))
    for _ in range(3):
        assert "key that the issuer publishes" in await flow.refusal_of(token.reveal())
    assert flow.provider.asked.count("/keys") == 1

    flow.clock.move(timedelta(seconds=1))
    assert (await flow.client.read_access_token(token)).subject == "ada"
    for _ in range(3):
        await flow.refusal_of(flow.provider.access_token(kid="unheard-of"))
    assert flow.provider.asked.count("/keys") == 2


async def test_a_key_that_was_taken_away_is_not_taken_for_longer_than_an_hour(flow: Flow) -> None:
    await flow.client.read_access_token(Secret(flow.provider.access_token()))
    flow.provider.keys = [NEXT]

    flow.clock.move(timedelta(hours=1))

    assert "key that the issuer publishes" in await flow.refusal_of(flow.provider.access_token())


async def test_an_outage_shuts_out_nobody_for_some_hours(flow: Flow) -> None:
    await flow.client.read_access_token(Secret(flow.provider.access_token()))
    flow.provider.answers = {DISCOVERY: Response(status_code=500), "/keys": Response(status_code=500)}

    flow.clock.move(timedelta(hours=6, minutes=59))
    for _ in range(3):
        assert (await flow.client.read_access_token(Secret(flow.provider.access_token()))).subject == "ada"
    assert flow.provider.asked.count("/keys") == 2

    flow.clock.move(timedelta(minutes=2))
    assert "HTTP 500" in await flow.trouble()


async def test_a_provider_that_is_down_is_not_asked_by_every_request(flow: Flow) -> None:
    flow.provider.answers[DISCOVERY] = Response(status_code=500)

    for _ in range(3):
        assert "HTTP 500" in await flow.trouble()
    assert flow.provider.asked == [DISCOVERY]

    del flow.provider.answers[DISCOVERY]
    flow.clock.move(timedelta(seconds=10))
    assert (await flow.client.read_access_token(Secret(flow.provider.access_token()))).subject == "ada"


@pytest.mark.parametrize("fails", [False, True])
async def test_all_who_wait_share_what_comes_of_one_attempt(fails: bool) -> None:
    begun, may_end, attempts = asyncio.Event(), asyncio.Event(), 0

    async def fetch() -> str:
        nonlocal attempts
        attempts += 1
        begun.set()
        await may_end.wait()
        if fails:
            raise IssuerUnusable("it is down.")
        return "document"

    kept = Kept(fetch, HeldClock())
    waiting = [asyncio.create_task(kept.younger_than(timedelta(hours=1))) for _ in range(5)]
    await begun.wait()
    may_end.set()
    results = await asyncio.gather(*waiting, return_exceptions=True)

    assert attempts == 1
    assert [str(result) for result in results] == [str(IssuerUnusable("it is down.")) if fails else "document"] * 5


async def test_weak_foreign_and_broken_keys_are_as_if_not_there(flow: Flow) -> None:
    broken: list[Any] = [
        {"kty": "RSA", "n": "AQAB"},
        {"kty": "RSA", "kid": 7, "n": "AQAB", "e": "AQAB"},
        {"kty": "EC", "crv": "P-256", "x": "!", "y": "!"},
        {"kty": "EC", "crv": "P-000", "x": "AA", "y": "AA"},
        {"kty": "AKP", "pub": "AA"},
        {"kty": ["RSA"]},
        RSA.as_dict(private=False) | {"use": "enc"},
        {"kty": "RSA", "kid": "weak", "n": modulus_of(bits=1024), "e": "AQAB"},
        {"kty": "RSA", "kid": "vast", "n": modulus_of(bits=8193), "e": "AQAB"},
    ]
    flow.provider.keys = [*broken, RSA]
    assert (await flow.client.read_access_token(Secret(flow.provider.access_token()))).subject == "ada"

    flow.provider.keys = broken
    flow.clock.move(timedelta(hours=8))
    assert "none of its keys" in await flow.trouble()


@pytest.mark.parametrize(
    ("path", "answer", "problem"),
    [
        (DISCOVERY, Response("<html>", 200), "not readable"),
        (DISCOVERY, JSONResponse([]), "not readable"),
        (DISCOVERY, RedirectResponse("http://169.254.169.254/"), "HTTP 307"),
        (DISCOVERY, Response(b"[" * 1000), "not readable"),
        (DISCOVERY, Response(b" " * 256_001), "larger than allowed"),
        ("/keys", Response(b" " * 256_001), "larger than allowed"),
        ("/keys", JSONResponse({"keys": [{}] * 101}), "far too many"),
        ("/keys", JSONResponse({"keys": "none"}), "no list"),
        ("/keys", JSONResponse({}), "no list"),
    ],
)
async def test_what_a_provider_says_of_itself_is_bounded_and_read_strictly(flow: Flow, path: str, answer: Response, problem: str) -> None:
    flow.provider.answers[path] = answer

    assert problem in await flow.trouble()


async def test_a_silent_provider_is_given_up() -> None:
    async with serve(says(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")) as server, server.client as http:
        issuer = Issuer(server.url(""), http, HeldClock(), deadline=timedelta(milliseconds=50))

        with pytest.raises(IssuerUnusable, match=r"did not answer within 0\.05 s"):
            await issuer.find_key("first", "RS256")


@pytest.mark.parametrize(
    ("metadata", "problem"),
    [
        ({"issuer": "https://evil.example"}, "another issuer than the one"),
        ({"issuer": None}, "another issuer than the one"),
        ({"jwks_uri": None}, "names no jwks_uri"),
        ({"token_endpoint": ["x"]}, "token_endpoint is no URL"),
        ({"jwks_uri": "http://169.254.169.254/keys"}, "is not called"),
        ({"authorization_endpoint": "javascript:alert(1)"}, "is not called"),
        ({"end_session_endpoint": "http://intranet/"}, "is not called"),
    ],
)
async def test_metadata_that_leads_elsewhere_is_not_followed(flow: Flow, metadata: dict[str, Any], problem: str) -> None:
    flow.provider.metadata = metadata

    assert problem in await flow.trouble()
    assert flow.provider.asked == [DISCOVERY]


async def test_a_private_issuer_is_called_only_where_the_operator_allows_it(flow: Flow) -> None:
    async with OutboundClient(EgressGuard()) as http:
        client = client_of(flow.provider.issuer, http, flow.clock)

        with pytest.raises(IssuerUnusable, match="only https is allowed"):
            await client.read_access_token(Secret(flow.provider.access_token()))

    assert flow.provider.asked == []


async def test_signing_out_at_the_provider_leads_back_to_us(flow: Flow) -> None:
    url = await flow.client.end_session_url()

    assert url is not None
    assert url.startswith(f"{flow.provider.issuer}/sign-out?")
    assert parse_qs(urlsplit(url).query) == {"client_id": [CLIENT_ID], "post_logout_redirect_uri": ["https://patchbay.example/sign-in"]}


async def test_a_provider_without_a_place_to_sign_out_has_none(flow: Flow) -> None:
    flow.provider.metadata = {"end_session_endpoint": None}

    assert await flow.client.end_session_url() is None


async def test_a_client_proves_itself_as_the_provider_takes_it(flow: Flow) -> None:
    flow.provider.metadata = {"token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt"]}

    with pytest.raises(ServerRefused):
        await flow.sign_in()

    assert flow.provider.forms[0]["client_secret"] == CLIENT_SECRET


async def test_a_client_without_a_secret_names_itself_alone(flow: Flow) -> None:
    public = replace(flow.client.provider, client=ClientCredentials(CLIENT_ID))
    client = OpenIdClient(public, flow.client._http, flow.clock)
    url = await client.authorization_url(state=STATE, nonce=NONCE, code_verifier=VERIFIER, groups_scope="groups")
    code = Secret(dict(flow.provider.answer_to(url))["code"])

    with pytest.raises(ServerRefused):
        await client.identify(code, code_verifier=VERIFIER, nonce=NONCE, wanted=WANTED)

    assert flow.provider.forms[0].keys() >= {"client_id", "code_verifier"}
    assert "client_secret" not in flow.provider.forms[0]


async def test_nothing_secret_stands_in_a_refusal(flow: Flow) -> None:
    token = flow.provider.access_token({"sub": "subject-canary", "aud": "audience-canary"})

    with pytest.raises(StatementRefused) as refusal:
        await flow.client.read_access_token(Secret(token))

    assert "canary" not in f"{refusal.value}{refusal.value.__cause__!r}{refusal.value.__context__!r}"


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "..",
        "a.b.c",
        "eyJ.eyJ.x",
        "ü.ü.ü",
        "e30.e30.e30",
        "bnVsbA.e30.AA",
        "W10.e30.AA",
        "NQ.e30.AA",
        "x" * 20_000,
        "\x00.\x00.\x00",
    ],
)
async def test_what_is_no_jwt_is_refused_without_asking_anybody(flow: Flow, text: str) -> None:
    await flow.refusal_of(text)

    assert flow.provider.asked == []


async def test_claims_that_no_document_may_hold_are_refused(flow: Flow) -> None:
    for payload in (b'{"sub": "a", "sub": "b"}', b"[]", b"null", b"\xff", b"[" * 5000, b'{"exp": NaN}'):
        token = signed_by_hand({"alg": "RS256", "kid": "first", "typ": "at+jwt"}, payload, RSA)
        assert "cannot be read" in await flow.refusal_of(token)


@given(head=some.binary(max_size=60), body=some.binary(max_size=20), signature=some.text(string.printable, max_size=20))
def test_no_header_makes_anything_but_a_refusal(head: bytes, body: bytes, signature: str) -> None:
    refuses_whatever(base64.urlsafe_b64encode(head).decode().rstrip("="), body, signature)


WORDS = some.none() | some.booleans() | some.integers() | some.sampled_from(["RS256", "ES256", "none", "b64", "alg", "first", ""])
NAMES = some.sampled_from(["alg", "kid", "crit", "b64", "typ", "jwk", "x5c", "x5u", "cty"])


@given(header=some.dictionaries(NAMES, WORDS | some.lists(WORDS, max_size=3)))
def test_no_header_of_known_names_makes_anything_but_a_refusal(header: dict[str, Any]) -> None:
    refuses_whatever(encoded(header), b"{}", "AA")


def refuses_whatever(header: str, body: bytes, signature: str) -> None:
    async def published() -> list[Any]:
        return [RSA, CURVE]

    clock = HeldClock()
    client = client_of("https://issuer.example", OutboundClient(EgressGuard()), clock)
    client._issuer._keys = Kept(published, clock)
    reading = client.read_access_token(Secret(f"{header}.{encoded(body)}.{signature}"))
    with pytest.raises(StatementRefused):
        # It has its keys, and so waits for nothing.
        reading.send(None)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("groups", ["a"]),
        ("https://example.com/groups", ["b"]),
        ("realm_access.roles", ["c"]),
        ("realm_access.nothing", None),
        ("nothing", None),
        ("groups.0", "a"),
    ],
)
def test_a_claim_is_found_by_its_name_or_else_by_its_path(name: str, value: Any) -> None:
    claims = {"groups": ["a"], "https://example.com/groups": ["b"], "realm_access": {"roles": ["c"]}}

    assert find_claim(claims, name) == value


def usual(flow: Flow) -> dict[str, Any]:
    now = later(flow.clock)
    return {"iss": flow.provider.issuer, "aud": AUDIENCE, "sub": "ada", "iat": now, "exp": now + 300}


def modulus_of(*, bits: int) -> str:
    return encoded(((1 << (bits - 1)) + 1).to_bytes((bits + 7) // 8, "big"))


def encoded(document: Any) -> str:
    data = document if isinstance(document, bytes) else json.dumps(document).encode()
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def signed_by_hand(header: dict[str, Any], claims: Any, key: Any) -> str:
    """Signed as no library would: by RS256 whatever the header says, or by HMAC with any bytes."""
    given = {name: value for name, value in header.items() if value is not None}
    text = f"{encoded(given)}.{encoded(claims)}"
    if isinstance(key, bytes):
        return f"{text}.{encoded(hmac.digest(key, text.encode(), 'sha256'))}"
    return f"{text}.{encoded(JWSRegistry.algorithms['RS256'].sign(text.encode(), key))}"

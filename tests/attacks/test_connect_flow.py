"""Attacks on the consent between a person's browser, Patchbay and a provider: each must end before a token goes to the wrong party."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from itertools import product
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urljoin, urlsplit

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from joserfc import jwt
from joserfc.jwk import ECKey

import models
from api.catalog.catalog import CONNECTORS, Catalog, CatalogMistakes
from api.catalog.grant import Pkce
from api.connections.consent import BegunByAnother, CallbackRefused
from api.errors import InvalidInput
from api.oauth.client import OAuthClient
from api.oauth.errors import ReservedParameter
from api.oauth.tokens import Assertion, AssertionUse, AuthorizationServer, ClientCredentials
from api.pages import render, shortened
from api.patchbay import Patchbay
from api.routes.browser import local_path
from api.secret import Secret
from models import AuditOutcome, AuthorizationStatus
from tests.attacks.attacker import CONNECTOR, Attacker
from tests.clock import HeldClock
from tests.connections.test_consent import Return, assert_nothing_kept, cookies_of, grants, returning
from tests.connections.trouble import Endpoint, another_server
from tests.installation import Installation, installed
from tests.oauth.test_client import NOW, PROVIDER, RESERVED, authorization_url, form
from tests.outbound.servers import answer, says, serve
from tests.pages.hostile import HOSTILE, Elements
from tests.routes.site import Site

pytestmark = pytest.mark.anyio

CALLBACK = "/provisioning_/callback/sandbox"
PENDING = AuthorizationStatus.PENDING


async def audited(outcome: AuditOutcome) -> list[str]:
    return [entry.action for entry in await models.AuditEntry.filter(outcome=outcome).order_by("id")]


def mutations(state: str, count: int) -> Iterator[str]:
    """The state with one to three characters changed, inserted or left out, or with its parts exchanged."""
    chance = random.Random(1)
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_ +/=%\0\n"
    while count:
        letters = list(state)
        for _ in range(chance.randint(1, 3)):
            place = chance.randrange(len(letters))
            letters[place : place + chance.randint(0, 1)] = chance.choice(["", chance.choice(alphabet)])
        if chance.random() < 0.1:
            half = chance.randrange(len(letters))
            letters = letters[half:] + letters[:half]
        if "".join(letters) != state:
            count -= 1
            yield "".join(letters)


async def test_a01_a_state_that_was_changed_finds_nothing_and_asks_no_provider(here: Installation, token_endpoint: Endpoint) -> None:
    back = await returning(here)
    told = set()

    for state in mutations(back.state, 1_000):
        with pytest.raises(CallbackRefused) as refused:
            await back.complete(parameters=back.but(state=state))
        told.add((refused.value.message, refused.value.remedy))

    assert (len(told), token_endpoint.asked) == (1, 0)
    await assert_nothing_kept(here)
    kept = await models.Authorization.get(id=back.authorization.id)
    # 256 bits, of which only the hash is kept, for ten minutes.
    assert (len(back.state), len(kept.state_hash or "")) == (43, 64)
    assert kept.expires_at - kept.created_at == timedelta(minutes=10)
    assert (await back.complete()).status is AuthorizationStatus.SUCCEEDED


async def test_a02_of_fifty_callbacks_at_two_servers_one_asks_for_a_token(here: Installation, token_endpoint: Endpoint) -> None:
    back = await returning(here)

    async def at(patchbay: Patchbay) -> models.Authorization:
        with patchbay.database.entered():
            return await patchbay.connecting.complete(here.ada, "sandbox", back.parameters, back.cookies)

    async with another_server(here) as other:
        servers = [here.patchbay, other] * 25
        ends = await asyncio.gather(*(asyncio.create_task(at(server)) for server in servers), return_exceptions=True)

    assert Counter(type(end) for end in ends) == {CallbackRefused: 49, models.Authorization: 1}
    assert token_endpoint.asked == 1
    assert await models.Connection.all().count() == 1
    with pytest.raises(CallbackRefused):
        await back.complete()
    assert token_endpoint.asked == 1


async def test_a03_a_browser_without_the_cookie_of_this_consent_is_refused_before_the_token_request(
    here: Installation, token_endpoint: Endpoint
) -> None:
    back, other = await returning(here), await returning(here)
    [(name, value)] = back.cookies.items()
    forged: list[Mapping[str, str]] = [
        {}, other.cookies, {name: ""}, {name: "1"}, {name: "true"}, {name: back.state}, {back.state: "1"}, {"state": back.state},
        {name: value[:-1]}, {name: value + " "}, {name: value.swapcase()}, {name: next(iter(other.cookies.values()))},
        {name + "x": value}, {name.upper(): value}, {f"__Host-{name}": value}, {"patchbay-flow": value}, {name: str(back.authorization.id)},
    ]  # fmt: skip

    for cookies in forged:
        with pytest.raises(CallbackRefused):
            await back.complete(cookies=cookies)

    assert token_endpoint.asked == 0
    await assert_nothing_kept(here)
    # Whoever knows a state and lacks its cookie is no passer-by.
    assert await audited(AuditOutcome.FAILED) == ["authorization.complete"] * len(forged)
    assert (await back.complete()).status is AuthorizationStatus.SUCCEEDED


async def test_a03_the_cookie_is_the_hosts_alone_and_no_script_reads_it(secure_site: Site) -> None:
    ada = await secure_site.person("Ada")
    browser = await secure_site.signed_in(ada)
    authorization = await secure_site.begin(ada)

    answer = await browser.get(f"/connect/{authorization.id}")

    name, _, attributes = answer.headers["set-cookie"].partition("=")
    value, *flags = attributes.split("; ")
    state = parse_qs(urlsplit(answer.headers["location"]).query)["state"][0]
    assert name == f"__Host-patchbay-flow-{authorization.id.hex[:12]}"
    assert {flag.lower() for flag in flags} == {"httponly", "secure", "samesite=lax", "path=/", "max-age=600"}
    assert len(value) == 43 and value != state
    # A neighbour below the same domain can set a cookie without the prefix.
    query = {"state": state, "error": "access_denied"}
    tossed = await secure_site.browser().get(CALLBACK, params=query, headers={"cookie": f"{name.removeprefix('__Host-')}={value}"})
    assert tossed.status_code == 400
    assert (await models.Authorization.get(id=authorization.id)).status is PENDING


async def test_a04_whoever_opens_the_link_of_another_goes_nowhere_and_is_written_down(site: Site) -> None:
    authorization = await site.begin(await site.person("Ada"))
    eve = await site.signed_in(await site.person("Eve"))

    answer = await eve.get(f"/connect/{authorization.id}")

    assert (answer.status_code, "location" in answer.headers, "set-cookie" in answer.headers) == (403, False, False)
    assert await audited(AuditOutcome.REFUSED) == ["connect.refused_user_mismatch"]
    kept = await models.Authorization.get(id=authorization.id)
    assert (kept.status, kept.state_hash, kept.cookie_hash) == (PENDING, None, None)


async def test_a04_an_answer_in_the_session_of_another_is_not_taken(here: Installation, token_endpoint: Endpoint) -> None:
    """Even with every cookie of the consent: a person is who is signed in, at its beginning and at its end."""
    eve = await here.add_person("Eve", administrator=True)
    back = await returning(here)

    with pytest.raises(BegunByAnother):
        await back.complete(actor=eve)

    assert (token_endpoint.asked, await audited(AuditOutcome.REFUSED)) == (0, ["connect.refused_user_mismatch"])
    await assert_nothing_kept(here)


@pytest.fixture
def attacker() -> Attacker:
    return Attacker()


@pytest.fixture
async def attacked(database_url: str, tmp_path: Path, clock: HeldClock, attacker: Attacker) -> AsyncIterator[Installation]:
    """A Patchbay with the connector of an attacker, who has an account at the honest provider's, and its public values."""
    folder = attacker.write_connector(tmp_path / "connectors")
    routes = attacker.routes()
    async with installed(database_url, tmp_path, clock, beside=routes, PATCHBAY_CONNECTORS_FOLDER=str(folder)) as here:
        await here.patchbay.oauth_apps.keep_registered("mallory", client_id="mallory", client_secret=Secret("of-mallory"))
        attacker.honest = f"{here.sandbox.origin}/sandbox/authorize"
        attacker.parameters = {
            "client_id": here.sandbox.client_id,
            "redirect_uri": here.patchbay.connecting.redirect_uri("sandbox"),
            "scope": "read write",
        }
        yield here


async def bounced(here: Installation) -> tuple[Return, str]:
    """A person who connects at the attacker's, is sent on to the honest server, and consents there; and where they come back to."""
    authorization = await here.begin(connector_key="mallory")
    departure = await here.patchbay.connecting.depart(here.ada, authorization.id)
    sent_on = await here.browser.get(departure.url, follow_redirects=False)
    location = urljoin(departure.url, sent_on.headers["location"])
    parameters = await here.decide(location)
    return Return(here, authorization, parameters, cookies_of(departure)), location


async def test_a05_a_consent_that_is_bounced_to_another_server_comes_to_nothing(attacked: Installation, attacker: Attacker) -> None:
    back, location = await bounced(attacked)
    assert location.startswith(attacker.honest) and back.state in location

    with pytest.raises(CallbackRefused):
        await back.complete(connector_key="sandbox")

    assert (attacker.heard, grants(attacked)) == ([], [])
    assert await audited(AuditOutcome.FAILED) == ["authorization.complete"]
    await assert_nothing_kept(attacked)
    assert (await models.Authorization.get(id=back.authorization.id)).status is PENDING


async def test_a05_the_honest_server_sends_no_code_to_the_callback_of_the_attacker(attacked: Installation, attacker: Attacker) -> None:
    attacker.parameters["redirect_uri"] = attacked.patchbay.connecting.redirect_uri("mallory")
    authorization = await attacked.begin(connector_key="mallory")
    departure = await attacked.patchbay.connecting.depart(attacked.ada, authorization.id)

    page = await attacked.browser.get(departure.url, follow_redirects=True)

    assert page.status_code == 400
    assert (attacker.heard, grants(attacked)) == ([], [])


async def test_a06_an_honest_code_at_the_callback_of_the_attacker_is_of_another_issuer(attacked: Installation, attacker: Attacker) -> None:
    """As if the honest server had been careless about where it sends people back to."""
    back, _ = await bounced(attacked)

    done = await back.complete(connector_key="mallory")

    assert done.status is AuthorizationStatus.FAILED
    assert (attacker.heard, grants(attacked)) == ([], [])
    await assert_nothing_kept(attacked)


async def test_a06_another_issuer_aborts_answers_and_errors_alike(here: Installation, token_endpoint: Endpoint) -> None:
    issuer = here.sandbox.issuer
    parts = urlsplit(issuer)
    others = [
        None, "", f"{issuer}/", issuer.upper(), issuer.replace("http:", "https:"), f"{parts.scheme}://{parts.hostname}{parts.path}",
        f"{issuer}?", f"{issuer}#", f" {issuer}", f"{issuer}\0", f"{issuer}.", f"{issuer}/mallory", "https://accounts.example.com",
        issuer.replace("127.0.0.1", "localhost"),
    ]  # fmt: skip

    for iss, error in [*((iss, None) for iss in others), *((iss, "access_denied") for iss in others[:4])]:
        back = await returning(here)
        done = await back.complete(parameters=back.but(iss=iss, error=error))
        assert done.status is AuthorizationStatus.FAILED, (iss, error)

    assert (token_endpoint.asked, grants(here)) == (0, [])
    await assert_nothing_kept(here)


async def test_a07_each_consent_has_a_challenge_of_its_own_and_never_a_plain_one(here: Installation) -> None:
    challenges = set()
    for _ in range(5):
        authorization = await here.begin()
        departure = await here.patchbay.connecting.depart(here.ada, authorization.id)
        asked = dict(parse_qsl(urlsplit(departure.url).query))
        challenges.add(asked["code_challenge"])
        assert (asked["code_challenge_method"], len(asked["code_challenge"])) == ("S256", 43)
        kept = await models.Authorization.get(id=authorization.id)
        assert kept.secrets is not None

    assert len(challenges) == 5


def test_a07_only_the_catalogue_says_who_cannot_do_pkce() -> None:
    catalog = Catalog.load(CONNECTORS, constants={"sandbox_url": "http://127.0.0.1:8000/sandbox"})
    without = {
        connector.key
        for connector in catalog.all
        for option in connector.options
        if option.grant is not None and option.grant.authorize_url is not None and option.grant.pkce is Pkce.UNSUPPORTED
    }
    url = authorization_url(replace(PROVIDER, authorize_parameters={"prompt": "none"}))

    assert "sandbox" not in without
    assert dict(parse_qsl(urlsplit(url).query))["code_challenge_method"] == "S256"
    for name, value in (("code_challenge_method", "plain"), ("code_challenge", "x"), ("codeChallengeMethod", "plain")):
        with pytest.raises(ReservedParameter):
            authorization_url(replace(PROVIDER, authorize_parameters={name: value}))


async def test_a07_a_server_that_ignores_the_verifier_gets_no_injected_code(attacked: Installation, attacker: Attacker) -> None:
    eve = await attacked.add_person("Eve")
    folder = await models.Folder.get(owner_id=eve.user_id)
    connecting = attacked.patchbay.connecting
    of_eve = await connecting.connect(eve, attacked.consent_request(connector_key="mallory", folder_id=folder.id))
    assert isinstance(of_eve, models.Authorization)
    departure = await connecting.depart(eve, of_eve.id)
    state = parse_qs(urlsplit(departure.url).query)["state"][0]
    victim = await attacked.begin(connector_key="mallory")
    departed = await connecting.depart(attacked.ada, victim.id)
    issuer = f"{attacked.sandbox.origin}/sandbox/mallory"

    # Eve's code and state in the victim's browser: without a cookie, with the victim's, and with Eve's under the victim's session.
    for cookies, refusal in (({}, CallbackRefused), (cookies_of(departed), CallbackRefused), (cookies_of(departure), BegunByAnother)):
        with pytest.raises(refusal):
            await connecting.complete(attacked.ada, "mallory", [("code", "of-eve"), ("state", state), ("iss", issuer)], cookies)

    assert attacker.heard == []
    await assert_nothing_kept(attacked)


async def test_a08_a_stolen_code_is_worth_nothing_in_another_consent(here: Installation, token_endpoint: Endpoint) -> None:
    eve = await here.add_person("Eve")
    folder = await models.Folder.get(owner_id=eve.user_id)
    victim = await returning(here)
    theirs = await here.patchbay.connecting.connect(eve, here.consent_request(folder_id=folder.id))
    assert isinstance(theirs, models.Authorization)
    departure = await here.patchbay.connecting.depart(eve, theirs.id)
    own = dict(await here.decide(departure.url))
    stolen = own | {"code": dict(victim.parameters)["code"]}

    done = await here.patchbay.connecting.complete(eve, "sandbox", [*stolen.items()], cookies_of(departure))
    for _ in range(5):
        with pytest.raises(CallbackRefused):
            await here.patchbay.connecting.complete(eve, "sandbox", [*stolen.items()], cookies_of(departure))

    # One request, with the verifier of Eve's consent, which is not that of the code; and no other after it.
    assert (done.status, token_endpoint.asked, grants(here)) == (AuthorizationStatus.FAILED, 1, [])
    await assert_nothing_kept(here)


def foreign_addresses(home: str) -> list[str]:
    """Addresses outside of ours and of the one on the operator's list, written as people write them to look like those."""
    own = urlsplit(home).netloc
    hosts = [
        "evil.example", f"{own}.evil.example", f"evil.example#{home}", f"{own}@evil.example", "app.example:443@evil.example",
        "app.example.evil.example", "app.example%2eevil.example", "app.example\\.evil.example", "evilapp.example", "app.example:444",
        "app.example.", "APP.example.evil", "аpp.example", "app。example", "①②⑦.0.0.1", "[::1]", "2130706433", "xn--pp-7ka.example",
        "app.example\t.evil.example", "app.example\r\n.evil.example", " app.example", "app.example\0", "user@app.example", ":@app.example",
    ]  # fmt: skip
    frames = ["https://{}", "https://{}/done", "//{}", "/\\{}", "\\\\{}", "https:{}", "https:/{}", "///{}", "https:///{}"]
    schemes = [
        "javascript:alert(1)", "JaVaScRiPt:alert(1)", "java\tscript:alert(1)", "data:text/html,x", "vbscript:x", "blob:https://app.example/x",
        "file:///etc/passwd", "ftp://app.example/", "http://app.example/", "intent://app.example", "", "?", "#", "/", "done", "\u202e/",
    ]  # fmt: skip
    return [frame.format(host) for frame, host in product(frames, hosts)] + schemes


async def test_a09_a_browser_is_sent_back_to_the_operators_origins_only(site: Site) -> None:
    ada = await site.person("Ada")
    allows = site.patchbay.connecting._addresses.allows_return_to
    payloads = foreign_addresses(site.url)

    assert len(payloads) >= 200
    assert [url for url in payloads if allows(url)] == []
    assert [path for path in payloads if local_path(path) not in ("/", path) or local_path(path).startswith(("//", "/\\"))] == []
    for url in payloads[:20]:
        with pytest.raises(InvalidInput) as refusal:
            await site.begin(ada, return_url=url)
        assert list(refusal.value.fields) == ["returnUrl"]
    assert await models.Authorization.all().count() == 0
    assert allows("https://app.example/done?x=1") and allows(f"{site.url}/done")


FORWARDED = [
    {"host": "evil.example"}, {"host": "evil.example:443"}, {"host": "127.0.0.1:8000@evil.example"}, {"host": ""},
    {"host": "localhost:8000"}, {"host": "127.0.0.1:8000, evil.example"}, {"x-forwarded-host": "evil.example"},
    {"x-forwarded-host": "evil.example, 127.0.0.1:8000"}, {"x-forwarded-host": "127.0.0.1:8000, evil.example"},
    {"x-forwarded-proto": "https"}, {"x-forwarded-proto": "javascript"}, {"x-forwarded-port": "444"}, {"x-forwarded-prefix": "/evil"},
    {"x-forwarded-path": "/evil"}, {"x-forwarded-server": "evil.example"}, {"x-forwarded-scheme": "https"}, {"x-forwarded-ssl": "on"},
    {"x-forwarded-for": "evil.example"}, {"x-real-ip": "127.0.0.1"}, {"x-host": "evil.example"}, {"x-original-host": "evil.example"},
    {"x-original-url": "/evil"}, {"x-rewrite-url": "/evil"}, {"x-http-host-override": "evil.example"}, {"front-end-https": "on"},
    {"forwarded": "host=evil.example;proto=https"}, {"forwarded": 'for=127.0.0.1;host="evil.example:443"'},
    {"origin": "https://evil.example"}, {"referer": "https://evil.example/"}, {"x-forwarded-host": "evil.example", "host": "evil.example"},
]  # fmt: skip


async def test_a10_no_header_moves_the_redirect_uri(site: Site) -> None:
    ada = await site.person("Ada")
    browser = await site.signed_in(ada)
    authorization = await site.begin(ada)

    cookies = "; ".join(f"{name}={value}" for name, value in browser.cookies.items())
    asked = set()
    for headers in FORWARDED:
        answer = await browser.get(f"/connect/{authorization.id}", headers={"cookie": cookies} | headers)
        location = urlsplit(answer.headers["location"])
        asked.add((location.netloc, parse_qs(location.query)["redirect_uri"][0]))

    assert len(FORWARDED) == 30
    assert asked == {("127.0.0.1:8000", f"{site.url}{CALLBACK}")}


@pytest.mark.parametrize("name", RESERVED)
def test_a11_no_extra_parameter_replaces_one_of_the_protocol(name: str) -> None:
    for value in ("evil", ""):
        with pytest.raises(ReservedParameter):
            authorization_url(replace(PROVIDER, authorize_parameters={"prompt": "consent", name: value}))


@pytest.mark.parametrize(
    "name", ["response_type", "client_id", "redirect_uri", "state", "code_challenge", "code_challenge_method", "scope"]
)
def test_a11_a_connector_file_that_tries_is_not_loaded(name: str, tmp_path: Path) -> None:
    (tmp_path / "mallory.toml").write_text(f'{CONNECTOR}authorize_parameters = {{ {name} = "evil" }}\n')

    with pytest.raises(CatalogMistakes):
        Catalog.load(tmp_path, constants={"sandbox_url": "http://127.0.0.1:8000/sandbox"})


def payloads() -> list[str]:
    frames = ["{}", "{} x", "x{}", '">{}', "'>{}", "</p></main>{}", "<!--{}-->"]
    return [frame.format(text) for text, frame in product(HOSTILE, frames)]


@pytest.mark.parametrize("page", ["not_connected.html", "connected.html", "error.html"])
def test_a12_no_text_of_a_provider_makes_an_element(page: str) -> None:
    def elements(text: str) -> list[tuple[str, tuple[str, ...]]]:
        values: dict[str, Any] = dict.fromkeys(("connector", "viewer", "message", "remedy", "title"), text)
        values |= {"provider_error": shortened(text), "denied": False, "return_url": None, "connection": None}
        return Elements(bytes(render(page, **values).body).decode()).found

    assert len(payloads()) >= 100
    assert [text for text in payloads() if elements(text) != elements("harmless")] == []


async def test_a12_the_page_of_an_answer_keeps_to_itself(site: Site) -> None:
    ada = await site.person("Ada")
    browser = await site.signed_in(ada)
    for text in HOSTILE[:10]:
        authorization = await site.begin(ada)
        departed = await browser.get(f"/connect/{authorization.id}")
        state = parse_qs(urlsplit(departed.headers["location"]).query)["state"][0]

        query = {"state": state, "error": text * 20, "error_description": text * 20, "iss": f"{site.url}/sandbox"}
        answer = await browser.get(CALLBACK, params=query)

        assert not {"script", "img", "svg", "iframe", "form", "object"} & {
            tag for tag, _ in Elements(answer.text.partition("<main>")[2]).found
        }
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy and "unsafe" not in policy
        headers = ("x-content-type-options", "referrer-policy", "cache-control", "cross-origin-opener-policy")
        assert [answer.headers[name] for name in headers] == ["nosniff", "no-referrer", "no-store", "same-origin"]


async def test_a13_what_comes_twice_or_too_long_is_refused_and_an_error_wins(here: Installation, token_endpoint: Endpoint) -> None:
    back = await returning(here)
    for name, value in back.parameters:
        for second in (value, "", "x"):
            with pytest.raises(CallbackRefused):
                await back.complete(parameters=[*back.parameters, (name, second)])
    assert (await models.Authorization.get(id=back.authorization.id)).status is PENDING

    done = await back.complete(parameters=back.but(error="access_denied"))

    assert (done.status, token_endpoint.asked, grants(here)) == (AuthorizationStatus.DENIED, 0, [])
    await assert_nothing_kept(here)


@pytest.mark.parametrize(
    "query", ["&code=x&code=y", "&state=x", "&iss=x&iss=x", "&error=a&error=b", "&c%6fde=x&code=y", "&x=" + "x" * 8_192]
)
async def test_a13_the_callback_refuses_them_as_a_bad_request(site: Site, query: str) -> None:
    ada = await site.person("Ada")
    browser = await site.signed_in(ada)
    authorization = await site.begin(ada)
    departed = await browser.get(f"/connect/{authorization.id}")
    state = parse_qs(urlsplit(departed.headers["location"]).query)["state"][0]

    answer = await browser.get(f"{CALLBACK}?state={state}{query}")

    assert answer.status_code == 400
    assert (await models.Authorization.get(id=authorization.id)).status is PENDING


@pytest.mark.parametrize("use", [AssertionUse.GRANT, AssertionUse.CLIENT, AssertionUse.BEARER])
async def test_a14_an_assertion_has_one_audience_which_no_answer_moves(use: AssertionUse) -> None:
    key = generate_private_key(SECP256R1())
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    hostile = (
        b'{"access_token":"access","aud":"https://evil.example","issuer":"https://evil.example","token_endpoint":"https://evil.example"}'
    )
    async with serve(says(answer(200, hostile))) as server, server.client as http:
        assertion = Assertion(Secret(pem), "ES256", use, timedelta(minutes=5), claims={"iss": "me", "aud": server.url()})
        habits = AuthorizationServer(server.url(), assertion=assertion)
        for _ in range(2):
            await OAuthClient(http, lambda: NOW).obtain(habits, ClientCredentials("client"), "client_credentials", {}, [])

    found = []
    for number in range(2):
        sent = form(server, number)
        text = sent.get("assertion") or sent.get("client_assertion") or (server.header("Authorization", number) or "").split()[-1]
        found.append(jwt.decode(text, ECKey.import_key(pem), algorithms=["ES256"]).claims)
    assert [claims["aud"] for claims in found] == [server.url()] * 2
    assert found[0]["jti"] != found[1]["jti"]
    assert all(claims["exp"] - claims["iat"] == 300 for claims in found)


def test_a14_no_audience_of_the_catalogue_comes_from_an_answer_and_each_key_is_of_its_connection() -> None:
    catalog = Catalog.load(CONNECTORS, constants={"sandbox_url": "http://127.0.0.1:8000/sandbox"})
    tried = 0
    for connector, option in ((each, option) for each in catalog.all for option in each.options):
        assertion = None if option.grant is None else option.grant.assertion
        if assertion is None:
            continue
        tried += 1
        asked = {field.name for field in connector.fields_for(option) if field.asked or field.derivation is not None}
        audience = assertion.claims.get("aud")
        assert audience is None or audience.names <= asked, connector.key
        # One's own key, typed in for this connection, and kept with it.
        assert len(assertion.key.names) == 1 and assertion.key.names <= asked, connector.key
    assert tried >= 25

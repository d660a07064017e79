import pytest

from tests.sandbox.visiting import ISSUER, REDIRECT_URI, Visitor

pytestmark = pytest.mark.anyio


async def test_the_consent_page_shows_client_scopes_and_accounts(visitor: Visitor) -> None:
    answer = await visitor.browser.get(f"{ISSUER}/authorize", params=visitor.request())

    assert answer.status_code == 200
    for text in ("patchbay-sandbox", "Read everything", "Change everything", "Alex Example", "Sam Sample", "http://127.0.0.1:8000"):
        assert text in answer.text
    assert "Manage the account" not in answer.text


async def test_every_page_forbids_scripts_frames_and_caching(visitor: Visitor) -> None:
    await visitor.connect()

    answers = [
        await visitor.browser.get(f"{ISSUER}/"),
        await visitor.browser.get(f"{ISSUER}/authorize", params=visitor.request()),
        await visitor.browser.get(f"{ISSUER}/authorize"),
    ]

    assert [answer.status_code for answer in answers] == [200, 200, 400]
    for answer in answers:
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "script-src" not in policy
        assert "frame-ancestors 'none'" in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert "<script" not in answer.text


async def test_the_control_page_throws_switches(visitor: Visitor) -> None:
    tokens = await visitor.connect()
    grant = (await visitor.me(tokens["access_token"])).json()["grant"]
    headers = {"origin": "http://127.0.0.1:8000", "sec-fetch-site": "same-origin"}

    answer = await visitor.browser.post(f"{ISSUER}/switch", data={"grant": grant, "switch": "answer_503"}, headers=headers)

    assert (answer.status_code, answer.headers["location"]) == (303, "/sandbox/")
    assert "answers 503" in (await visitor.browser.get(f"{ISSUER}/")).text
    assert (await visitor.me(tokens["access_token"])).status_code == 503


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example", "sec-fetch-site": "cross-site"},
        {"origin": "http://127.0.0.1:9000", "sec-fetch-site": "same-site"},
        {"origin": "https://evil.example"},
        {"origin": "null"},
    ],
)
async def test_another_site_throws_no_switch_and_gives_no_consent(visitor: Visitor, headers: dict[str, str]) -> None:
    tokens = await visitor.connect()

    consent = {"decision": "allow", "account": "alex", "scope": "read"}
    answers = [
        await visitor.browser.post(f"{ISSUER}/switch", data={"account": "alex", "switch": "revoke"}, headers=headers),
        await visitor.browser.post(f"{ISSUER}/control", json={"account": "alex", "switch": "revoke"}, headers=headers),
        await visitor.browser.post(f"{ISSUER}/authorize", params=visitor.request(), data=consent, headers=headers),
    ]

    assert [answer.status_code for answer in answers] == [403, 403, 403]
    assert (await visitor.me(tokens["access_token"])).status_code == 200


async def test_a_form_may_end_where_the_client_is(visitor: Visitor) -> None:
    answer = await visitor.browser.get(f"{ISSUER}/authorize", params=visitor.request())

    origin = REDIRECT_URI.removesuffix("/provisioning_/callback/sandbox")
    assert f"form-action 'self' {origin};" in answer.headers["content-security-policy"]

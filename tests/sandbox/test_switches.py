from datetime import timedelta
from pathlib import Path
from stat import S_IMODE

import pytest

from api.secret import Secret
from tests.sandbox.visiting import ISSUER, HandClock, Visitor, visiting

pytestmark = pytest.mark.anyio


def _on_disk(file: Path) -> tuple[bytes, int]:
    """What the file holds, its journal included, and who may read it."""
    return b"".join(part.read_bytes() for part in file.parent.glob(f"{file.name}*")), S_IMODE(file.stat().st_mode)


@pytest.mark.parametrize(("switch", "status", "retry_after"), [("answer_503", 503, None), ("answer_429", 429, "10")])
async def test_a_trouble_is_seen_at_both_endpoints_and_uses_nothing_up(
    visitor: Visitor, switch: str, status: int, retry_after: str | None
) -> None:
    tokens = await visitor.connect()
    await visitor.control(account="alex", switch=switch)

    refused = [await visitor.me(tokens["access_token"]), await visitor.refresh(tokens["refresh_token"])]

    assert [(answer.status_code, answer.headers.get("retry-after")) for answer in refused] == [(status, retry_after)] * 2
    await visitor.control(account="alex", switch="normal")
    assert (await visitor.me(tokens["access_token"])).status_code == 200
    assert (await visitor.refresh(tokens["refresh_token"])).status_code == 200


async def test_a_switch_holds_for_its_grant_alone(visitor: Visitor) -> None:
    first, second = await visitor.connect(), await visitor.connect()
    grant = (await visitor.me(first["access_token"])).json()["grant"]

    await visitor.control(grant=grant, switch="answer_503")

    assert (await visitor.me(first["access_token"])).status_code == 503
    assert (await visitor.me(second["access_token"])).status_code == 200


async def test_a_revoked_grant_is_dead_for_good(visitor: Visitor) -> None:
    tokens = await visitor.connect()

    await visitor.control(account="alex", switch="revoke")
    await visitor.control(account="alex", switch="normal")

    assert (await visitor.me(tokens["access_token"])).status_code == 401
    assert (await visitor.refresh(tokens["refresh_token"])).json()["error"] == "invalid_grant"


async def test_expire_now_ends_access_tokens_and_leaves_the_refresh_token(visitor: Visitor) -> None:
    tokens = await visitor.connect()

    await visitor.control(account="alex", switch="expire")

    assert (await visitor.me(tokens["access_token"])).status_code == 401
    assert (await visitor.refresh(tokens["refresh_token"])).status_code == 200


async def test_the_lifetime_holds_for_the_tokens_that_follow(visitor: Visitor) -> None:
    assert (await visitor.control(lifetime=300)).json()["lifetime"] == 300

    assert (await visitor.connect())["expires_in"] == 300


async def test_client_credentials_can_be_taken_away_and_given_back(visitor: Visitor) -> None:
    async def ask() -> int:
        form = {"grant_type": "client_credentials"}
        return (await visitor.browser.post(f"{ISSUER}/token", data=form, auth=visitor.basic)).status_code

    before = await ask()
    await visitor.control(account="patchbay-sandbox", switch="revoke")
    taken = await ask()
    await visitor.control(account="patchbay-sandbox", switch="normal")

    assert (before, taken, await ask()) == (200, 400, 200)


@pytest.mark.parametrize(
    "wish",
    [
        {"account": "nobody", "switch": "revoke"},
        {"grant": "x", "switch": "revoke"},
        {"account": "alex", "switch": "explode"},
        {"client": "explode"},
        {"lifetime": 0},
        {"lifetime": "soon"},
        {"lifetime": 10**9},
        {},
    ],
)
async def test_a_wish_that_makes_no_sense_is_refused(visitor: Visitor, wish: dict[str, object]) -> None:
    tokens = await visitor.connect()
    before = await visitor.report()

    answer = await visitor.control(**wish)

    assert answer.status_code == 400
    assert await visitor.report() == before
    assert (await visitor.me(tokens["access_token"])).status_code == 200


async def test_a_personal_token_works_as_bearer_api_key_and_password(visitor: Visitor) -> None:
    token = (await visitor.report())["personal_tokens"]["sam"]

    answers = [
        await visitor.me(token),
        await visitor.browser.get(f"{ISSUER}/api/me", headers={"x-api-key": token}),
        await visitor.browser.get(f"{ISSUER}/api/me", auth=("sam", token)),
    ]

    assert [(answer.status_code, answer.json()["account"]) for answer in answers] == [(200, "sam")] * 3
    assert (await visitor.browser.get(f"{ISSUER}/api/me", auth=("alex", token))).status_code == 401


async def test_a_revoked_personal_token_is_replaced(visitor: Visitor) -> None:
    old = (await visitor.report())["personal_tokens"]

    await visitor.control(account="sam", switch="revoke")

    new = (await visitor.report())["personal_tokens"]
    assert (await visitor.me(old["sam"])).status_code == 401
    assert (await visitor.me(new["sam"])).status_code == 200
    assert new["alex"] == old["alex"]


@pytest.mark.parametrize("authorization", ["", "Bearer", "Bearer ", "Bearer nonsense", "Basic %%%", "Basic eA==", "Digest x"])
async def test_a_caller_without_a_living_token_is_refused(visitor: Visitor, authorization: str) -> None:
    answer = await visitor.browser.get(f"{ISSUER}/api/me", headers={"authorization": authorization})

    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_token")
    assert answer.headers["www-authenticate"].startswith("Bearer ")


async def test_a_restart_keeps_grants_secret_and_switches(visitor: Visitor, data_file: Path, clock: HandClock) -> None:
    tokens = await visitor.connect()
    await visitor.control(lifetime=300)
    before = await visitor.report()

    async with visiting(data_file, clock) as later:
        assert later.sandbox.client_secret == visitor.sandbox.client_secret
        assert await later.report() == before
        assert (await later.me(tokens["access_token"])).status_code == 200
        assert (await later.refresh(tokens["refresh_token"])).status_code == 200


async def test_the_file_holds_no_token_of_a_grant_and_is_its_owners_alone(visitor: Visitor, data_file: Path) -> None:
    tokens = await visitor.connect()

    written, mode = _on_disk(data_file)

    assert tokens["access_token"].encode() not in written
    assert tokens["refresh_token"].encode() not in written
    assert mode == 0o600


async def test_what_is_long_over_is_forgotten(visitor: Visitor, clock: HandClock) -> None:
    tokens = await visitor.connect()
    for _ in range(3):
        tokens = (await visitor.refresh(tokens["refresh_token"])).json()
    clock.advance(timedelta(days=8))

    tokens = (await visitor.refresh(tokens["refresh_token"])).json()

    assert (await visitor.me(tokens["access_token"])).status_code == 200
    with visitor.sandbox._store.work() as records:
        assert records._database.execute("SELECT COUNT(*) FROM token WHERE kind = 'refresh_token'").fetchone()[0] == 2
        assert records._database.execute("SELECT COUNT(*) FROM code").fetchone()[0] == 0


async def test_the_client_may_have_several_secrets_until_the_older_are_retired(visitor: Visitor) -> None:
    first = visitor.sandbox.client_secret
    report = (await visitor.control(client="new_secret")).json()
    newest = visitor.sandbox.client_secret

    async def status(secret: Secret) -> int:
        form = {"grant_type": "client_credentials"}
        answer = await visitor.browser.post(f"{ISSUER}/token", data=form, auth=(visitor.sandbox.client_id, secret.reveal()))
        return answer.status_code

    both = [await status(first), await status(newest)]
    await visitor.control(client="retire_secrets")

    assert report["client"]["secrets"] == [newest.reveal(), first.reveal()]
    assert both == [200, 200]
    assert [await status(first), await status(newest)] == [401, 200]


async def test_a_client_that_is_disabled_is_unknown_until_it_is_enabled(visitor: Visitor) -> None:
    tokens = await visitor.connect()

    await visitor.control(client="disable")
    refused = await visitor.refresh(tokens["refresh_token"])
    await visitor.control(client="enable")

    assert (refused.status_code, refused.json()["error"]) == (401, "invalid_client")
    assert (await visitor.refresh(tokens["refresh_token"])).status_code == 200

"""OAuth apps: who may do what with them, what becomes of their secrets, and what is found out about them."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

import models
from api.access import Actor
from api.audit import Audit
from api.connections.app_check import AppQuestion, Verdict
from api.connections.app_upkeep import AppChanges, NewSecret
from api.connections.requests import OwnApp
from api.errors import AuthenticationTypeUnavailable, Conflict, InvalidInput, NotFound, PatchbayError, PermissionDenied
from api.organization.app_secrets import previous_secret_place, secret_place
from api.organization.app_warnings import AppWarningKind, AppWarnings, warnings_of
from api.sandbox.provider import Answer, Incoming
from api.sandbox.sandbox import ClientSwitch
from api.secret import Secret
from api.vault.vault import Unreadable
from models import AuditOutcome, AuthenticationType, AuthorizationStatus, OAuthAppOrigin, Permission
from tests.clock import HeldClock
from tests.connections.trouble import NEVER_SEALED, Endpoint, refuses
from tests.installation import Installation, installed

pytestmark = pytest.mark.anyio

SECOND = timedelta(seconds=1)


@pytest.fixture
async def here(sqlite_url: str, tmp_path: Path) -> AsyncIterator[Installation]:
    async with installed(sqlite_url, tmp_path, HeldClock()) as installation:
        yield installation


@pytest.fixture
def token_endpoint(here: Installation, monkeypatch: pytest.MonkeyPatch) -> Endpoint:
    """The provider's, in the hands of a test."""
    endpoint = Endpoint(here.sandbox.issue)
    monkeypatch.setattr(here.sandbox, "issue", endpoint)
    return endpoint


@asynccontextmanager
async def unchanged() -> AsyncIterator[None]:
    """No app differs afterwards."""
    before = await _apps()
    yield
    assert await _apps() == before


async def _apps() -> list[dict[str, Any]]:
    return [dict(row) for row in await models.OAuthApp.all().order_by("id").values()]


async def the_app() -> models.OAuthApp:
    return await models.OAuthApp.get(connector_key="sandbox", origin=OAuthAppOrigin.OPERATOR)


async def told(action: str) -> list[tuple[AuditOutcome, str | None, str | None]]:
    found = await models.AuditEntry.filter(action=action).order_by("id")
    return [(entry.outcome, entry.subject_name, entry.detail) for entry in found]


async def shared_folder(here: Installation, *granted: tuple[Actor, Permission]) -> UUID:
    folder = await here.patchbay.folders.create(here.ada, name="Sales", parent_id=None)
    for actor, permission in granted:
        await here.patchbay.folders.set_access(here.ada, folder.id, actor.user_id, permission)
    return folder.id


async def own_app(here: Installation, folder_id: UUID) -> models.OAuthApp:
    """An app that a person brought, known to the sandbox."""
    return await here.patchbay.oauth_apps.add(
        connector_key="sandbox",
        name="Own Sandbox app",
        client_id=here.sandbox.client_id,
        client_secret=here.sandbox.client_secret,
        scopes=[],
        origin=OAuthAppOrigin.CONNECTION,
        folder_id=folder_id,
    )


def newer_secret(here: Installation) -> Secret:
    """One that the provider made just now, beside the one that the app has."""
    here.clock.move(SECOND)
    here.sandbox.throw_for_client(ClientSwitch.NEW_SECRET)
    return here.sandbox.client_secret


# Registering


async def test_registering_is_an_administrators_and_is_written_down(here: Installation) -> None:
    ben = await here.add_person("Ben")
    register = here.patchbay.oauth_apps.register

    async with unchanged():
        with pytest.raises(PermissionDenied):
            await register(ben, connector_key="github", client_id="id", client_secret=Secret("hidden"))
    app = await register(here.ada, connector_key="github", client_id="id", client_secret=Secret("hidden"))

    assert await told("oauth_app.register") == [
        (AuditOutcome.REFUSED, None, "Only an administrator may do this."),
        (AuditOutcome.DONE, "GitHub app", None),
    ]
    assert (app.origin, app.folder_id, app.secret_set_at) == (OAuthAppOrigin.OPERATOR, None, here.clock.now)


async def test_a_secret_that_has_ended_is_not_registered(here: Installation) -> None:
    async with unchanged():
        with pytest.raises(InvalidInput) as refusal:
            await here.patchbay.oauth_apps.register(
                here.ada, connector_key="github", client_id="id", client_secret=Secret("x"), secret_expires_at=here.clock.now
            )

    assert refusal.value.fields == {"secretExpiresAt": "must be in the future"}


async def test_the_apps_of_the_installation_are_listed_for_administrators_alone(here: Installation) -> None:
    ben = await here.add_person("Ben")
    apps = here.patchbay.oauth_apps
    await apps.add(connector_key="github", name="Policy", client_id="id", client_secret=None, scopes=[], origin=OAuthAppOrigin.POLICY)
    own = await own_app(here, await shared_folder(here, (ben, Permission.VIEW)))

    all_of_them, _, total = await apps.page(here.ada, connector_key=None, first=10, after=None)
    bens, _, _ = await apps.page(ben, connector_key=None, first=10, after=None)

    assert {app.origin for app in all_of_them} == set(OAuthAppOrigin)
    assert total == 3
    assert [app.id for app in bens] == [own.id]


# A new secret


async def test_a_new_secret_is_proven_and_the_one_before_is_kept_sealed(here: Installation) -> None:
    old, new = here.sandbox.client_secret, newer_secret(here)

    rotated = await here.patchbay.app_upkeep.rotate(here.ada, NewSecret((await the_app()).id, new))

    app, vault = await the_app(), here.patchbay.vault
    assert rotated.accepted is Verdict.YES
    assert app.client_secret is not None and app.previous_secret is not None
    assert vault.open(app.client_secret, secret_place(app.id, None)).decode() == new.reveal()
    assert vault.open(app.previous_secret, previous_secret_place(app.id, None)).decode() == old.reveal()
    with pytest.raises(Unreadable):
        vault.open(app.previous_secret, secret_place(app.id, None))
    assert app.secret_set_at == here.clock.now
    assert await told("oauth_app.rotate_secret") == [(AuditOutcome.DONE, "Sandbox app", "proven at the provider")]


async def test_a_wrong_new_secret_is_refused_and_nothing_changes(here: Installation) -> None:
    async with unchanged():
        with pytest.raises(InvalidInput) as refusal:
            await here.patchbay.app_upkeep.rotate(here.ada, NewSecret((await the_app()).id, Secret("wrong one")))

    assert refusal.value.fields == {
        "clientSecret": "was refused: Sandbox does not take this client id with this secret (invalid_client); "
        "it does not say which of them is wrong."
    }
    assert [outcome for outcome, *_ in await told("oauth_app.rotate_secret")] == [AuditOutcome.FAILED]
    assert "wrong one" not in repr(await models.AuditEntry.all().values())


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        pytest.param(Answer(503), "Sandbox answered with an error of its own.", id="out of order"),
        pytest.param(refuses("invalid_grant"), "Sandbox says the same with a secret that is wrong.", id="says the same to everybody"),
        pytest.param(refuses("invalid_request"), "Sandbox refused the request, for a reason of its own.", id="looks at something else"),
        pytest.param(
            Answer(200, {"access_token": "x", "token_type": "Bearer"}),
            "Sandbox gave a token for a code that cannot exist, so its answers tell nothing.",
            id="gives a token to everybody",
        ),
    ],
)
async def test_a_secret_that_cannot_be_proven_is_kept_and_said_to_be_unproven(
    here: Installation, token_endpoint: Endpoint, answer: Answer, why: str
) -> None:
    token_endpoint.says = answer

    rotated = await here.patchbay.app_upkeep.rotate(here.ada, NewSecret((await the_app()).id, Secret("new")))

    assert rotated.accepted is Verdict.UNKNOWN
    assert here.patchbay.oauth_apps.secret_of(await the_app()) == Secret("new")
    assert await told("oauth_app.rotate_secret") == [(AuditOutcome.DONE, "Sandbox app", f"not proven: {why}")]


async def test_the_same_secret_again_does_not_push_the_one_before_out(here: Installation) -> None:
    old, new = here.sandbox.client_secret, newer_secret(here)
    rotate, app_id = here.patchbay.app_upkeep.rotate, (await the_app()).id
    await rotate(here.ada, NewSecret(app_id, new))
    set_at = (await the_app()).secret_set_at
    here.clock.move(SECOND)

    await rotate(here.ada, NewSecret(app_id, new))

    app = await the_app()
    client = here.patchbay.oauth_apps.client_of(app, here.patchbay.catalog.get("sandbox"))
    assert (client.client_secret, client.previous_secret, client.secret_set_at) == (new, old, set_at)


async def test_the_secret_before_is_retired_with_the_rotation_or_later(here: Installation) -> None:
    upkeep, app_id = here.patchbay.app_upkeep, (await the_app()).id

    await upkeep.rotate(here.ada, NewSecret(app_id, newer_secret(here), retires_previous=True))
    at_once = (await the_app()).previous_secret
    await upkeep.rotate(here.ada, NewSecret(app_id, newer_secret(here)))
    kept = (await the_app()).previous_secret
    await upkeep.retire_previous_secret(here.ada, app_id)

    assert (at_once, (await the_app()).previous_secret) == (None, None)
    assert kept is not None
    assert await told("oauth_app.retire_secret") == [(AuditOutcome.DONE, "Sandbox app", None)]


async def test_a_secret_that_cannot_be_opened_is_replaced_all_the_same(here: Installation) -> None:
    app = await the_app()
    await models.OAuthApp.filter(id=app.id).update(client_secret=NEVER_SEALED)

    await here.patchbay.app_upkeep.rotate(here.ada, NewSecret(app.id, here.sandbox.client_secret))

    client = here.patchbay.oauth_apps.client_of(await the_app(), here.patchbay.catalog.get("sandbox"))
    assert (client.client_secret, client.previous_secret) == (here.sandbox.client_secret, None)


@pytest.mark.parametrize("secret", ["", "two\nlines", "x" * 8193])
async def test_what_is_no_secret_is_not_sent_anywhere(here: Installation, token_endpoint: Endpoint, secret: str) -> None:
    async with unchanged():
        with pytest.raises(InvalidInput) as refusal:
            await here.patchbay.app_upkeep.rotate(here.ada, NewSecret((await the_app()).id, Secret(secret), here.clock.now))

    assert list(refusal.value.fields) == ["clientSecret", "secretExpiresAt"]
    assert token_endpoint.asked == 0


async def test_of_two_rotations_at_once_each_is_whole(database_url: str, tmp_path: Path) -> None:
    async with installed(database_url, tmp_path, HeldClock()) as here:
        old, first, second = here.sandbox.client_secret, newer_secret(here), newer_secret(here)
        app_id, rotate = (await the_app()).id, here.patchbay.app_upkeep.rotate

        await asyncio.gather(rotate(here.ada, NewSecret(app_id, first)), rotate(here.ada, NewSecret(app_id, second)))

        client = here.patchbay.oauth_apps.client_of(await the_app(), here.patchbay.catalog.get("sandbox"))
        assert {client.client_secret, client.previous_secret} == {first, second}
        assert old not in (client.client_secret, client.previous_secret)


async def test_a_client_id_that_changes_while_its_secret_is_proven_does_not_get_it(here: Installation, token_endpoint: Endpoint) -> None:
    app, new = await the_app(), newer_secret(here)

    with token_endpoint.holding() as answer:
        rotation = asyncio.ensure_future(here.patchbay.app_upkeep.rotate(here.ada, NewSecret(app.id, new)))
        await answer.reached()
        await here.patchbay.app_upkeep.update(here.ada, AppChanges(app.id, client_id="another"))
    with pytest.raises(Conflict):
        await rotation

    assert (await the_app()).client_secret is None


# Who may


async def test_an_app_that_a_person_brought_is_changed_by_who_may_edit_in_its_folder(here: Installation) -> None:
    ben, cleo = await here.add_person("Ben"), await here.add_person("Cleo")
    folder = await shared_folder(here, (ben, Permission.EDIT), (cleo, Permission.USE))
    app = await own_app(here, folder)
    upkeep = here.patchbay.app_upkeep

    async with unchanged():
        with pytest.raises(PermissionDenied) as denial:
            await upkeep.rotate(cleo, NewSecret(app.id, here.sandbox.client_secret))
    changed = await upkeep.update(ben, AppChanges(app.id, name="Renamed"))

    assert (denial.value.permission, denial.value.folder_id) == (Permission.EDIT, folder)
    assert changed.name == "Renamed"
    assert [(entry.outcome, entry.folder_id) for entry in await models.AuditEntry.filter(action="oauth_app.update")] == [
        (AuditOutcome.DONE, folder)
    ]


@pytest.mark.parametrize("act", ["rotate", "retire", "update", "check", "delete"])
async def test_an_app_that_one_may_not_see_answers_as_one_that_never_was(here: Installation, token_endpoint: Endpoint, act: str) -> None:
    ben = await here.add_person("Ben")
    hidden = await own_app(here, here.workspace)
    upkeep, secret = here.patchbay.app_upkeep, here.sandbox.client_secret
    refusals = []

    async def attempt(id: UUID) -> object:
        match act:
            case "rotate":
                return await upkeep.rotate(ben, NewSecret(id, secret))
            case "retire":
                return await upkeep.retire_previous_secret(ben, id)
            case "update":
                return await upkeep.update(ben, AppChanges(id, name="x"))
            case "check":
                return await upkeep.check(ben, id)
            case _:
                return await upkeep.delete(ben, id)

    async with unchanged():
        for id in (hidden.id, (await the_app()).id, uuid4()):
            with pytest.raises(NotFound) as refusal:
                await attempt(id)
            refusals.append((refusal.value.message, refusal.value.remedy))

    assert len(set(refusals)) == 1
    assert token_endpoint.asked == 0
    entries = await models.AuditEntry.filter(actor_id=ben.user_id)
    assert [entry.outcome for entry in entries] == [AuditOutcome.REFUSED] * 3
    assert {(entry.subject_name, entry.folder_id) for entry in entries} == {(None, None)}


async def test_whoever_meets_the_operators_app_is_told_that_it_is_an_administrators(here: Installation) -> None:
    ben = await here.add_person("Ben")
    folder = await shared_folder(here, (ben, Permission.every()))
    await here.connect_by_consent(folder_id=folder)

    async with unchanged():
        with pytest.raises(PermissionDenied) as denial:
            await here.patchbay.app_upkeep.update(ben, AppChanges((await the_app()).id, name="Mine"))

    assert denial.value.permission is None


async def test_an_app_in_a_workspace_is_closed_to_administrators_too(here: Installation) -> None:
    ben = await here.add_person("Ben")
    app = await own_app(here, (await models.Folder.get(owner_id=ben.user_id)).id)

    async with unchanged():
        with pytest.raises(NotFound):
            await here.patchbay.app_upkeep.delete(here.ada, app.id)


# Changes


async def test_another_name_leaves_the_secret_alone(here: Installation) -> None:
    before = await the_app()

    await here.patchbay.app_upkeep.update(here.ada, AppChanges(before.id, name=" New name ", scopes=("read",), client_id=before.client_id))

    after = await the_app()
    assert (after.name, after.scopes) == ("New name", ["read"])
    assert (after.client_secret, after.secret_set_at, after.incident) == (before.client_secret, before.secret_set_at, None)


async def test_another_client_id_clears_both_secrets_until_it_is_given_its_own(here: Installation) -> None:
    upkeep, app_id = here.patchbay.app_upkeep, (await the_app()).id
    await upkeep.rotate(here.ada, NewSecret(app_id, newer_secret(here), here.clock.now + timedelta(days=90)))

    changed = await upkeep.update(here.ada, AppChanges(app_id, client_id="another"))
    back = await upkeep.update(here.ada, AppChanges(app_id, client_id=here.sandbox.client_id))
    await upkeep.rotate(here.ada, NewSecret(app_id, here.sandbox.client_secret))

    assert (changed.client_secret, changed.previous_secret, changed.secret_expires_at) == (None, None, None)
    assert changed.incident is not None
    # It had none any more, so nothing says that it needs one.
    assert back.incident is None
    assert (await the_app()).incident is None
    assert [detail for _, _, detail in await told("oauth_app.update")] == ["another client id; its secrets were cleared"] * 2


async def test_mistakes_of_a_change_are_named_all_at_once(here: Installation) -> None:
    async with unchanged():
        with pytest.raises(InvalidInput) as refusal:
            await here.patchbay.app_upkeep.update(
                here.ada,
                AppChanges(
                    (await the_app()).id,
                    name=" ",
                    client_id="\u202e",
                    scopes=("a b",),
                    changes_expiry=True,
                    secret_expires_at=here.clock.now,
                ),
            )

    assert sorted(refusal.value.fields) == ["clientId", "name", "scopes", "secretExpiresAt"]


# Deleting


async def test_an_app_is_not_deleted_while_connections_sign_in_with_it(here: Installation) -> None:
    for _ in range(2):
        await here.connect_by_consent()

    async with unchanged():
        with pytest.raises(Conflict) as conflict:
            await here.patchbay.app_upkeep.delete(here.ada, (await the_app()).id)

    assert conflict.value.message == "2 connections sign in with this app."
    assert [outcome for outcome, *_ in await told("oauth_app.delete")] == [AuditOutcome.FAILED]


async def test_an_app_is_not_deleted_while_a_policy_gives_it(here: Installation) -> None:
    app = await the_app()
    await models.ConnectorPolicy.create(
        connector_key="sandbox", default_app_id=app.id, created_at=here.clock.now, updated_at=here.clock.now
    )

    async with unchanged():
        with pytest.raises(Conflict):
            await here.patchbay.app_upkeep.delete(here.ada, app.id)


async def test_with_an_app_the_consents_under_way_end(here: Installation) -> None:
    pending, app = await here.begin(), await the_app()
    departure = await here.patchbay.connecting.depart(here.ada, pending.id)

    deleted = await here.patchbay.app_upkeep.delete(here.ada, app.id)

    assert (deleted, await models.OAuthApp.all().count()) == (app.id, 0)
    ended = await models.Authorization.get(id=pending.id)
    assert (ended.status, ended.secrets, ended.state_hash, ended.oauth_app_id) == (AuthorizationStatus.FAILED, None, None, None)
    assert ended.reason is not None and ended.reason.message == "The OAuth app that this consent was for was deleted."
    with pytest.raises(PatchbayError):
        cookies = {departure.cookie_name: departure.cookie_value}
        await here.patchbay.connecting.complete(here.ada, "sandbox", await here.decide(departure.url), cookies)
    assert await models.Connection.all().count() == 0


async def test_an_app_that_is_begun_with_and_deleted_at_once_is_either(database_url: str, tmp_path: Path) -> None:
    async with installed(database_url, tmp_path, HeldClock()) as here:
        app_id = (await the_app()).id

        results = await asyncio.gather(
            here.begin(), here.patchbay.app_upkeep.delete(here.ada, app_id), here.begin(), return_exceptions=True
        )

        assert all(isinstance(result, PatchbayError) for result in results if isinstance(result, BaseException)), results
        pending = models.Authorization.filter(status=AuthorizationStatus.PENDING)
        assert await models.OAuthApp.exists(id=app_id) or await pending.count() == 0


# Checking


async def test_a_check_tells_what_is_right_and_stores_nothing(here: Installation) -> None:
    async with unchanged():
        findings = await here.patchbay.app_upkeep.check(here.ada, (await the_app()).id)

    assert {finding.what: finding.verdict for finding in findings} == {
        AppQuestion.CLIENT_KNOWN: Verdict.YES,
        AppQuestion.SECRET_ACCEPTED: Verdict.YES,
        AppQuestion.REDIRECT_URI_REGISTERED: Verdict.UNKNOWN,
        AppQuestion.PKCE_ACCEPTED: Verdict.YES,
        AppQuestion.MANDATORY_SCOPES_REGISTERED: Verdict.UNKNOWN,
    }
    assert findings[-1].detail.startswith("Mandatory: read")
    assert [outcome for outcome, *_ in await told("oauth_app.check")] == [AuditOutcome.DONE]


async def test_a_check_of_a_kept_app_may_try_another_secret(here: Installation) -> None:
    async with unchanged():
        findings = await here.patchbay.app_upkeep.check(here.ada, (await the_app()).id, client_secret=Secret("wrong"))

    assert findings[1].verdict is Verdict.NO
    assert "invalid_client" in findings[1].detail


@pytest.mark.parametrize(
    ("client_id", "right_secret", "client", "secret"),
    [
        ("patchbay-sandbox", True, Verdict.YES, Verdict.YES),
        ("patchbay-sandbox", False, Verdict.UNKNOWN, Verdict.NO),
        ("somebody else", True, Verdict.UNKNOWN, Verdict.NO),
    ],
)
async def test_an_app_is_checked_before_it_is_kept(
    here: Installation, client_id: str, right_secret: bool, client: Verdict, secret: Verdict
) -> None:
    given = here.sandbox.client_secret if right_secret else Secret("wrong")

    findings = await here.patchbay.app_upkeep.check_new(
        here.ada, connector_key="sandbox", client_id=client_id, client_secret=given, site={}
    )

    assert [finding.verdict for finding in findings[:2]] == [client, secret]


async def test_an_app_without_a_secret_that_the_provider_wants_one_of_is_not_called_unknown(here: Installation) -> None:
    check = here.patchbay.app_upkeep.check_new

    findings = await check(here.ada, connector_key="sandbox", client_id=here.sandbox.client_id, client_secret=None, site={})

    assert [(finding.verdict, finding.detail) for finding in findings[:2]] == [
        (Verdict.UNKNOWN, "Sandbox does not take this client id without a secret (invalid_client)."),
        (Verdict.UNKNOWN, "No secret was given: it is taken for a public client."),
    ]


async def test_a_provider_that_refuses_pkce_is_found_out(here: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    real = here.sandbox.issue

    def issue(incoming: Incoming) -> Answer:
        return refuses("invalid_request") if "code_verifier" in dict(incoming.parameters) else real(incoming)

    monkeypatch.setattr(here.sandbox, "issue", issue)

    findings = await here.patchbay.app_upkeep.check(here.ada, (await the_app()).id)

    assert [finding.verdict for finding in findings if finding.what is AppQuestion.SECRET_ACCEPTED] == [Verdict.YES]
    assert [(finding.verdict, finding.detail) for finding in findings if finding.what is AppQuestion.PKCE_ACCEPTED] == [
        (Verdict.NO, "Sandbox refuses a token request that has a code verifier.")
    ]


async def test_a_check_of_an_app_that_is_not_kept_is_an_administrators(here: Installation, token_endpoint: Endpoint) -> None:
    ben = await here.add_person("Ben")

    with pytest.raises(PermissionDenied):
        await here.patchbay.app_upkeep.check_new(ben, connector_key="sandbox", client_id="x", client_secret=None, site={})

    assert token_endpoint.asked == 0


async def test_a_check_asks_for_the_fields_that_the_address_depends_on(here: Installation) -> None:
    with pytest.raises(InvalidInput) as refusal:
        await here.patchbay.app_upkeep.check_new(
            here.ada, connector_key="zendesk", client_id="x", client_secret=None, site={"nonsense": "y"}
        )

    assert refusal.value.fields == {"fields.nonsense": "is not a field of this connector", "fields.subdomain": "is required"}


async def test_a_connector_without_consent_has_no_app_to_check(here: Installation) -> None:
    with pytest.raises(AuthenticationTypeUnavailable):
        await here.patchbay.app_upkeep.check_new(here.ada, connector_key="openai", client_id="x", client_secret=None, site={})


async def test_a_redirect_uri_that_is_not_registered_is_found(here: Installation, token_endpoint: Endpoint) -> None:
    def mismatch(answer: Answer) -> Answer:
        assert isinstance(answer.body, dict)
        return refuses("redirect_uri_mismatch") if answer.body["error"] == "invalid_grant" else answer

    token_endpoint.edits = mismatch

    findings = await here.patchbay.app_upkeep.check(here.ada, (await the_app()).id)

    assert [finding.verdict for finding in findings[:3]] == [Verdict.YES, Verdict.YES, Verdict.NO]
    assert findings[2].detail.endswith("/provisioning_/callback/sandbox")


# Warnings


@pytest.fixture
async def expiring(here: Installation) -> datetime:
    """When the secret of the operator's app ends: in forty days."""
    ends_at = here.clock.now + timedelta(days=40)
    app = await the_app()
    await here.patchbay.app_upkeep.update(here.ada, AppChanges(app.id, changes_expiry=True, secret_expires_at=ends_at))
    return ends_at


async def test_the_end_of_a_secret_is_told_30_7_and_1_days_before_once_each(
    here: Installation, expiring: datetime, caplog: pytest.LogCaptureFixture
) -> None:
    days_told: list[int] = []
    for day in range(41):
        await here.tick()
        # After a restart nothing but the database remembers what was told.
        await AppWarnings(Audit(here.clock), here.clock).tell()
        if len(await told("oauth_app.secret_expires")) > len(days_told):
            days_told.append(40 - day)
        here.clock.move(timedelta(days=1))

    assert days_told == [30, 7, 1]
    assert await told("oauth_app.secret_expires") == [
        (AuditOutcome.DONE, "Sandbox app", "Its client secret ends on 2026-02-14, in 30 days."),
        (AuditOutcome.DONE, "Sandbox app", "Its client secret ends on 2026-02-14, in 7 days."),
        (AuditOutcome.DONE, "Sandbox app", "Its client secret ends on 2026-02-14, in a day."),
    ]
    warned = [record for record in caplog.records if record.message == "client secret ends soon"]
    assert [(record.levelno, record.__dict__["days"]) for record in warned] == [
        (logging.WARNING, 30),
        (logging.WARNING, 7),
        (logging.WARNING, 1),
    ]


async def test_a_secret_that_is_found_late_is_told_of_once(here: Installation, expiring: datetime) -> None:
    here.clock.move(timedelta(days=35))

    await here.tick()
    await here.tick(after=timedelta(hours=1))

    assert [detail for _, _, detail in await told("oauth_app.secret_expires")] == ["Its client secret ends on 2026-02-14, in 5 days."]


async def test_a_new_secret_is_warned_of_anew(here: Installation, expiring: datetime) -> None:
    here.clock.move(timedelta(days=35))
    await here.tick()
    ends_at = here.clock.now + timedelta(days=6)

    await here.patchbay.app_upkeep.rotate(here.ada, NewSecret((await the_app()).id, newer_secret(here), ends_at))
    await here.tick(after=timedelta(minutes=1))

    assert len(await told("oauth_app.secret_expires")) == 2


async def test_an_app_says_that_its_secret_ends_or_has_ended(here: Installation, expiring: datetime) -> None:
    app = await the_app()

    def kinds(before: timedelta) -> list[AppWarningKind]:
        return [warning.kind for warning in warnings_of(app, expiring - before)]

    assert kinds(timedelta(days=30, seconds=1)) == []
    assert kinds(timedelta(days=30)) == [AppWarningKind.SECRET_EXPIRES]
    assert kinds(timedelta(0)) == [AppWarningKind.SECRET_EXPIRED]


async def test_an_own_app_that_a_person_brings_is_rotated_by_that_person(here: Installation) -> None:
    ben = await here.add_person("Ben")
    workspace = (await models.Folder.get(owner_id=ben.user_id)).id
    request = here.consent_request(
        folder_id=workspace,
        authentication_type=AuthenticationType.OAUTH2_BRING_YOUR_OWN_APP,
        own_app=OwnApp(here.sandbox.client_id, here.sandbox.client_secret),
    )
    authorization = await here.patchbay.connecting.connect(ben, request)
    assert isinstance(authorization, models.Authorization)
    departure = await here.patchbay.connecting.depart(ben, authorization.id)
    cookies = {departure.cookie_name: departure.cookie_value}
    done = await here.patchbay.connecting.complete(ben, "sandbox", await here.decide(departure.url), cookies)
    connection = await models.Connection.get(id=done.connection_id)
    assert connection.oauth_app_id is not None

    rotated = await here.patchbay.app_upkeep.rotate(ben, NewSecret(connection.oauth_app_id, newer_secret(here)))
    here.sandbox.throw_for_client(ClientSwitch.RETIRE_SECRETS)
    await here.tick(after=timedelta(seconds=54))

    assert rotated.accepted is Verdict.YES
    assert (await models.Connection.get(id=connection.id)).last_refreshed_at == here.clock.now

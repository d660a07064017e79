"""Policies as administrators keep them, and what they do to connections that are there; which connectors are installed."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest

import models
from api.access import Actor, Limits
from api.errors import AuthenticationTypeUnavailable, InvalidInput, InvalidSettings, NotFound, PermissionDenied
from api.organization.policy_wishes import PolicyApp, PolicyWish
from api.organization.suspensions import Settled
from api.secret import Secret
from models import AuditOutcome, AuthenticationType, ConnectionStatus, OAuthAppOrigin, PolicyEnforcement, StatusReasonCode, fold
from tests.clock import HeldClock
from tests.connections.watching import found, state_of, told
from tests.installation import Installation, installed

pytestmark = pytest.mark.anyio

TOKEN = AuthenticationType.PERSONAL_ACCESS_TOKEN
CONSENT = AuthenticationType.OAUTH2_AUTHORIZATION_CODE
BYO = AuthenticationType.OAUTH2_BRING_YOUR_OWN_APP
NO_TOKENS = PolicyWish("sandbox", allowed_types=(CONSENT,), enforcement=PolicyEnforcement.SUSPEND)


@pytest.fixture
async def here(database_url: str, tmp_path: Path) -> AsyncIterator[Installation]:
    async with installed(database_url, tmp_path, HeldClock()) as installation:
        yield installation


async def group_of(here: Installation, name: str, *members: Actor) -> UUID:
    group = await models.Group.create(name=name, name_key=fold(name), created_at=here.clock.now)
    for member in members:
        await models.GroupMember.create(group_id=group.id, user_id=member.user_id)
    return group.id


async def connected(here: Installation, owner: Actor, name: str) -> models.Connection:
    """A connection with a token, in its owner's workspace."""
    workspace = await models.Folder.get(owner_id=owner.user_id)
    connection = await here.patchbay.connecting.connect(owner, here.token_request(folder_id=workspace.id, name=name))
    assert isinstance(connection, models.Connection)
    return connection


async def audited(action: str) -> list[tuple[AuditOutcome, str | None, str | None]]:
    entries = await models.AuditEntry.filter(action=action).order_by("id")
    return [(entry.outcome, entry.subject_name, entry.detail) for entry in entries]


# Keeping policies


async def test_a_policy_is_set_and_replaced_and_taken_away(here: Installation) -> None:
    policies = here.patchbay.policies

    made = await policies.set(here.ada, PolicyWish("github", allowed=False))
    here.clock.move(timedelta(hours=1))
    replaced = await policies.set(here.ada, PolicyWish("github", allowed_types=(TOKEN,), enforcement=PolicyEnforcement.WARN))
    gone = await policies.delete(here.ada, "github")

    assert made.id == replaced.id == gone.id
    assert (replaced.allowed, replaced.allowed_types, replaced.updated_at - replaced.created_at) == (True, [TOKEN], timedelta(hours=1))
    assert await models.ConnectorPolicy.all().count() == 0
    assert await audited("policy.set") == [
        (AuditOutcome.DONE, "GitHub for everybody", "BLOCK_NEW: nothing allowed; 0 suspended, 0 resumed"),
        (AuditOutcome.DONE, "GitHub for everybody", "WARN: PERSONAL_ACCESS_TOKEN allowed; 0 suspended, 0 resumed"),
    ]
    assert await audited("policy.delete") == [(AuditOutcome.DONE, "GitHub for everybody", "0 suspended, 0 resumed")]


async def test_everybody_a_group_and_a_user_have_a_policy_each(here: Installation) -> None:
    ben = await here.add_person("Ben")
    group_id = await group_of(here, "Sales", ben)
    wishes = [PolicyWish("github"), PolicyWish("github", group_id=group_id), PolicyWish("github", user_id=ben.user_id), PolicyWish("asana")]
    rows = {(await here.patchbay.policies.set(here.ada, wish)).id for wish in wishes}

    first, more, total = await here.patchbay.policies.page(here.ada, first=3, after=None)
    rest, no_more, _ = await here.patchbay.policies.page(here.ada, first=3, after=(first[-1].connector_key, first[-1].id))

    assert [row.connector_key for row in first + rest] == ["asana", "github", "github", "github"]
    assert {row.id for row in first + rest} == rows
    assert (more, no_more, total) == (True, False, 4)


async def test_only_administrators_keep_policies_and_see_them(here: Installation) -> None:
    await here.patchbay.policies.set(here.ada, PolicyWish("github", allowed=False))
    ben, limited = await here.add_person("Ben"), replace(here.ada, limits=Limits())

    for actor in (ben, limited):
        with pytest.raises(PermissionDenied):
            await here.patchbay.policies.set(actor, PolicyWish("github"))
        with pytest.raises(PermissionDenied):
            await here.patchbay.policies.delete(actor, "github")
        with pytest.raises(PermissionDenied):
            await here.patchbay.policy_effects.simulate(actor, PolicyWish("github"))
        assert await here.patchbay.policies.page(actor, first=10, after=None) == ([], False, 0)
        assert await here.patchbay.policy_effects.breaches(actor, [(await models.ConnectorPolicy.get()).id]) == {}

    assert (await models.ConnectorPolicy.get()).allowed is False
    assert [outcome for outcome, *_ in await audited("policy.set")] == [AuditOutcome.DONE, AuditOutcome.REFUSED, AuditOutcome.REFUSED]


async def test_a_policy_for_what_is_not_there_is_refused(here: Installation) -> None:
    for wish in (PolicyWish("nothing"), PolicyWish("github", group_id=uuid4()), PolicyWish("github", user_id=uuid4())):
        with pytest.raises(NotFound):
            await here.patchbay.policies.set(here.ada, wish)
    for key in ("github", "nothing", "\x00", "é"):
        with pytest.raises(NotFound):
            await here.patchbay.policies.delete(here.ada, key)

    assert await models.ConnectorPolicy.all().count() == 0


async def test_every_mistake_of_a_policy_is_told_at_once(here: Installation) -> None:
    wrong = PolicyWish(
        "zendesk",
        group_id=await group_of(here, "Sales"),
        user_id=here.ada.user_id,
        is_exempt=True,
        allowed_types=(AuthenticationType.AWS_ACCESS_KEY,),
        app=PolicyApp("", Secret("")),
        default_scopes=("two words",),
        default_fields={"subdomain": "not a host!", "password": "x", "nonsense": "x"},
    )

    with pytest.raises(InvalidInput) as refusal:
        await here.patchbay.policies.set(here.ada, wrong)

    assert sorted(refusal.value.fields) == [
        "allowedAuthenticationTypes", "defaultFields.nonsense", "defaultFields.password", "defaultFields.subdomain",
        "defaultOAuthApp.clientId", "defaultOAuthApp.clientSecret", "defaultScopes", "isExempt", "userId",
    ]  # fmt: skip
    assert await models.ConnectorPolicy.all().count() == 0
    assert await models.OAuthApp.filter(origin=OAuthAppOrigin.POLICY).count() == 0


async def test_no_way_at_all_is_said_by_not_allowing_it(here: Installation) -> None:
    with pytest.raises(InvalidInput) as refusal:
        await here.patchbay.policies.set(here.ada, PolicyWish("github", allowed_types=()))

    assert list(refusal.value.fields) == ["allowedAuthenticationTypes"]


# The app of a policy


async def test_the_app_of_a_policy_is_sealed_and_stays_until_it_is_taken_away(here: Installation) -> None:
    policies, wish = here.patchbay.policies, PolicyWish("github", app=PolicyApp("Iv1.1", Secret("hush")))

    made = await policies.set(here.ada, wish)
    app = await models.OAuthApp.get(id=made.default_app_id)
    kept = [
        await policies.set(here.ada, PolicyWish("github", enforcement=PolicyEnforcement.WARN)),
        await policies.set(here.ada, PolicyWish("github", app=PolicyApp("Iv1.1"))),
        await policies.set(here.ada, wish),
    ]

    assert (app.origin, app.folder_id, app.client_id) == (OAuthAppOrigin.POLICY, None, "Iv1.1")
    assert here.patchbay.oauth_apps.secret_of(app) == Secret("hush")
    assert b"hush" not in bytes(app.client_secret or b"")
    assert {row.default_app_id for row in kept} == {app.id}
    assert (await policies.set(here.ada, PolicyWish("github", takes_app_away=True))).default_app_id is None
    assert not await models.OAuthApp.exists(id=app.id)


async def test_another_secret_for_the_same_app_is_for_rotating(here: Installation) -> None:
    made = await here.patchbay.policies.set(here.ada, PolicyWish("github", app=PolicyApp("Iv1.1", Secret("hush"))))

    with pytest.raises(InvalidInput) as refusal:
        await here.patchbay.policies.set(here.ada, PolicyWish("github", allowed=False, app=PolicyApp("Iv1.1", Secret("other"))))

    assert list(refusal.value.fields) == ["defaultOAuthApp.clientSecret"]
    assert (await models.ConnectorPolicy.get()).allowed
    assert here.patchbay.oauth_apps.secret_of(await models.OAuthApp.get(id=made.default_app_id)) == Secret("hush")


async def test_another_app_takes_the_place_of_one_that_nobody_signs_in_with(here: Installation) -> None:
    first = await here.patchbay.policies.set(here.ada, PolicyWish("github", app=PolicyApp("one", Secret("hush"))))
    second = await here.patchbay.policies.set(here.ada, PolicyWish("github", app=PolicyApp("two")))

    assert not await models.OAuthApp.exists(id=first.default_app_id)
    assert await models.OAuthApp.exists(id=second.default_app_id, client_id="two", client_secret=None)
    await here.patchbay.policies.delete(here.ada, "github")
    assert await models.OAuthApp.filter(origin=OAuthAppOrigin.POLICY).count() == 0


# Connections that are there


async def test_a_suspended_connection_goes_on_as_it_was(here: Installation) -> None:
    connection = await connected(here, here.ada, "Main")
    before = await found(connection)

    await here.patchbay.policies.set(here.ada, NO_TOKENS)
    suspended = await found(connection)
    await here.patchbay.policies.delete(here.ada, "sandbox")

    assert (suspended.status, suspended.due_at, suspended.is_suspended) == (ConnectionStatus.DISABLED, None, True)
    assert suspended.reason is not None
    assert suspended.reason.code is StatusReasonCode.DISALLOWED_BY_POLICY
    assert suspended.reason.message == (
        "The policy for everybody does not allow PERSONAL_ACCESS_TOKEN for Sandbox; it allows OAUTH2_AUTHORIZATION_CODE."
    )
    after = await found(connection)
    assert (after.status, after.reason, after.due_at, after.is_suspended) == (before.status, before.reason, before.due_at, False)
    assert [status for _, status in await told(connection)] == [ConnectionStatus.DISABLED, ConnectionStatus.CONNECTED]
    assert [event.actor_id for event in await models.ConnectionEvent.all()] == [here.ada.user_id] * 3
    assert [detail for _, _, detail in await audited("policy.delete")] == ["0 suspended, 1 resumed"]


async def test_what_somebody_must_mend_is_still_to_be_mended_afterwards(here: Installation) -> None:
    connection = await connected(here, here.ada, "Main")
    reason = {"code": "CREDENTIAL_REJECTED", "message": "Rejected.", "remedy": "Reconnect.", "fixable_by": "CONNECTION_OWNER"}
    await models.Connection.all().update(status=ConnectionStatus.ACTION_REQUIRED, reason_json=reason, due_at=None)

    await here.patchbay.policies.set(here.ada, NO_TOKENS)
    await here.patchbay.policies.set(here.ada, replace(NO_TOKENS, allowed_types=None))

    assert await state_of(connection) == (ConnectionStatus.ACTION_REQUIRED, StatusReasonCode.CREDENTIAL_REJECTED)
    assert (await found(connection)).due_at is None


async def test_what_a_person_switched_off_stays_off(here: Installation) -> None:
    before, meanwhile = await connected(here, here.ada, "Before"), await connected(here, here.ada, "Meanwhile")
    await here.patchbay.connections.disable(here.ada, before.id)

    await here.patchbay.policies.set(here.ada, NO_TOKENS)
    await here.patchbay.connections.disable(here.ada, meanwhile.id)
    await here.patchbay.policies.delete(here.ada, "sandbox")

    for connection in (before, meanwhile):
        assert await state_of(connection) == (ConnectionStatus.DISABLED, StatusReasonCode.DISABLED_BY_USER)


@pytest.mark.parametrize("enforcement", [PolicyEnforcement.WARN, PolicyEnforcement.BLOCK_NEW])
async def test_a_milder_policy_leaves_connections_alone_and_lists_them(here: Installation, enforcement: PolicyEnforcement) -> None:
    connection = await connected(here, here.ada, "Main")

    policy = await here.patchbay.policies.set(here.ada, replace(NO_TOKENS, enforcement=enforcement))

    assert await state_of(connection) == (ConnectionStatus.CONNECTED, None)
    assert await told(connection) == []
    breach = (await here.patchbay.policy_effects.breaches(here.ada, [policy.id]))[policy.id]
    assert [each.id for each in breach.seen] == [connection.id]


async def test_the_narrowest_policy_decides_for_the_owner(here: Installation) -> None:
    ben, cleo, dan = [await here.add_person(name) for name in ("Ben", "Cleo", "Dan")]
    connections = {actor.name: await connected(here, actor, actor.name) for actor in (here.ada, ben, cleo, dan)}
    sales = await group_of(here, "Sales", ben, cleo)

    await here.patchbay.policies.set(here.ada, NO_TOKENS)
    await here.patchbay.policies.set(here.ada, PolicyWish("sandbox", group_id=sales, is_exempt=True))
    await here.patchbay.policies.set(here.ada, replace(NO_TOKENS, user_id=cleo.user_id))

    states = {name: (await found(connection)).status for name, connection in connections.items()}
    assert states == {"Ada": "DISABLED", "Ben": "CONNECTED", "Cleo": "DISABLED", "Dan": "DISABLED"}
    assert "the user “Cleo”" in str((await found(connections["Cleo"])).reason)


async def test_of_several_groups_the_one_that_allows_least_decides(here: Installation) -> None:
    ben = await here.add_person("Ben")
    connection = await connected(here, ben, "Main")
    lax, strict = await group_of(here, "Lax", ben), await group_of(here, "Strict", ben)

    await here.patchbay.policies.set(here.ada, PolicyWish("sandbox", group_id=lax, is_exempt=True))
    await here.patchbay.policies.set(here.ada, replace(NO_TOKENS, group_id=strict))

    assert await state_of(connection) == (ConnectionStatus.DISABLED, StatusReasonCode.DISALLOWED_BY_POLICY)


async def test_a_policy_of_another_connector_touches_nothing(here: Installation) -> None:
    connection = await connected(here, here.ada, "Main")

    await here.patchbay.policies.set(here.ada, PolicyWish("github", allowed=False, enforcement=PolicyEnforcement.SUSPEND))

    assert await state_of(connection) == (ConnectionStatus.CONNECTED, None)


async def test_violations_tell_what_can_be_seen_and_count_the_rest(here: Installation) -> None:
    ben = await here.add_person("Ben")
    await connected(here, ben, "Hidden")
    for name in ("cherry", "Apple", "banana"):
        await connected(here, here.ada, name)

    policy = await here.patchbay.policies.set(here.ada, replace(NO_TOKENS, enforcement=PolicyEnforcement.WARN))
    breach = (await here.patchbay.policy_effects.breaches(here.ada, [policy.id]))[policy.id]

    first, more = breach.page(first=2, after=None)
    rest, no_more = breach.page(first=2, after=(first[-1].name_key, first[-1].id))
    assert [each.name_key for each in first + rest] == ["apple", "banana", "cherry"]
    assert (more, no_more, breach.total) == (True, False, 4)


# Simulation


async def remembered() -> list[object]:
    """What a simulation must not change."""
    tables = (models.ConnectorPolicy, models.OAuthApp, models.Connection, models.ConnectionEvent, models.AuditEntry)
    return [await table.all().order_by("id").values() for table in tables]


async def test_a_simulation_says_what_then_happens_and_writes_nothing(here: Installation) -> None:
    ben, cleo = await here.add_person("Ben"), await here.add_person("Cleo")
    sales = await group_of(here, "Sales", ben)
    await connected(here, here.ada, "Ada’s")
    await connected(here, ben, "Ben’s")
    await here.patchbay.policies.set(here.ada, replace(NO_TOKENS, user_id=cleo.user_id))
    await connected(here, ben, "Ben’s other")
    before = await remembered()

    for_sales = await here.patchbay.policy_effects.simulate(here.ada, replace(NO_TOKENS, group_id=sales))
    for_all = await here.patchbay.policy_effects.simulate(here.ada, NO_TOKENS)
    warning = await here.patchbay.policy_effects.simulate(here.ada, replace(NO_TOKENS, enforcement=PolicyEnforcement.WARN))
    with_app = await here.patchbay.policy_effects.simulate(here.ada, PolicyWish("sandbox", app=PolicyApp("x", Secret("hush"))))

    assert await remembered() == before
    assert (for_sales.breach.total, for_sales.breach.seen, for_sales.owner_ids, for_sales.covered) == (2, (), (ben.user_id,), 1)
    assert for_sales.settled == Settled(suspended=2)
    assert (for_all.breach.total, len(for_all.breach.seen), len(for_all.owner_ids), for_all.covered) == (3, 1, 2, 2)
    assert (warning.breach.total, warning.settled, with_app.breach.total) == (3, Settled(), 0)
    await here.patchbay.policies.set(here.ada, NO_TOKENS)
    assert await models.Connection.filter(before_suspension__isnull=False).count() == for_all.settled.suspended
    exempting = await here.patchbay.policy_effects.simulate(here.ada, PolicyWish("sandbox", group_id=sales, is_exempt=True))
    assert (exempting.settled, exempting.covered, exempting.breach.total) == (Settled(resumed=2), 1, 0)


async def test_a_simulation_of_what_cannot_be_set_is_refused(here: Installation) -> None:
    with pytest.raises(InvalidInput):
        await here.patchbay.policy_effects.simulate(here.ada, PolicyWish("github", allowed_types=()))
    with pytest.raises(NotFound):
        await here.patchbay.policy_effects.simulate(here.ada, PolicyWish("nothing"))


# Who is in a group


async def test_who_comes_into_a_group_comes_under_its_policy_and_is_free_when_they_leave(here: Installation) -> None:
    ben = await here.add_person("Ben")
    connection, other = await connected(here, ben, "Ben’s"), await connected(here, here.ada, "Ada’s")
    sales = await here.patchbay.groups.create(here.ada, name="Sales")
    await here.patchbay.policies.set(here.ada, replace(NO_TOKENS, group_id=sales.id))
    assert await state_of(connection) == (ConnectionStatus.CONNECTED, None)

    await here.patchbay.groups.set_members(here.ada, sales.id, [ben.user_id])
    assert await state_of(connection) == (ConnectionStatus.DISABLED, StatusReasonCode.DISALLOWED_BY_POLICY)

    await here.patchbay.groups.set_members(here.ada, sales.id, [])
    assert await state_of(connection) == (ConnectionStatus.CONNECTED, None)
    assert await told(other) == []


# At once


async def test_two_who_set_the_same_policy_at_once_make_one(here: Installation) -> None:
    wishes = [replace(NO_TOKENS, enforcement=enforcement) for enforcement in PolicyEnforcement] * 2

    rows = await asyncio.gather(*(here.patchbay.policies.set(here.ada, wish) for wish in wishes))

    assert len({row.id for row in rows}) == 1
    assert await models.ConnectorPolicy.all().count() == 1


# Which connectors are installed


async def test_all_are_installed_until_somebody_says_otherwise(here: Installation) -> None:
    everything = {connector.key for connector in here.patchbay.catalog.all}
    assert await here.patchbay.installed.all() == everything

    await here.patchbay.installed.set(here.ada, "github", installed=False)
    assert await here.patchbay.installed.all() == everything - {"github"}
    assert await here.patchbay.installed.among(["github", "slack", "nothing"]) == {"slack"}
    with pytest.raises(AuthenticationTypeUnavailable) as refusal:
        await here.patchbay.installed.require(here.patchbay.catalog.get("github"))

    assert (refusal.value.message, refusal.value.remedy) == ("GitHub is not installed here.", "Ask an administrator to install it.")
    await here.patchbay.installed.set(here.ada, "github", installed=True)
    assert await here.patchbay.installed.all() == everything
    assert await audited("connector.uninstall") == [(AuditOutcome.DONE, "GitHub", None)]
    assert await audited("connector.install") == [(AuditOutcome.DONE, "GitHub", None)]


async def test_only_administrators_install(here: Installation) -> None:
    ben = await here.add_person("Ben")

    with pytest.raises(PermissionDenied):
        await here.patchbay.installed.set(ben, "github", installed=False)
    with pytest.raises(NotFound):
        await here.patchbay.installed.set(here.ada, "nothing\x00", installed=False)

    assert await models.ConnectorInstallation.all().count() == 0
    assert [outcome for outcome, *_ in await audited("connector.uninstall")] == [AuditOutcome.REFUSED, AuditOutcome.REFUSED]


async def test_several_who_say_it_for_the_first_time_at_once_agree(here: Installation) -> None:
    await asyncio.gather(*(here.patchbay.installed.set(here.ada, "github", installed=False) for _ in range(5)))

    assert await models.ConnectorInstallation.all().count() == 1


async def test_the_setting_says_what_is_installed_where_nobody_else_did(database_url: str, tmp_path: Path) -> None:
    async with installed(database_url, tmp_path, HeldClock(), PATCHBAY_INSTALLED_CONNECTORS="github, sandbox") as here:
        assert await here.patchbay.installed.all() == {"github", "sandbox"}

        await here.patchbay.installed.set(here.ada, "slack", installed=True)
        await here.patchbay.installed.set(here.ada, "github", installed=False)

        assert await here.patchbay.installed.all() == {"slack", "sandbox"}


async def test_a_setting_that_names_no_connector_is_refused_at_the_start(sqlite_url: str, tmp_path: Path) -> None:
    with pytest.RaisesGroup(InvalidSettings, flatten_subgroups=True, allow_unwrapped=True) as refusal:
        async with installed(sqlite_url, tmp_path, HeldClock(), PATCHBAY_INSTALLED_CONNECTORS="githb,sandbox"):
            pass

    assert "PATCHBAY_INSTALLED_CONNECTORS names “githb”, which is no connector here. Is github meant?" in str(
        getattr(refusal.value, "problems", None) or refusal.value.exceptions[0]
    )

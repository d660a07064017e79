"""People of the identity provider: who they become here, how they sign in, and which groups they are in."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest

import models
from api.access import Access, Actor
from api.audit import Audit
from api.catalog.catalog import Catalog
from api.errors import SignInRefused
from api.events.log import EventLog
from api.events.wakeup import Wakeup
from api.oauth.errors import ServerRefused
from api.oauth.issuer import IssuerUnusable
from api.oauth.openid import OpenIdClient, OpenIdProvider
from api.oauth.tokens import ClientCredentials
from api.organization.identity import Identity, IdentityRules, SignInArrival, SignInDeparture
from api.organization.people import People
from api.organization.suspensions import Suspensions
from api.outbound.egress import EgressGuard
from api.outbound.http import OutboundClient
from api.secret import Secret
from models import AuditOutcome, FolderKind
from models.database import Database
from tests.clock import HeldClock
from tests.oauth.issuing import AUDIENCE, CLIENT_ID, CLIENT_SECRET, FOREIGN, IdentityProvider, issuing

pytestmark = pytest.mark.anyio

SOURCE = "192.0.2.7"
ADMINISTRATORS = "Patchbay administrators"


@dataclass(frozen=True)
class Scene:
    """An identity provider, and a Patchbay that knows it."""

    provider: IdentityProvider
    identity: Identity
    people: People
    clock: HeldClock

    async def sign_in(self, **claims: Any) -> Secret:
        """The session of a person who signed in at the provider."""
        return (await self.arrive(await self.identity.depart("/"), **claims)).session

    async def arrive(self, departure: SignInDeparture, *, cookie: Secret | None = None, **claims: Any) -> SignInArrival:
        answer = self.provider.answer_to(departure.url, **claims)
        return await self.identity.arrive(answer, cookie or departure.cookie, source=SOURCE)

    async def user_of(self, session: Secret) -> models.User:
        actor = await self.people.actor_of_session(session)
        assert actor is not None
        return await models.User.get(id=actor.user_id)

    async def bearer(self, claims: dict[str, Any] | None = None) -> Actor | None:
        """Who comes with an access token of these claims."""
        return await self.identity.actor_of_bearer(Secret(self.provider.access_token(claims)), source=SOURCE)

    async def refused(self, **claims: Any) -> str:
        """Why this person is not signed in; that nothing at all changed is looked at too."""
        before = await contents()
        with pytest.raises(SignInRefused) as refusal:
            await self.sign_in(**claims)
        assert await contents() == before
        return refusal.value.message


@pytest.fixture
async def scene(database: Database) -> AsyncIterator[Scene]:
    clock = HeldClock()
    access, audit, log = Access(), Audit(clock), EventLog(clock, Wakeup())
    async with issuing(clock) as provider, OutboundClient(EgressGuard(frozenset({urlsplit(provider.issuer).netloc}))) as http:
        client = ClientCredentials(CLIENT_ID, Secret(CLIENT_SECRET))
        site = "https://patchbay.example"
        registered = OpenIdProvider(provider.issuer, client, AUDIENCE, f"{site}/sign-in/callback", f"{site}/sign-in")
        identity = Identity(
            openid=OpenIdClient(registered, http, clock),
            rules=IdentityRules(administrator_group=ADMINISTRATORS),
            access=access,
            suspensions=Suspensions(catalog=Catalog([]), log=log, clock=clock),
            log=log,
            audit=audit,
            clock=clock,
        )
        yield Scene(provider, identity, People(access=access, log=log, audit=audit, clock=clock), clock)


async def contents() -> dict[str, list[dict[str, Any]]]:
    """Whoever is there, signed in, and in groups."""
    kept = (models.User, models.Folder, models.Group, models.GroupMember, models.Session)
    return {model.__name__: await model.all().order_by(model._meta.db_pk_column).values() for model in kept}


async def groups_of(user: models.User) -> list[str]:
    members = await models.GroupMember.filter(user_id=user.id).select_related("group")
    return sorted(member.group.name for member in members)


async def told(action: str) -> list[tuple[AuditOutcome, str | None, str | None]]:
    """Outcome, whom it was about, and what was told of it."""
    return [(entry.outcome, entry.subject_name, entry.detail) for entry in await models.AuditEntry.filter(action=action).order_by("id")]


async def test_whoever_comes_first_becomes_a_user_with_a_workspace(scene: Scene) -> None:
    session = await scene.sign_in(sub="s1", name="Ada Lovelace", email="Ada@example.com", groups=["Sales"])

    user = await scene.user_of(session)
    assert (user.name, user.email, user.email_key) == ("Ada Lovelace", "Ada@example.com", "ada@example.com")
    assert (user.subject, user.administrator) == (f"{scene.provider.issuer} s1", False)
    workspace = await models.Folder.get(owner_id=user.id)
    assert (workspace.kind, workspace.name) == (FolderKind.PERSONAL, "Ada Lovelace’s workspace")
    assert await groups_of(user) == ["Sales"]
    assert await told("user.create") == [(AuditOutcome.DONE, "Ada Lovelace", "at the identity provider")]
    assert await told("group.create") == [(AuditOutcome.DONE, "Sales", "of the identity provider")]
    assert await told("user.set_groups") == [(AuditOutcome.DONE, "Ada Lovelace", "+“Sales”")]


async def test_whoever_comes_again_is_the_same_user_under_their_new_name(scene: Scene) -> None:
    first = await scene.user_of(await scene.sign_in(sub="s1", name="Ada Byron", email="byron@example.com"))
    again = await scene.user_of(await scene.sign_in(sub="s1", name="Ada Lovelace", email="lovelace@example.com"))

    assert again.id == first.id
    assert (again.name, again.email_key) == ("Ada Lovelace", "lovelace@example.com")
    assert await models.User.all().count() == 1


async def test_a_sign_in_is_told_of_with_who_and_from_where(scene: Scene) -> None:
    user = await scene.user_of(await scene.sign_in(sub="s1", name="Ada"))

    [entry] = await models.AuditEntry.filter(action="session.sign_in")
    assert (entry.outcome, entry.actor_id, entry.subject_id, entry.source) == (AuditOutcome.DONE, user.id, str(user.id), SOURCE)


@pytest.mark.parametrize(
    ("claims", "name"),
    [
        ({"name": "  Ada   Lovelace "}, "Ada Lovelace"),
        ({"given_name": "Ada", "family_name": "Lovelace", "preferred_username": "ada"}, "Ada Lovelace"),
        ({"name": "", "preferred_username": "ada"}, "ada"),
        ({"name": ["x"], "nickname": "Countess"}, "Countess"),
        ({"name": "Ada\u202e\x00\nLovelace"}, "Ada Lovelace"),
        ({"name": "x" * 500}, "x" * 120),
        ({}, "s1"),
    ],
)
async def test_a_name_is_found_and_made_presentable(scene: Scene, claims: dict[str, Any], name: str) -> None:
    assert (await scene.user_of(await scene.sign_in(sub="s1", **claims))).name == name


async def test_a_sign_in_that_tells_no_name_takes_none_away(scene: Scene) -> None:
    await scene.sign_in(sub="s1", name="Ada", email="ada@example.com")

    user = await scene.user_of(await scene.sign_in(sub="s1"))

    assert (user.name, user.email) == ("Ada", "ada@example.com")


@pytest.mark.parametrize("email", ["nonsense", 7, "a@" + "b" * 300, "a b@c", None])
async def test_what_is_no_address_is_left_out(scene: Scene, email: Any) -> None:
    assert (await scene.user_of(await scene.sign_in(sub="s1", email=email))).email is None


# An address is no proof.


async def test_a_verified_address_makes_somebody_the_user_that_waited_for_them(scene: Scene) -> None:
    waiting = await scene.people.add_user(name="Ada", email="ada@example.com")

    user = await scene.user_of(await scene.sign_in(sub="s1", name="Ada Lovelace", email="ADA@example.com", email_verified=True))

    assert (user.id, user.subject, user.name) == (waiting.id, f"{scene.provider.issuer} s1", "Ada Lovelace")
    assert await models.User.all().count() == 1
    assert await told("user.link") == [(AuditOutcome.DONE, "Ada", "by the verified email address")]


@pytest.mark.parametrize("verified", [None, "yes", 1, "True"])
async def test_an_address_that_is_not_said_to_be_verified_takes_no_user_over(scene: Scene, verified: Any) -> None:
    await scene.people.add_user(name="Ada", email="ada@example.com", administrator=True)

    assert "does not say that the address is yours" in await scene.refused(sub="evil", email="ada@example.com", email_verified=verified)


async def test_an_address_that_is_said_not_to_be_verified_counts_for_nothing(scene: Scene) -> None:
    ada = await scene.people.add_user(name="Ada", email="ada@example.com", administrator=True)

    user = await scene.user_of(await scene.sign_in(sub="evil", name="Eve", email="ada@example.com", email_verified=False))

    assert (user.id == ada.id, user.email, user.administrator) == (False, None, False)
    assert (await models.User.get(id=ada.id)).subject is None


async def test_a_verified_address_of_somebody_who_came_before_takes_nobody_over(scene: Scene) -> None:
    """Addresses are given to others in time."""
    ada = await scene.user_of(await scene.sign_in(sub="s1", name="Ada", email="ada@example.com", email_verified=True))

    other = await scene.user_of(await scene.sign_in(sub="s2", name="Other", email="ada@example.com", email_verified=True))

    assert (other.id == ada.id, other.email) == (False, None)
    assert (await models.User.get(id=ada.id)).email == "ada@example.com"


async def test_nobody_takes_the_address_of_another_user_by_changing_theirs(scene: Scene) -> None:
    ada = await scene.people.add_user(name="Ada", email="ada@example.com")
    await scene.sign_in(sub="s2", name="Eve", email="eve@example.com")

    eve = await scene.user_of(await scene.sign_in(sub="s2", name="Eve", email="ada@example.com", email_verified=True))

    assert (eve.id == ada.id, eve.email) == (False, "eve@example.com")


async def test_the_same_subject_of_another_issuer_is_another_user(scene: Scene) -> None:
    other = await models.User.create(name="Other", subject="https://other.example s1", created_at=scene.clock.now)

    assert (await scene.user_of(await scene.sign_in(sub="s1"))).id != other.id


# Who left.


async def test_who_was_deactivated_signs_in_by_no_way(scene: Scene) -> None:
    ada = await scene.user_of(await scene.sign_in(sub="s1", name="Ada", groups=["Sales"]))
    session = await scene.sign_in(sub="s1", name="Ada", groups=["Sales"])
    token = await scene.people.add_token(ada.id, name="CI")
    link = await scene.people.new_sign_in_link(ada.id)
    await models.User.filter(id=ada.id).update(deactivated_at=scene.clock.now)

    assert await scene.refused(sub="s1", name="Ada again", groups=["Ops"]) == "You were deactivated here."
    assert await scene.bearer({"sub": "s1"}) is None
    assert await scene.bearer({"sub": "s1", "groups": ["Ops"], "iat": int(scene.clock.now.timestamp()) + 30}) is None
    assert await scene.people.actor_of_session(session) is None
    assert await scene.people.actor_of_token(token.token) is None
    assert await scene.people.sign_in_with_link(link) is None
    assert await scene.people.sign_in_with_token(token.token) is None
    assert await groups_of(ada) == ["Sales"]


async def test_who_was_deactivated_before_they_ever_came_does_not_come_by_their_address(scene: Scene) -> None:
    ada = await scene.people.add_user(name="Ada", email="ada@example.com")
    await models.User.filter(id=ada.id).update(deactivated_at=scene.clock.now)

    assert await scene.refused(sub="s1", email="ada@example.com", email_verified=True) == "You were deactivated here."


async def test_a_refusal_is_told_of_with_its_reason(scene: Scene) -> None:
    await scene.people.add_user(name="Ada", email="ada@example.com")
    await scene.refused(sub="s1", email="ada@example.com")

    [entry] = await models.AuditEntry.filter(action="session.sign_in")
    assert (entry.outcome, entry.actor_id, entry.source) == (AuditOutcome.REFUSED, None, SOURCE)
    assert entry.detail is not None
    assert "does not say that the address is yours" in entry.detail


# Groups.


async def test_groups_are_as_the_last_sign_in_says(scene: Scene) -> None:
    await scene.sign_in(sub="s1", name="Ada", groups=["Ops", "Sales"])
    user = await scene.user_of(await scene.sign_in(sub="s1", name="Ada", groups=["Legal", "Sales"]))
    assert await groups_of(user) == ["Legal", "Sales"]
    assert (await told("user.set_groups"))[-1] == (AuditOutcome.DONE, "Ada", "+“Legal” -“Ops”")

    await scene.sign_in(sub="s1", name="Ada")

    assert await groups_of(user) == []
    assert sorted([group.name for group in await models.Group.all()]) == ["Legal", "Ops", "Sales"]


async def test_a_sign_in_that_changes_no_group_tells_of_none(scene: Scene) -> None:
    for _ in range(2):
        await scene.sign_in(sub="s1", name="Ada", groups=["Sales", "Sales"])

    assert len(await told("user.set_groups")) == 1


async def test_access_given_to_a_group_is_had_by_whoever_the_provider_puts_there(scene: Scene) -> None:
    await scene.sign_in(sub="s1", name="Ada", groups=["Sales"])
    folder = await models.Folder.create(name="Sales", name_key="sales", kind=FolderKind.SHARED, created_at=scene.clock.now)
    group = await models.Group.get(external_name="Sales")
    await models.FolderGroupGrant.create(folder=folder, group=group, permissions=1)

    ben = await scene.people.actor_of_session(await scene.sign_in(sub="s2", name="Ben", groups=["Sales"]))
    assert ben is not None
    assert folder.id in await Access().visible_folders(ben)

    await scene.sign_in(sub="s2", name="Ben", groups=[])
    assert folder.id not in await Access().visible_folders(ben)


async def test_a_group_that_was_made_here_is_not_joined_by_its_name(scene: Scene) -> None:
    local = await models.Group.create(name="Sales", name_key="sales", created_at=scene.clock.now)

    user = await scene.user_of(await scene.sign_in(sub="s1", groups=["Sales", "SALES"]))

    assert await groups_of(user) == ["SALES (identity provider)", "Sales (identity provider 2)"]
    assert await models.GroupMember.filter(group_id=local.id).count() == 0


async def test_membership_of_groups_that_were_made_here_is_left_alone(scene: Scene) -> None:
    user = await scene.user_of(await scene.sign_in(sub="s1"))
    local = await models.Group.create(name="Choir", name_key="choir", created_at=scene.clock.now)
    await models.GroupMember.create(group=local, user=user)

    await scene.sign_in(sub="s1", groups=["Sales"])
    await scene.sign_in(sub="s1", groups=[])

    assert await groups_of(user) == ["Choir"]


@pytest.mark.parametrize(
    ("claim", "groups"),
    [
        ("Sales", ["Sales"]),
        (["Sales", 7, None, {"name": "Ops"}, "", "a\nb", "x" * 256], ["Sales"]),
        ({"Sales": True}, []),
        (7, []),
        (["/sales/emea", "x" * 255], ["/sales/emea", "x" * 120]),
    ],
)
async def test_what_is_no_group_is_left_out(scene: Scene, claim: Any, groups: list[str]) -> None:
    assert await groups_of(await scene.user_of(await scene.sign_in(sub="s1", groups=claim))) == groups


@pytest.mark.parametrize("claims", [{"groups": [f"g{number}" for number in range(1001)]}, {"_claim_names": {"groups": "src1"}}])
async def test_groups_that_are_told_in_part_alone_refuse_the_sign_in(scene: Scene, claims: dict[str, Any]) -> None:
    await scene.sign_in(sub="s1", groups=["Sales"])

    assert "more groups than" in await scene.refused(sub="s1", **claims)


async def test_the_administrators_group_says_who_is_one(scene: Scene) -> None:
    user = await scene.user_of(await scene.sign_in(sub="s1", name="Ada", groups=[ADMINISTRATORS]))
    assert user.administrator

    assert not (await scene.user_of(await scene.sign_in(sub="s1", name="Ada", groups=[ADMINISTRATORS.upper()]))).administrator
    assert await told("user.set_administrator") == [
        (AuditOutcome.DONE, "Ada", f"an administrator, by the group “{ADMINISTRATORS}”"),
        (AuditOutcome.DONE, "Ada", f"no administrator any more, by the group “{ADMINISTRATORS}”"),
    ]


# The way there and back.


async def test_an_answer_is_taken_once(scene: Scene) -> None:
    departure = await scene.identity.depart("/graphql")
    answer = scene.provider.answer_to(departure.url, sub="s1")
    assert (await scene.identity.arrive(answer, departure.cookie, source=SOURCE)).onward == "/graphql"

    with pytest.raises(SignInRefused, match="not an answer that Patchbay is waiting for"):
        await scene.identity.arrive(answer, departure.cookie, source=SOURCE)

    assert scene.provider.asked.count("/token") == 1
    assert await models.Session.all().count() == 1


async def test_of_many_who_come_with_one_answer_at_once_one_signs_in(scene: Scene) -> None:
    departure = await scene.identity.depart("/")
    answer = scene.provider.answer_to(departure.url, sub="s1")

    arrivals = await asyncio.gather(
        *(scene.identity.arrive(answer, departure.cookie, source=SOURCE) for _ in range(5)), return_exceptions=True
    )

    assert sum(isinstance(arrival, SignInArrival) for arrival in arrivals) == 1
    assert sum(isinstance(arrival, SignInRefused) for arrival in arrivals) == 4
    assert scene.provider.asked.count("/token") == 1


@pytest.mark.parametrize("which", ["none", "of another flow", "made up"])
async def test_an_answer_in_another_browser_signs_nobody_in(scene: Scene, which: str) -> None:
    departure, another = await scene.identity.depart("/"), await scene.identity.depart("/")
    cookies = {"none": None, "of another flow": another.cookie, "made up": Secret("x" * 43)}

    with pytest.raises(SignInRefused, match="not an answer"):
        await scene.identity.arrive(scene.provider.answer_to(departure.url), cookies[which], source=SOURCE)

    assert "/token" not in scene.provider.asked
    assert await models.Session.all().count() == 0
    # Whose it is still signs in.
    assert (await scene.arrive(departure)).session


@pytest.mark.parametrize("state", [None, "", "made-up", "\ud800"])
async def test_an_answer_that_nobody_waits_for_signs_nobody_in(scene: Scene, state: str | None) -> None:
    departure = await scene.identity.depart("/")
    answer = [part for part in scene.provider.answer_to(departure.url) if part[0] != "state"]

    with pytest.raises(SignInRefused, match="not an answer"):
        await scene.identity.arrive(answer if state is None else [*answer, ("state", state)], departure.cookie, source=SOURCE)

    assert "/token" not in scene.provider.asked
    assert await models.Session.all().count() == 0


async def test_an_answer_is_waited_for_for_ten_minutes(scene: Scene) -> None:
    departure = await scene.identity.depart("/")
    scene.clock.move(timedelta(minutes=10))

    with pytest.raises(SignInRefused, match="too old"):
        await scene.arrive(departure)

    await scene.identity.depart("/")
    assert await models.SignInFlow.all().count() == 1


async def test_of_a_flow_nothing_is_kept_that_completes_it(scene: Scene) -> None:
    departure = await scene.identity.depart("/")

    kept = str(await models.SignInFlow.all().values())

    assert departure.cookie.reveal() not in kept
    assert departure.state.reveal() not in kept


@pytest.mark.parametrize("issuer", [None, "https://evil.example"])
async def test_an_answer_of_another_issuer_is_not_taken(scene: Scene, issuer: str | None) -> None:
    departure = await scene.identity.depart("/")
    answer = [part for part in scene.provider.answer_to(departure.url) if part[0] != "iss"]

    with pytest.raises(SignInRefused, match="not from the identity provider"):
        await scene.identity.arrive([*answer, *([("iss", issuer)] if issuer else [])], departure.cookie, source=SOURCE)

    assert "/token" not in scene.provider.asked


@pytest.mark.parametrize(("error", "told"), [("access_denied", "access_denied"), ("<script>alert(1)</script>", "script_alert_1")])
async def test_an_error_for_an_answer_ends_the_flow_in_clean_words(scene: Scene, error: str, told: str) -> None:
    departure = await scene.identity.depart("/")
    state = ("state", departure.state.reveal())
    answer = [state, ("iss", scene.provider.issuer), ("error", error), ("error_description", "canary")]

    for expected in (told, "not an answer"):
        with pytest.raises(SignInRefused) as refusal:
            await scene.identity.arrive(answer, departure.cookie, source=SOURCE)
        assert expected in refusal.value.message
        assert "canary" not in refusal.value.message
        assert "<" not in refusal.value.message

    assert "/token" not in scene.provider.asked


async def test_an_answer_without_a_code_signs_nobody_in(scene: Scene) -> None:
    departure = await scene.identity.depart("/")
    answer = [("state", departure.state.reveal()), ("iss", scene.provider.issuer)]

    with pytest.raises(SignInRefused, match="no reason given"):
        await scene.identity.arrive(answer, departure.cookie, source=SOURCE)


async def test_a_code_of_another_flow_is_of_no_use(scene: Scene) -> None:
    """Whoever puts their own code into somebody else's answer would sign them in as themselves."""
    victim, attacker = await scene.identity.depart("/"), await scene.identity.depart("/")
    stolen = dict(scene.provider.answer_to(attacker.url, sub="evil"))["code"]
    answer = [("state", victim.state.reveal()), ("iss", scene.provider.issuer), ("code", stolen)]

    with pytest.raises(ServerRefused):
        await scene.identity.arrive(answer, victim.cookie, source=SOURCE)

    assert await models.Session.all().count() == 0
    assert [outcome for outcome, _, _ in await told("session.sign_in")] == [AuditOutcome.FAILED]


async def test_a_replayed_id_token_is_refused(scene: Scene) -> None:
    scene.provider.token_claims = {"nonce": "of another sign-in"}

    assert "answers another sign-in" in await scene.refused(sub="s1")


async def test_a_forged_id_token_is_refused(scene: Scene) -> None:
    scene.provider.signing_key = FOREIGN

    assert "its signature is not good" in await scene.refused(sub="s1")


async def test_where_the_provider_is_down_nobody_is_sent_there(scene: Scene) -> None:
    scene.provider.metadata = {"issuer": "https://evil.example"}

    with pytest.raises(IssuerUnusable):
        await scene.identity.depart("/")

    assert await models.SignInFlow.all().count() == 0
    assert await scene.identity.find_sign_out_url() is None


async def test_two_who_come_for_the_first_time_at_once_make_one_user_and_one_group(scene: Scene) -> None:
    sessions = await asyncio.gather(
        *(scene.sign_in(sub=sub, name=sub, email=f"{sub}@example.com", groups=["Sales", "Ops"]) for sub in ("s1", "s2") for _ in range(4))
    )

    users = {(await scene.user_of(session)).subject for session in sessions}
    assert len(users) == await models.User.all().count() == await models.Folder.all().count() == 2
    assert await models.Group.all().count() == 2
    assert await models.GroupMember.all().count() == 4


# Programs.


async def test_an_access_token_stands_for_its_person_and_makes_them_a_user(scene: Scene) -> None:
    made = await scene.bearer({"sub": "s1", "name": "Ada", "email": "ada@example.com", "groups": ["Sales"]})
    assert made is not None

    user = await models.User.get(id=made.user_id)
    assert (user.name, user.subject, await groups_of(user)) == ("Ada", f"{scene.provider.issuer} s1", ["Sales"])
    assert made == Actor(user.id, "Ada", source=SOURCE, until=scene.clock.now + timedelta(seconds=360))
    assert await scene.bearer({"sub": "s1"}) == made
    assert (await scene.user_of(await scene.sign_in(sub="s1", name="Ada"))).id == user.id
    assert await models.Session.all().count() == 1


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": "https://other.example"},
        {"aud": CLIENT_ID},
        {"iss": "https://evil.example"},
        {"exp": 0},
        {"sub": "some-app"},
        {"email": "ada@example.com", "email_verified": None},
        {"_claim_names": {"groups": "src1"}},
    ],
)
async def test_a_token_that_is_not_for_us_makes_nobody(scene: Scene, claims: dict[str, Any]) -> None:
    await scene.people.add_user(name="Ada", email="ada@example.com", administrator=True)
    before = await contents()

    assert await scene.bearer({"sub": "s1"} | claims) is None

    assert await contents() == before


async def test_an_id_token_makes_nobody_and_stands_for_nobody(scene: Scene) -> None:
    token = Secret(scene.provider.sign({"sub": "s1", "nonce": "n", "aud": AUDIENCE}))

    assert await scene.identity.actor_of_bearer(token) is None

    assert await models.User.all().count() == 0


async def test_a_token_that_says_nothing_of_groups_changes_none(scene: Scene) -> None:
    user = await scene.user_of(await scene.sign_in(sub="s1", name="Ada", groups=[ADMINISTRATORS, "Sales"]))
    scene.clock.move(timedelta(minutes=1))

    actor = await scene.bearer({"sub": "s1"})

    assert actor is not None
    assert actor.administrator
    assert await groups_of(user) == [ADMINISTRATORS, "Sales"]


async def test_a_newer_token_says_who_is_in_a_group_and_an_older_one_does_not(scene: Scene) -> None:
    user = await scene.user_of(await scene.sign_in(sub="s1", name="Ada", groups=[ADMINISTRATORS, "Sales"]))
    old = Secret(scene.provider.access_token({"sub": "s1", "groups": [ADMINISTRATORS, "Sales"]}))
    scene.clock.move(timedelta(minutes=1))

    actor = await scene.bearer({"sub": "s1", "groups": ["Ops"]})
    assert actor is not None
    assert not actor.administrator
    assert await groups_of(user) == ["Ops"]

    stale = await scene.identity.actor_of_bearer(old)
    assert stale is not None
    assert not stale.administrator
    assert await groups_of(user) == ["Ops"]


async def test_a_sign_in_whose_statement_is_older_than_a_token_changes_no_group(scene: Scene) -> None:
    """The two may arrive in another order than they were made."""
    actor = await scene.bearer({"sub": "s1", "groups": ["Ops"]})
    assert actor is not None
    scene.provider.token_claims = {"iat": int(scene.clock.now.timestamp()) - 1}

    user = await scene.user_of(await scene.sign_in(sub="s1", groups=[ADMINISTRATORS]))

    assert user.id == actor.user_id
    assert (user.administrator, await groups_of(user)) == (False, ["Ops"])


async def test_a_token_is_taken_over_once_and_then_only_read(scene: Scene) -> None:
    token = Secret(scene.provider.access_token({"sub": "s1", "groups": ["Sales"]}))
    first = await scene.identity.actor_of_bearer(token)
    await models.GroupMember.all().delete()

    assert await scene.identity.actor_of_bearer(token) == first

    assert await models.GroupMember.all().count() == 0


async def test_many_requests_of_somebody_new_make_one_user(scene: Scene) -> None:
    token = Secret(scene.provider.access_token({"sub": "s1", "groups": ["Sales"]}))

    actors = await asyncio.gather(*(scene.identity.actor_of_bearer(token) for _ in range(6)))

    assert len({actor.user_id for actor in actors if actor is not None}) == 1
    assert await models.User.all().count() == await models.Folder.all().count() == 1


# Other ways to sign in are told of too.


async def test_every_way_in_and_out_is_told_of(scene: Scene) -> None:
    ada = await scene.people.add_user(name="Ada")
    token = await scene.people.add_token(ada.id, name="CI")
    link = await scene.people.new_sign_in_link(ada.id)

    cookie = await scene.people.sign_in_with_link(link, source=SOURCE)
    assert cookie is not None
    await scene.people.sign_in_with_token(token.token, source=SOURCE)
    await scene.people.sign_out(cookie, source=SOURCE)
    await scene.people.sign_out(cookie, source=SOURCE)

    entries = await models.AuditEntry.filter(action__startswith="session.").order_by("id")
    assert [(entry.action, entry.detail, entry.actor_id, entry.token_id, entry.source) for entry in entries] == [
        ("session.sign_in", "with a sign-in link", ada.id, None, SOURCE),
        ("session.sign_in", "with an API token", ada.id, token.row.id, SOURCE),
        ("session.sign_out", None, ada.id, None, SOURCE),
    ]


async def test_every_way_that_leads_nowhere_is_told_of(scene: Scene) -> None:
    assert await scene.people.sign_in_with_link(Secret("made-up"), source=SOURCE) is None
    assert await scene.people.sign_in_with_token(Secret("made-up"), source=SOURCE) is None

    entries = await models.AuditEntry.filter(action="session.sign_in").order_by("id")
    assert [(entry.outcome, entry.detail, entry.actor_id, entry.source) for entry in entries] == [
        (AuditOutcome.REFUSED, "The sign-in link is unknown, was used already, or is too old.", None, SOURCE),
        (AuditOutcome.REFUSED, "This is no API token that works.", None, SOURCE),
    ]

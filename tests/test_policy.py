"""The rule by which policies speak, on any policies there may be."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from api.policy import Breadth, Policy, Rulebook, narrowest, ruling_on
from models import AuthenticationType, PolicyEnforcement, StatusReasonCode

USERS = [UUID(int=number) for number in (1, 2)]
GROUPS = [UUID(int=number) for number in (11, 12, 13)]
TYPES = [AuthenticationType.API_KEY, AuthenticationType.BASIC, AuthenticationType.PERSONAL_ACCESS_TOKEN]
DAY = datetime(2026, 1, 5, tzinfo=UTC)


@st.composite
def policies_of_one_connector(draw: st.DrawFn) -> list[Policy]:
    """At most one for everybody, one for each group, and one for each user, as the database holds it."""
    scopes = [(None, None), *((group, None) for group in GROUPS), *((None, user) for user in USERS)]
    chosen = draw(st.lists(st.sampled_from(scopes), unique=True))
    return [
        Policy(
            id=UUID(int=100 + number),
            connector_key="github",
            created_at=DAY + timedelta(days=draw(st.integers(0, 3))),
            group_id=group_id,
            user_id=user_id,
            is_exempt=draw(st.booleans()),
            allowed=draw(st.booleans()),
            allowed_types=draw(st.none() | st.lists(st.sampled_from(TYPES), min_size=1, unique=True).map(tuple)),
            enforcement=draw(st.sampled_from(PolicyEnforcement)),
            default_scopes=draw(st.none() | st.just((f"scope {number}",))),
            default_fields=draw(st.dictionaries(st.sampled_from(["region", "site"]), st.just(f"value {number}"))),
        )
        for number, (group_id, user_id) in enumerate(chosen)
    ]


ANY_POLICIES = policies_of_one_connector()
ANY_USER = st.sampled_from(USERS)
ANY_GROUPS = st.sets(st.sampled_from(GROUPS))
ANY_TYPE = st.sampled_from(TYPES)


@given(ANY_POLICIES, ANY_USER, ANY_GROUPS, ANY_TYPE)
def test_a_policy_for_the_user_is_the_only_one_that_speaks(
    policies: list[Policy], user: UUID, groups: set[UUID], type: AuthenticationType
) -> None:
    own = [policy for policy in policies if policy.user_id == user]

    ruling = ruling_on(policies, user_id=user, group_ids=groups)

    if own:
        assert ruling.policies == (() if own[0].is_exempt else (own[0],))
        assert bool(ruling.broken_by(type)) is own[0].is_against(type)


@given(ANY_POLICIES, ANY_USER, ANY_GROUPS, ANY_TYPE)
def test_of_groups_only_what_each_allows_is_allowed(
    policies: list[Policy], user: UUID, groups: set[UUID], type: AuthenticationType
) -> None:
    others = [policy for policy in policies if policy.user_id is None]
    of_groups = [policy for policy in others if policy.group_id in groups]

    ruling = ruling_on(others, user_id=user, group_ids=groups)

    if of_groups:
        assert {policy.id for policy in ruling.broken_by(type)} == {policy.id for policy in of_groups if policy.is_against(type)}


@given(ANY_POLICIES, ANY_USER, ANY_GROUPS)
def test_an_exception_ends_the_search(policies: list[Policy], user: UUID, groups: set[UUID]) -> None:
    least = narrowest(policies, user_id=user, group_ids=groups)

    ruling = ruling_on(policies, user_id=user, group_ids=groups)

    if least and all(policy.is_exempt for policy in least):
        assert ruling.policies == ()
        assert (ruling.default_app_id, ruling.default_scopes, ruling.default_fields, ruling.title) == (None, None, {}, None)
    assert not any(policy.is_exempt for policy in ruling.policies)


@given(ANY_POLICIES, ANY_USER, ANY_GROUPS)
def test_what_is_wider_or_for_others_changes_nothing(policies: list[Policy], user: UUID, groups: set[UUID]) -> None:
    least = narrowest(policies, user_id=user, group_ids=groups)

    assert ruling_on(least, user_id=user, group_ids=groups) == ruling_on(policies, user_id=user, group_ids=groups)
    assert len({policy.breadth for policy in least}) <= 1
    assert all(policy.breadth is Breadth.EVERYBODY or policy.user_id == user or policy.group_id in groups for policy in least)


@given(st.data(), ANY_POLICIES, ANY_USER, ANY_GROUPS)
def test_the_order_in_which_policies_come_changes_nothing(
    data: st.DataObject, policies: list[Policy], user: UUID, groups: set[UUID]
) -> None:
    shuffled = data.draw(st.permutations(policies))

    assert ruling_on(shuffled, user_id=user, group_ids=groups) == ruling_on(policies, user_id=user, group_ids=groups)


@given(ANY_POLICIES, ANY_USER, ANY_GROUPS, ANY_TYPE)
def test_the_strictest_of_those_that_are_against_it_decides(
    policies: list[Policy], user: UUID, groups: set[UUID], type: AuthenticationType
) -> None:
    ruling = ruling_on(policies, user_id=user, group_ids=groups)
    against = {policy.enforcement for policy in ruling.broken_by(type)}

    assert (ruling.suspension_of(type) is not None) is (PolicyEnforcement.SUSPEND in against)
    assert (ruling.refusal_of(type) is not None) is bool(against - {PolicyEnforcement.WARN})


@given(ANY_POLICIES, ANY_USER, ANY_GROUPS)
def test_defaults_are_those_of_the_oldest_that_names_one(policies: list[Policy], user: UUID, groups: set[UUID]) -> None:
    ruling = ruling_on(policies, user_id=user, group_ids=groups)
    oldest_first = sorted(ruling.policies, key=lambda policy: (policy.created_at, policy.id))

    scopes = [policy.default_scopes for policy in oldest_first if policy.default_scopes is not None]
    regions = [policy.default_fields["region"] for policy in oldest_first if "region" in policy.default_fields]
    assert ruling.default_scopes == (scopes[0] if scopes else None)
    assert ruling.default_fields.get("region") == (regions[0] if regions else None)


@given(ANY_POLICIES, ANY_USER, ANY_GROUPS)
def test_a_rulebook_rules_by_connector_and_membership(policies: list[Policy], user: UUID, groups: set[UUID]) -> None:
    rulebook = Rulebook(tuple(policies), {user: frozenset(groups)})

    assert rulebook.ruling("github", user) == ruling_on(policies, user_id=user, group_ids=groups)
    assert rulebook.ruling("slack", user).policies == ()
    assert {policy.id for policy in policies if rulebook.covers(policy, user)} == {
        policy.id for policy in narrowest(policies, user_id=user, group_ids=groups)
    }


def test_a_policy_says_what_it_is_against_and_who_can_change_that() -> None:
    policy = Policy(
        id=UUID(int=1),
        connector_key="github",
        created_at=DAY,
        group_id=GROUPS[0],
        named="Sales",
        allowed_types=(AuthenticationType.API_KEY,),
    )

    violation = policy.violation("GitHub", AuthenticationType.BASIC)

    assert violation.message == "The policy for the group “Sales” does not allow BASIC for GitHub; it allows API_KEY."
    assert violation.remedy == "Authenticate in a way that is allowed. Ask an administrator to allow it, or to make an exception."
    assert (violation.connector_key, violation.policy_id) == ("github", policy.id)
    assert policy.suspension("GitHub", AuthenticationType.BASIC).code is StatusReasonCode.DISALLOWED_BY_POLICY


def test_a_ruling_is_called_by_all_that_speak() -> None:
    sales, staff = (
        Policy(id=UUID(int=number), connector_key="github", created_at=DAY, group_id=GROUPS[number], named=name)
        for number, name in enumerate(("Sales", "Staff"))
    )

    ruling = ruling_on([staff, sales], user_id=USERS[0], group_ids=GROUPS)

    assert ruling.title == "the policy for the group “Sales” and the policy for the group “Staff”"

"""Users, tokens and sessions."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

import models
from api.access import Limits
from api.errors import Conflict, InvalidInput, NotFound, PermissionDenied
from api.organization.tokens import hash_of, new_token, parse_token
from api.secret import Secret
from models import Permission
from models.database import Database, rows
from tests.organization.conftest import Organization

pytestmark = pytest.mark.anyio

# What makes a database refuse every change of an API token.
FULL_DISK = {
    "sqlite": ["PRAGMA query_only = ON"],
    "postgresql": [
        "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION USING ERRCODE = ''53100''; END'",
        "CREATE TRIGGER full_disk BEFORE UPDATE ON api_token EXECUTE FUNCTION full_disk()",
    ],
}


async def test_only_administrators_make_users(organization: Organization) -> None:
    with pytest.raises(PermissionDenied):
        await organization.people.create_user(organization.ben, name="Cleo")

    assert await models.User.filter(name="Cleo").count() == 0


async def test_no_two_users_have_the_same_address_in_any_case(organization: Organization) -> None:
    with pytest.raises(Conflict):
        await organization.people.create_user(organization.ada, name="Ada too", email="ADA@example.com")

    assert await models.User.all().count() == 2
    assert await models.Folder.all().count() == 2


@pytest.mark.parametrize("email", ["", "ada", "a b@c", "@c", "a@" + "c" * 300, "a@b\n"])
async def test_an_address_looks_like_one(organization: Organization, email: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        await organization.people.create_user(organization.ada, name="Cleo", email=email)

    assert list(refusal.value.fields) == ["email"]


async def test_of_tokens_that_are_asked_about_at_once_each_stands_for_its_own_user(organization: Organization) -> None:
    people = organization.people
    mine = await people.create_token(organization.ben, name="CI", permissions=Permission.VIEW)
    hers = await people.create_token(organization.ada, name="CI")
    revoked = await people.create_token(organization.ada, name="old")
    await people.revoke_token(organization.ada, revoked.row.id)
    forged = replace(new_token(), public_id=hers.row.public_id)
    asked = [mine.token, new_token().text(), hers.token, forged.text(), Secret("no token"), revoked.token, mine.token] * 5

    found = await asyncio.gather(*(people.actor_of_token(token, source=str(place)) for place, token in enumerate(asked)))

    ben = replace(organization.ben, token_id=mine.row.id, limits=Limits(permissions=Permission.VIEW))
    ada = replace(organization.ada, token_id=hers.row.id)
    expected = [ben, None, ada, None, None, None, ben] * 5
    assert found == [None if actor is None else replace(actor, source=str(place)) for place, actor in enumerate(expected)]


async def test_a_token_stands_for_its_user_until_it_is_revoked(organization: Organization) -> None:
    new = await organization.people.create_token(organization.ben, name="CI")
    assert await organization.people.actor_of_token(new.token) == replace(organization.ben, token_id=new.row.id)

    await organization.people.revoke_token(organization.ben, new.row.id)

    assert await organization.people.actor_of_token(new.token) is None


async def test_a_token_ends_when_it_was_to_end(organization: Organization) -> None:
    ends = organization.clock.now + timedelta(hours=1)
    new = await organization.people.create_token(organization.ben, name="CI", expires_at=ends)

    organization.clock.move(timedelta(minutes=59))
    assert await organization.people.actor_of_token(new.token) == replace(organization.ben, token_id=new.row.id)
    organization.clock.move(timedelta(minutes=1))
    assert await organization.people.actor_of_token(new.token) is None


async def test_of_a_token_only_a_hash_is_kept(organization: Organization) -> None:
    new = await organization.people.create_token(organization.ben, name="CI")

    row = await models.ApiToken.get(id=new.row.id)

    parts = parse_token(new.token)
    assert parts is not None
    assert parts.secret.reveal() not in str(row.__dict__)
    assert bytes(row.secret_hash) == parts.hash()


async def test_the_last_use_of_a_token_is_kept_to_the_minute(organization: Organization) -> None:
    new = await organization.people.create_token(organization.ben, name="CI")
    await organization.people.actor_of_token(new.token)
    first = organization.clock.now

    organization.clock.move(timedelta(seconds=30))
    await organization.people.actor_of_token(new.token)
    assert (await models.ApiToken.get(id=new.row.id)).last_used_at == first
    organization.clock.move(timedelta(seconds=31))
    await organization.people.actor_of_token(new.token)
    assert (await models.ApiToken.get(id=new.row.id)).last_used_at == organization.clock.now


async def test_a_token_lets_in_while_the_database_takes_no_writes(organization: Organization, database: Database) -> None:
    new = await organization.people.create_token(organization.ben, name="CI")
    for statement in FULL_DISK[database.dialect]:
        await rows(statement)

    actor = await organization.people.actor_of_token(new.token)

    assert actor is not None
    assert actor.user_id == organization.ben.user_id
    assert (await models.ApiToken.get(id=new.row.id)).last_used_at is None


async def test_nobody_makes_or_revokes_anothers_token_but_an_administrator(organization: Organization) -> None:
    adas = await organization.people.create_token(organization.ada, name="Ada’s")

    with pytest.raises(PermissionDenied):
        await organization.people.create_token(organization.ben, name="x", user_id=organization.ada.user_id)
    with pytest.raises(NotFound):
        await organization.people.revoke_token(organization.ben, adas.row.id)

    assert await organization.people.actor_of_token(adas.token) == replace(organization.ada, token_id=adas.row.id)
    bens = await organization.people.create_token(organization.ada, name="x", user_id=organization.ben.user_id)
    limits = Limits(without_workspace=True)
    assert await organization.people.actor_of_token(bens.token) == replace(organization.ben, token_id=bens.row.id, limits=limits)


def test_a_mistyped_token_is_refused_without_asking_the_database() -> None:
    text = new_token().text().reveal()
    assert parse_token(Secret(text)) is not None

    for wrong in ("", text[:-1], text + "0", text[:20] + ("a" if text[20] != "a" else "b") + text[21:], "pb_user_x", "ü" * 70, "\ud800"):
        assert parse_token(Secret(wrong)) is None


async def test_a_link_signs_in_once(organization: Organization) -> None:
    link = await organization.people.new_sign_in_link(organization.ben.user_id)

    cookies = await asyncio.gather(*(organization.people.sign_in_with_link(link) for _ in range(5)))

    (cookie,) = [cookie for cookie in cookies if cookie is not None]
    actor = await organization.people.actor_of_session(cookie)
    assert actor == replace(organization.ben, session_hash=hash_of(cookie))


async def test_a_link_is_good_for_an_hour_and_a_session_for_two_weeks(organization: Organization) -> None:
    late = await organization.people.new_sign_in_link(organization.ben.user_id)
    cookie = await organization.people.sign_in_with_link(await organization.people.new_sign_in_link(organization.ben.user_id))
    assert cookie is not None

    organization.clock.move(timedelta(hours=1))
    assert await organization.people.sign_in_with_link(late) is None
    organization.clock.move(timedelta(days=14))
    assert await organization.people.actor_of_session(cookie) is None


async def test_signing_out_ends_the_session(organization: Organization) -> None:
    new = await organization.people.create_token(organization.ben, name="CI")
    cookie = await organization.people.sign_in_with_token(new.token)
    assert cookie is not None

    await organization.people.sign_out(cookie)

    assert await organization.people.actor_of_session(cookie) is None
    assert await organization.people.sign_in_with_token(Secret("nonsense")) is None

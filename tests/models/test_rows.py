import asyncio
import json
from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID

import pytest

import models
from models.database import Database, instance, open_database, rows, transaction
from models.rows import for_each, read_json

pytestmark = pytest.mark.anyio

ID = UUID("11111111-2222-4333-8444-555555555555")
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


async def ada(*, created_at: datetime = NOON, administrator: bool = False) -> models.User:
    return await models.User.create(id=ID, name="Ada", created_at=created_at, administrator=administrator)


async def app() -> models.OAuthApp:
    return await models.OAuthApp.create(
        id=ID,
        connector_key="github",
        name="App",
        client_id="client",
        client_secret=models.Sealed(b"\x00sealed"),
        scopes=["read", "write"],
        origin=models.OAuthAppOrigin.OPERATOR,
        created_at=NOON,
    )


@pytest.mark.usefixtures("database")
async def test_what_models_write_rows_read_alike_on_both_databases() -> None:
    await ada(administrator=True)
    await app()

    columns = "id, name, email, email_key, administrator, created_at"
    [user] = await rows(f"SELECT {columns} FROM user_account", id=UUID, created_at=datetime, administrator=bool)
    [oauth] = await rows("SELECT * FROM oauth_app", id=UUID, created_at=datetime, scopes=list, origin=models.OAuthAppOrigin)

    assert user == {"id": ID, "name": "Ada", "email": None, "email_key": None, "administrator": True, "created_at": NOON}
    assert user["administrator"] is True
    assert user["created_at"].tzinfo is UTC
    assert (oauth["id"], oauth["scopes"], oauth["client_secret"]) == (ID, ["read", "write"], b"\x00sealed")
    assert oauth["origin"] is models.OAuthAppOrigin.OPERATOR
    assert oauth["folder_id"] is None


@pytest.mark.usefixtures("database")
async def test_what_rows_write_models_read_alike_on_both_databases() -> None:
    at = datetime(2026, 3, 1, 14, 0, 0, 123456, tzinfo=timezone(timedelta(hours=2)))

    await rows(
        "INSERT INTO oauth_app (id, connector_key, name, client_id, client_secret, scopes, origin, folder_id, created_at)"
        " VALUES ($1, $2, $2, $2, $3, $4, $5, $6, $7)",
        [ID, "github", b"\x00sealed", ["read"], models.OAuthAppOrigin.OPERATOR, None, at],
    )

    oauth = await models.OAuthApp.get(id=ID)
    assert (oauth.connector_key, oauth.name, oauth.scopes) == ("github", "github", ["read"])
    assert (oauth.origin, oauth.folder_id) == (models.OAuthAppOrigin.OPERATOR, None)
    assert oauth.client_secret == models.Sealed(b"\x00sealed")
    assert oauth.created_at == datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)


@pytest.mark.usefixtures("database")
async def test_an_update_returns_the_rows_that_it_changed() -> None:
    await ada()
    claim = "UPDATE user_account SET administrator = $1 WHERE name = $2 AND administrator <> $1 RETURNING id, administrator"

    assert await rows(claim, [True, "Ada"], id=UUID, administrator=bool) == [{"id": ID, "administrator": True}]
    assert await rows(claim, [True, "Ada"], id=UUID, administrator=bool) == []


@pytest.mark.usefixtures("database")
async def test_a_row_becomes_the_model_that_it_is_of() -> None:
    written = await app()

    [row] = await rows("UPDATE oauth_app SET name = $1 WHERE id = $2 RETURNING *", ["Renamed", ID])
    found = instance(models.OAuthApp, row)

    assert found == written
    assert (found.id, found.name, found.scopes, found.created_at) == (ID, "Renamed", ["read", "write"], NOON)
    assert isinstance(found.client_secret, models.Sealed)
    found.client_id = "other"
    await found.save(update_fields=["client_id"])
    assert (await models.OAuthApp.get(id=ID)).client_id == "other"


async def test_an_event_becomes_its_model_whatever_else_its_row_has(database: Database) -> None:
    written = await models.ConnectionEvent.create(
        type=models.ConnectionEventType.CREATED,
        connection_id=ID,
        connection_name="GitHub",
        connector_key="github",
        folder_id=ID,
        status=models.ConnectionStatus.CONNECTED,
        reason_json={"code": "RATE_LIMITED"},
        at=NOON,
    )

    [row] = await rows("SELECT * FROM connection_event")
    found = instance(models.ConnectionEvent, row)

    assert (found.id, found.type, found.connection_id, found.at) == (written.id, models.ConnectionEventType.CREATED, ID, NOON)
    assert found.reason_json == {"code": "RATE_LIMITED"}
    if database.dialect == "postgresql":
        assert isinstance(row["xid"], int)


async def test_the_horizon_of_commits_hides_events_of_open_transactions(postgresql_url: str) -> None:
    below = 'SELECT id FROM connection_event WHERE "xid" < pg_snapshot_xmin(pg_current_snapshot()) ORDER BY "xid", id'
    event = (
        "INSERT INTO connection_event (type, connection_id, connection_name, connector_key, folder_id, status, at)"
        " VALUES ('CREATED', $1, 'a', 'a', $1, 'CONNECTED', $2)"
    )

    async with open_database(postgresql_url):
        async with transaction():
            await rows(event, [ID, NOON])
            assert await rows(below) == []

        # The horizon is one of the whole server: the transactions of other databases hold it back as well.
        async with asyncio.timeout(10):
            while not await rows(below):
                await asyncio.sleep(0.005)


@pytest.mark.usefixtures("database")
async def test_statements_take_part_in_the_transaction() -> None:
    with pytest.raises(ZeroDivisionError):
        async with transaction():
            await rows("INSERT INTO user_account (id, name, administrator, created_at) VALUES ($1, 'Ada', $2, $3)", [ID, False, NOON])
            assert len(await rows("SELECT id FROM user_account")) == 1
            raise ZeroDivisionError

    assert await rows("SELECT id FROM user_account") == []


@pytest.mark.usefixtures("database")
async def test_a_recursive_statement_walks_the_folders() -> None:
    root = await models.Folder.create(name="Root", name_key="root", kind=models.FolderKind.SHARED, created_at=NOON)
    team = await models.Folder.create(name="Team", name_key="team", kind=models.FolderKind.SHARED, parent=root, created_at=NOON)
    leaf = await models.Folder.create(name="Leaf", name_key="leaf", kind=models.FolderKind.SHARED, parent=team, created_at=NOON)

    found = await rows(
        """
        WITH RECURSIVE above (id, parent_id, depth) AS (
            SELECT id, parent_id, 0 FROM folder WHERE id = $1
            UNION ALL SELECT folder.id, folder.parent_id, depth + 1 FROM folder JOIN above ON folder.id = above.parent_id
        ) SELECT id FROM above ORDER BY depth
        """,
        [leaf.id],
        id=UUID,
    )

    assert [row["id"] for row in found] == [leaf.id, team.id, root.id]


@pytest.mark.usefixtures("database")
async def test_times_compare_as_instants_not_as_text() -> None:
    await ada(created_at=NOON)
    earlier_far_east = (NOON - timedelta(seconds=1)).astimezone(timezone(timedelta(hours=9)))
    later_far_west = (NOON + timedelta(microseconds=1)).astimezone(timezone(timedelta(hours=-9)))

    for later, than, found in ((NOON, NOON, 0), (later_far_west, NOON, 1), (earlier_far_east, NOON, 0)):
        assert await models.User.filter(created_at__lt=later).count() == found, than
        assert len(await rows("SELECT id FROM user_account WHERE created_at < $1", [later])) == found
    assert await models.User.filter(created_at__gt=earlier_far_east).count() == 1
    assert await models.User.filter(created_at=NOON.astimezone(timezone(timedelta(hours=5)))).count() == 1


@pytest.mark.usefixtures("database")
async def test_a_time_without_a_zone_is_refused() -> None:
    naive = datetime(2026, 3, 1)  # noqa: DTZ001

    with pytest.raises(TypeError, match="time zone"):
        await rows("SELECT id FROM user_account WHERE created_at < $1", [naive])
    with pytest.raises(TypeError, match="time zone"):
        await models.User.filter(created_at__lt=naive).count()
    with pytest.raises(TypeError, match="time zone"):
        await ada(created_at=naive)
    assert await models.User.all().count() == 0


@pytest.mark.usefixtures("database")
async def test_what_many_are_given_is_what_each_would_be_given_alone() -> None:
    away, other = datetime(2026, 3, 1, 14, tzinfo=timezone(timedelta(hours=2))), UUID(int=7)
    given = [
        [ID, "github", b"\x00", ["read"], models.OAuthAppOrigin.OPERATOR, NOON],
        [other, "gitlab", None, [], models.OAuthAppOrigin.OPERATOR, away],
        [UUID(int=8), "", b"", ["a", "b"], "OPERATOR", NOON + timedelta(microseconds=1)],
    ]

    await for_each(
        "INSERT INTO oauth_app (id, connector_key, name, client_id, client_secret, scopes, origin, created_at)"
        " VALUES ($1, $2, $2, $2, $3, $4, $5, $6)",
        given,
    )

    apps = {app.id: app for app in await models.OAuthApp.all()}
    assert [[id, *_given_to(apps[UUID(str(id))])] for id, *_ in given] == given
    assert {app.created_at.tzinfo for app in apps.values()} == {UTC}


@pytest.mark.usefixtures("database")
async def test_of_many_one_time_without_a_zone_is_refused_and_nothing_written() -> None:
    times = [NOON, NOON.replace(tzinfo=None)]

    with pytest.raises(TypeError, match="has a time zone"):
        await for_each(
            "INSERT INTO user_account (id, name, created_at, administrator) VALUES ($1, 'Ada', $2, $3)",
            [[UUID(int=number), time, False] for number, time in enumerate(times)],
        )

    assert await models.User.all().count() == 0


def _given_to(app: models.OAuthApp) -> list[object]:
    return [app.connector_key, app.client_secret, app.scopes, app.origin, app.created_at]


def test_half_of_a_surrogate_pair_is_read_as_it_was_written() -> None:
    written = json.dumps({"typed": "\ud800"})

    assert read_json(written) == read_json(written.encode()) == {"typed": "\ud800"}

"""Attacks on secrets: where they are kept, where they could slip out, and what could be made to send them elsewhere."""

import hmac
import itertools
import json
import logging
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from click.testing import CliRunner
from graphql import get_named_type, is_input_object_type, is_leaf_type, is_object_type
from tortoise.context import require_context

import models
from api.cli import main
from api.connections.requests import ConnectRequest, OwnApp, ReconnectRequest
from api.connections.secrets import Secrets, credential_place
from api.errors import InvalidInput
from api.graphql.context import Context
from api.graphql.schema import schema
from api.organization import people as people_module
from api.organization.tokens import new_token
from api.secret import Secret
from api.vault.keys import generate_key_text
from api.vault.vault import Place, Unreadable, Vault
from models import AuthenticationType, ConnectionStatus, StatusReasonCode
from models.database import rows
from models.sealed_values import SEALED_COLUMNS
from tests.canaries import CANARIES
from tests.graphql.asking import Graph
from tests.graphql.filling import Root, roots
from tests.house.rules import main as rules
from tests.installation import Installation

pytestmark = pytest.mark.anyio

DUE = timedelta(minutes=55)

# A25


def test_a25_a_sealed_value_opens_at_its_own_place_and_at_no_other() -> None:
    """Every pair of 7 columns × 3 rows × 2 folders."""
    vault = Vault({1: bytes(range(32))}, active=1, derivation_key=bytes(range(32, 64)))
    folders, rows = [UUID(int=1), UUID(int=2)], [UUID(int=number) for number in (11, 12, 13)]
    places = [Place(each.table, each.name, row, folder) for each in SEALED_COLUMNS for row in rows for folder in folders]
    sealed = {place: vault.seal(str(place).encode(), place) for place in places}
    refused = 0

    for here, there in itertools.permutations(places, 2):
        with pytest.raises(Unreadable):
            vault.open(sealed[here], there)
        refused += 1

    assert refused == 42 * 41
    assert all(vault.open(value, place) == str(place).encode() for place, value in sealed.items())


async def test_a25_swapped_rows_are_unreadable_and_the_others_go_on(here: Installation) -> None:
    one, two, _ = [await here.connect_by_consent(name=name) for name in ("One", "Two", "Other")]
    first, second = [await models.Credential.get(connection_id=connection.id) for connection in (one, two)]
    await models.Credential.filter(id=first.id).update(secrets=second.secrets)
    await models.Credential.filter(id=second.id).update(secrets=first.secrets)

    await here.tick(after=DUE)

    found = {row.name: row for row in await models.Connection.all()}
    for name in ("One", "Two"):
        reason = found[name].reason
        assert (found[name].status, reason and reason.code) == (ConnectionStatus.ACTION_REQUIRED, StatusReasonCode.SECRET_UNREADABLE)
        told = await models.ConnectionEvent.filter(connection_id=found[name].id).order_by("-id").first()
        assert told is not None
        assert told.status is ConnectionStatus.ACTION_REQUIRED
    assert (found["Other"].status, found["Other"].last_refreshed_at) == (ConnectionStatus.CONNECTED, here.clock.now)


# A26


LIVED = {
    "master key", "data key", "derivation key", "access token", "refresh token", "operator’s client secret", "own app’s client secret",
    "previous client secret", "typed token", "PKCE verifier", "state or flow cookie", "session cookie", "sign-in link", "API token",
    "material of a fingerprint",
}  # fmt: skip


async def test_a26_nothing_of_a_whole_life_is_in_the_database_or_beside_it(here: Installation, tmp_path: Path) -> None:
    await here.connect_with_token(name="By token")
    connection = await here.connect_by_consent(name="By consent")
    own = OwnApp(here.sandbox.client_id, here.sandbox.client_secret)
    await here.connect_by_consent(name="Own", authentication_type=AuthenticationType.OAUTH2_BRING_YOUR_OWN_APP, own_app=own)
    app = await models.OAuthApp.get(id=connection.oauth_app_id)
    here.patchbay.oauth_apps.secrets.rotate(app, Secret(f"newer-{uuid4().hex}"), retires_previous=False)
    await app.save()
    people = here.patchbay.people
    await people.create_token(here.ada, name="CI")
    await people.sign_in_with_link(await people.new_sign_in_link(here.ada.user_id))
    await here.begin(name="Under way")

    CANARIES.note("the dump", await dump())
    CANARIES.note_files(tmp_path)

    assert CANARIES.slots >= LIVED
    assert "By consent" in str(CANARIES.let_out["the dump"])
    assert CANARIES.found() == set()


async def dump() -> str:
    """Every row of every table; bytes in hexadecimal digits."""
    on_postgresql = require_context().db().capabilities.dialect == "postgres"
    listed = "pg_tables WHERE schemaname = 'public'" if on_postgresql else "sqlite_schema WHERE type = 'table'"
    tables = [row["name"] for row in await rows(f"SELECT {'tablename' if on_postgresql else 'name'} AS name FROM {listed}")]
    kept = [row for table in tables for row in await rows(f'SELECT * FROM "{table}"')]
    return str([bytes(value).hex() if isinstance(value, bytes | memoryview) else value for row in kept for value in row.values()])


# A27

TELLING = re.compile(r"secret|token|password|passphrase|privatekey|verifier|cookie|credential|apikey", re.IGNORECASE)
# An API token and the secret of a webhook are shown once, when they are made; a credential is issued to who may use it; and what kind of
# token that is, is no secret.
NOT_SECRET = {
    "CreateApiTokenSuccess.token",
    "CreateWebhookSuccess.secret",
    "RotateWebhookSecretSuccess.secret",
    "IssuedCredential.accessToken",
    "IssuedCredential.tokenType",
    # An address.
    "OAuth2Definition.tokenUrl",
}


def test_a27_no_output_has_a_field_for_a_secret() -> None:
    fields = [
        (f"{type_.name}.{name}", get_named_type(field.type).name)
        for type_ in schema._schema.type_map.values()
        if is_object_type(type_) and not type_.name.startswith("__")
        for name, field in type_.fields.items()
        if is_leaf_type(get_named_type(field.type)) and TELLING.search(name)
    ]

    texts = {name for name, kind in fields if kind in ("String", "JSON")}
    assert texts == NOT_SECRET


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    with caplog.at_level(logging.DEBUG, "api"):
        yield caplog


def takes_a_secret(root: Root) -> bool:
    kinds = [get_named_type(argument.type) for argument in root.field.args.values()]
    names = [name for kind in kinds if is_input_object_type(kind) for name in kind.fields]
    return any(name in ("clientSecret", "oauthApp", "fields") for name in names)


MUTATIONS_WITH_SECRETS = [root for root in roots("mutation") if takes_a_secret(root)]


@pytest.mark.parametrize("root", MUTATIONS_WITH_SECRETS, ids=lambda root: root.name)
async def test_a27_a_mutation_that_fails_repeats_no_secret(graph: Graph, root: Root, log: pytest.LogCaptureFixture) -> None:
    canary = f"canary-{uuid4().hex}"

    def choose(name: str, kind: str) -> Any:
        plain = {"ID": str(uuid4()), "Int": 10, "Boolean": False, "DateTime": "2999-01-31T12:00:00Z"}
        return canary if name.lower().endswith("secret") or name == "value" else plain.get(kind, "sandbox")

    variables = root.variables(choose, without=())
    assert canary in json.dumps(variables)
    result = await schema.execute(root.document(), variables, context_value=Context(graph.here.patchbay, graph.viewer))
    twisted = json.loads(json.dumps(variables).replace(f'"{canary}"', f'["{canary}", {{"{canary}": 1}}]'))
    wrong = await schema.execute(root.document(), twisted, context_value=Context(graph.here.patchbay, graph.viewer))

    assert wrong.errors
    told = [result.data, [error.formatted for error in result.errors or []], [error.formatted for error in wrong.errors]]
    assert canary not in str(told)
    assert canary not in str([record.__dict__ for record in log.records])


# A28

BAD_KEYS = {
    "none": "",
    "another of the same id": "k1:" + generate_key_text().partition(":")[2],
    "another of another id": generate_key_text("k2"),
    "two others": f"{generate_key_text('k2')},{generate_key_text('k3')}",
    "twice the same id": f"{generate_key_text()},{generate_key_text()}",
    "no base64": "k1:not base64 at all!",
    "too short": "k1:c2hvcnQ=",
    "too long": "k1:" + "QUJD" * 40,
    "one byte repeated": "k1:" + "AAAA" * 10 + "AAA=",
    "a text": "k1:dGhpcyBpcyBhIHRleHQgb2YgMzIgYnl0ZXMuLi4uLi4=",
    "no id": ":" + generate_key_text().partition(":")[2],
    "no key": "k1:",
}


def test_a28_twelve_wrong_keys_are_refused_and_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATCHBAY_DATA_FOLDER", str(tmp_path))
    monkeypatch.setenv("PATCHBAY_KEYS", generate_key_text())
    runner = CliRunner()
    for command in (["migrate"], ["users", "create", "--name", "Ada"]):
        assert runner.invoke(main, command).exit_code == 0
    before = _content(tmp_path)

    for what, keys in BAD_KEYS.items():
        monkeypatch.setenv("PATCHBAY_KEYS", keys)
        refused = runner.invoke(main, ["users", "create", "--name", "Ben"])

        assert refused.exit_code == 78, what
        assert _content(tmp_path) == before, what
        # Ids are told, keys are not.
        assert [part for part in re.split(r"[,:]", keys) if len(part) > 20 and part in refused.output] == [], what


def _content(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.rglob("*") if file.is_file() and file.suffix not in (".db-shm", ".lock")}


# A29


async def test_a29_a_token_that_never_was_is_compared_like_one_that_is(here: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    people = here.patchbay.people
    known = (await people.create_token(here.ada, name="CI")).token.reveal()
    compared: list[tuple[int, int]] = []

    def compare(one: bytes, other: bytes) -> bool:
        compared.append((len(one), len(other)))
        return hmac.compare_digest(one, other)

    class Comparing:
        compare_digest = staticmethod(compare)

    monkeypatch.setattr(people_module, "hmac", Comparing)
    guessed = new_token()
    of_known_id = type(guessed)(known.split("_")[2], guessed.secret)
    for token in (guessed.text(), of_known_id.text()):
        assert await people.actor_of_token(token) is None
    assert await people.actor_of_token(Secret(known)) is not None

    assert compared == [(32, 32)] * 3


def test_a29_no_secret_is_compared_by_equality() -> None:
    assert rules(["api", "models"]) == 0


# A30


async def moved_to_http(here: Installation, key: str) -> models.Connection:
    """A connection whose address a person named, and an API key that was typed for it."""
    connection = await here.connect_with_token()
    credential = await models.Credential.get(connection_id=connection.id)
    secrets = Secrets(fields={"api_key": Secret(key)})
    sealed = secrets.seal(here.patchbay.vault, credential_place(credential.id, connection.folder_id))
    await models.Credential.filter(id=credential.id).update(secrets=sealed)
    site = {"base_url": "https://api.example.com", "header_name": "X-Api-Key"}
    await models.Connection.filter(id=connection.id).update(
        connector_key="http", authentication_type=AuthenticationType.API_KEY, option_key="api_key", site=site
    )
    return await models.Connection.get(id=connection.id)


async def test_a30_another_address_does_not_get_the_secret_that_was_typed_for_this_one(here: Installation) -> None:
    wishes, key = here.patchbay.connecting._wishes, f"key-{uuid4().hex}"
    connection = await moved_to_http(here, key)
    for changes in ({"base_url": "https://evil.example"}, {"base_url": "https://api.example.com.evil.example"}):
        fields = {name: Secret(value) for name, value in changes.items()}

        with pytest.raises(InvalidInput) as refusal:
            await here.patchbay.connecting.reconnect(here.ada, ReconnectRequest(connection.id, fields=fields))
        assert refusal.value.fields == {"fields.api_key": "is required"}

    same = {"base_url": Secret("https://api.example.com")}
    for fields in ({}, same):
        assert (await wishes.to_reconnect(connection, ReconnectRequest(connection.id, fields=fields))).secrets["api_key"] == Secret(key)
    after = await models.Connection.get(id=connection.id)
    assert (after.site, after.updated_at) == (connection.site, connection.updated_at)


async def test_a30_a_kept_app_goes_to_no_other_server_than_its_own(here: Installation) -> None:
    own = OwnApp(here.sandbox.client_id, here.sandbox.client_secret)
    byo = AuthenticationType.OAUTH2_BRING_YOUR_OWN_APP
    first = await here.connect_by_consent(authentication_type=byo, own_app=own)
    assert first.oauth_app_id is not None
    site = {name: f"https://api.example.com/{name}" for name in ("base_url", "authorize_url", "token_url")}
    await models.Connection.filter(id=first.id).update(connector_key="http", option_key="consent", site=site)
    await models.OAuthApp.filter(id=first.oauth_app_id).update(connector_key="http")

    def request(**changes: str) -> ConnectRequest:
        fields = {name: Secret(value) for name, value in (site | changes).items()}
        return ConnectRequest(here.workspace, "http", byo, option="consent", oauth_app_id=first.oauth_app_id, fields=fields)

    wishes = here.patchbay.connecting._wishes
    for token_url in ("https://evil.example/token", "https://api.example.com.evil.example/token"):
        with pytest.raises(InvalidInput) as refusal:
            await here.patchbay.connecting.connect(here.ada, request(token_url=token_url))
        assert refusal.value.fields == {"oauthAppId": "is for another server than the one that is named here"}
    assert await models.Authorization.filter(connector_key="http").count() == 0
    assert (await wishes.to_connect(here.ada, request())).oauth_app_id == first.oauth_app_id

    # Where no connection tells which server it is for, an administrator may say so, and nobody else.
    await models.Connection.filter(id=first.id).update(oauth_app_id=None)
    assert (await wishes.to_connect(here.ada, request())).oauth_app_id == first.oauth_app_id
    with pytest.raises(InvalidInput) as refusal:
        await wishes.to_connect(replace(here.ada, administrator=False), request())
    assert list(refusal.value.fields) == ["oauthAppId"]

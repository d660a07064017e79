"""An installation with people and their things, asked at its own endpoint over a real socket."""

import secrets
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import UUID

import models
from api import graphql, routes
from api.access import Actor
from api.connections.secrets import Secrets, credential_place
from models import Permission
from tests.clock import HeldClock
from tests.fuzzing.tally import Watch
from tests.graphql.endpoint import Endpoint, open_routes
from tests.installation import Installation, installed


@dataclass(frozen=True)
class Scene:
    here: Installation
    endpoint: Endpoint
    # Of an administrator, and of somebody who may see one folder.
    tokens: tuple[str, str]
    # What an id can name: by the name of an argument, of Ada's and of others.
    ids: dict[str, list[str]]
    # Stands in every slot for a secret, and where a value of another kind is expected.
    canary: str


@dataclass(frozen=True)
class Run:
    """What all trials of one run share."""

    watch: Watch
    # A migrated, empty database, to be copied.
    template: Path
    seed: int


@asynccontextmanager
async def open_scene(run: Run) -> AsyncIterator[Scene]:
    """People with folders, connections, apps, groups and tokens; all their secrets are planted."""
    with TemporaryDirectory() as folder:
        shutil.copy(run.template, f"{folder}/patchbay.db")
        async with installed(f"sqlite://{folder}/patchbay.db", Path(folder), HeldClock()) as here:
            settings = here.patchbay.settings
            async with open_routes(here, [*routes.routes(settings), *graphql.routes(settings)]) as endpoint:
                scene = await _furnished(here, endpoint)
                run.watch.plant([*scene.tokens, endpoint.token, endpoint.cookie, scene.canary, *await kept_secrets(here)])
                yield scene


async def _furnished(here: Installation, endpoint: Endpoint) -> Scene:
    ben, cleo = await here.add_person("Ben"), await here.add_person("Cleo")
    canary = f"canary{secrets.token_hex(16)}"
    shared = (await here.patchbay.folders.create(here.ada, name="Sales", parent_id=None)).id
    await here.patchbay.folders.set_access(here.ada, shared, ben.user_id, Permission.VIEW | Permission.USE)
    theirs = await _workspace(cleo)
    consented, hidden = await here.connect_by_consent(folder_id=shared), await here.connect_with_token(folder_id=shared, name="Second")
    private = await here.patchbay.connecting.connect(cleo, here.token_request(folder_id=theirs))
    assert isinstance(private, models.Connection)
    app = await here.patchbay.oauth_apps.add(
        connector_key="sandbox", name="App", client_id="app", client_secret=None, scopes=[], folder_id=shared,
        origin=models.OAuthAppOrigin.CONNECTION,
    )  # fmt: skip
    authorization = await here.begin(folder_id=shared)
    group = await models.Group.create(name="Staff", name_key="staff", created_at=here.clock())
    people = here.patchbay.people
    mine = await people.add_token(ben.user_id, name="Ben's")
    other = await people.add_token(cleo.user_id, name="Cleo's")
    ids: dict[str, list[UUID]] = {
        "folder": [here.workspace, shared, theirs, await _workspace(ben)],
        "connection": [consented.id, hidden.id, private.id],
        "app": [app.id],
        # Not who asks: they would soon be signed in no more, and nothing else be reached.
        "user": [here.ada.user_id, cleo.user_id],
        "group": [group.id],
        "authorization": [authorization.id],
        "token": [other.row.id],
    }
    named = {name: [str(id) for id in each] for name, each in ids.items()}
    return Scene(here, endpoint, (endpoint.token, mine.token.reveal()), named, canary)


async def _workspace(owner: Actor) -> UUID:
    return (await models.Folder.get(owner_id=owner.user_id)).id


async def kept_secrets(here: Installation) -> list[str]:
    """What the vault holds of all connections."""
    found: list[str] = []
    for row in await models.Credential.all().select_related("connection"):
        kept = await secrets_of(here, row.connection_id)
        texts = [*kept.fields.values(), kept.access_token, kept.refresh_token]
        found += [text.reveal() for text in texts if text is not None]
    return found


async def secrets_of(here: Installation, connection_id: UUID) -> Secrets:
    row = await models.Credential.get(connection_id=connection_id).select_related("connection")
    return Secrets.open(here.patchbay.vault, row.secrets, credential_place(row.id, row.connection.folder_id))

"""A consent that one person asks of another: who asked, who may answer, and what cannot be asked.

The link to it is worth nothing to anybody but the person whom it names, who must be signed in, and who starts on a page that says who asks.
What is done in the folder is done with the rights of who asked; the account, and so the connection, is of the person who consents.
"""

from dataclasses import dataclass
from datetime import datetime

import models
from api.access import Actor
from api.connections.consent import AskedOfAnother, BegunByAnother
from api.connections.requests import ConnectRequest
from models import FolderKind


@dataclass(frozen=True, slots=True)
class Asked:
    """What a person is asked for, and by whom."""

    by: str
    connector: str
    folder: str
    expires_at: datetime


def asking_mistakes(actor: Actor, request: ConnectRequest, folder: models.Folder, person: models.User) -> dict[str, str]:
    """Why this person cannot be asked for this, by the field of the request."""
    mistakes = {}
    if folder.kind is FolderKind.PERSONAL:
        mistakes["folderId"] = "a personal workspace is its owner's alone"
    if person.id == actor.user_id:
        mistakes["forUserId"] = "is yourself: connect needs no link"
    if not request.authentication_type.needs_consent:
        mistakes["authenticationType"] = "has no consent that a person could give"
    return mistakes


async def find_asker(authorization: models.Authorization) -> Actor | None:
    """Who asked for the consent; None where the person began it themselves."""
    if authorization.asked_by_id is None:
        return None
    asker = await models.User.get(id=authorization.asked_by_id)
    return Actor(asker.id, asker.name, asker.administrator)


def of_another(authorization: models.Authorization) -> BegunByAnother:
    """What everybody but the person whose consent it is gets told."""
    name = authorization.user.name
    return BegunByAnother(name) if authorization.asked_by_id is None else AskedOfAnother(name)

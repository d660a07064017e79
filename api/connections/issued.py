"""What is handed out of a connection, and of which: what goes along with a call, and never what that is renewed with."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Self

import models
from api.connections.provider import Provider
from api.connections.subjects import Subject
from api.errors import Conflict
from api.secret import Secret

_BY_PROXY = "Call it through Patchbay, which puts the credential in: send the request to /proxy/{connection id}/{path}."
_TO_NOBODY = "Patchbay keeps it and proves it, and hands it to nobody."


@dataclass(frozen=True, slots=True)
class Issued:
    """What a call to the provider is made with. Its repr shows only whose it is."""

    connection: models.Connection
    generation: int
    expires_at: datetime | None
    headers: Mapping[str, str] = field(repr=False)
    query: Mapping[str, str] = field(repr=False)
    # Only of options that have tokens.
    access_token: Secret | None = None
    token_type: str | None = None
    # Some providers have the key in the path.
    base_url: str | None = field(default=None, repr=False)

    @classmethod
    def of(cls, subject: Subject) -> Self:
        presentation = subject.provider.presentation(subject.secrets)
        return cls(
            connection=subject.connection,
            generation=subject.credential.generation,
            expires_at=subject.connection.expires_at,
            headers=presentation.all_headers,
            query=presentation.query,
            access_token=subject.secrets.access_token,
            token_type=subject.secrets.token_type,
            base_url=subject.provider.base_url(subject.secrets),
        )


def require_issuable(provider: Provider) -> None:
    """Raises Conflict for a credential that is not sent along with a call, or not without what must stay here."""
    option, name = provider.option, provider.name
    if option.signature is not None:
        raise Conflict(f"{name} takes no credential along with a call: each call is signed as a whole.", _BY_PROXY)
    if option.grant is not None:
        if "client_secret" in provider.presented_names:
            raise Conflict(f"{name} takes the client secret along with each call, and that is handed to nobody.", _BY_PROXY)
    elif option.login is not None:
        raise Conflict(f"{name} is logged in to by another protocol than HTTP, so no header holds its credential.", _TO_NOBODY)
    elif not option.placements and option.basic is None and any(each.secret for each in provider.connector.fields_for(option)):
        raise Conflict(f"{name} takes its credential within the body of a call, and no two calls in the same place.", _TO_NOBODY)

"""From a description of an API that somebody gives to the draft of a connector. Keeps nothing."""

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import BoundedSemaphore
from typing import TypeVar

from api.access import Access, Actor
from api.audit import Audit
from api.catalog.descriptions.description import Description, Discovered, Draft, Hints, SchemeKind
from api.connections.sparing import Sparing
from api.errors import Conflict, InvalidInput
from api.names import name_problem
from api.oauth.discovery import NotDescribed, read_metadata
from api.outbound.egress import EgressGuard
from api.outbound.http import OutboundClient
from models import OrganizationPermission

Result = TypeVar("Result")

_LONGEST_URL = 2_000
# The longest documents take two seconds to read, one after another.
_MOST_WAITING = 3
_MOST_DISCOVERIES = 3


@dataclass(frozen=True, slots=True)
class ImportRequest:
    document: str
    hints: Hints


class Importing:
    """Documents are read one at a time, in a thread of their own, so that nobody else waits for that."""

    def __init__(self, *, access: Access, http: OutboundClient, audit: Audit, sparing: Sparing) -> None:
        self._access = access
        self._http = http
        self._audit = audit
        self._sparing = sparing
        self._reader = ThreadPoolExecutor(1, "descriptions")
        self._room = BoundedSemaphore(_MOST_WAITING)

    async def draft(self, actor: Actor, request: ImportRequest) -> Draft:
        """What a description comes to, and what it leaves undecided. Needs MANAGE_CONNECTORS.

        Nothing of it is fetched that it refers to, but for what an OpenID provider says of itself. Raises PermissionDenied, InvalidInput,
        Conflict.
        """
        async with self._audit.act(actor, "connector.import") as act:
            await self._access.require(actor, OrganizationPermission.MANAGE_CONNECTORS)
            self._sparing.require(actor)
            _refuse(request.hints)
            description = await self._apart(lambda: _read(request.document))
            discovered = await self._discovered(description)
            draft = await self._apart(lambda: _draft(description, request.hints, self._http.guard, discovered))
            await act.done(subject_name=draft.definition.name or None, detail=f"{description.format}, undecided: {len(draft.undecided)}")
        return draft

    async def _apart(self, read: Callable[[], Result]) -> Result:
        if not self._room.acquire(blocking=False):
            raise Conflict("Other descriptions are being read just now.", "Try again in a few seconds.")
        future = self._reader.submit(read)
        # Also where the caller has gone: what is being read is read to its end, and takes its room until then.
        future.add_done_callback(lambda _: self._room.release())
        return await asyncio.wrap_future(future)

    async def _discovered(self, description: Description) -> dict[str, Discovered]:
        found = {}
        for url in _openid_urls(description)[:_MOST_DISCOVERIES]:
            try:
                told = await read_metadata(self._http, url)
            # Then it is asked.
            except NotDescribed:
                continue
            if told.authorize_url is not None:
                methods = told.client_authentications or ("client_secret_basic",)
                posts = "client_secret_basic" not in methods and "client_secret_post" in methods
                found[url] = Discovered(told.issuer, told.authorize_url, told.token_url, told.revoke_url, told.scopes or (), posts)
        return found


# What reads takes a while to import as well, in the same thread, and at few places anything is ever read.
def _read(document: str) -> Description:
    from api.catalog.descriptions.reading import read_description

    return read_description(document)


def _draft(description: Description, hints: Hints, guard: EgressGuard, discovered: Mapping[str, Discovered]) -> Draft:
    from api.catalog.descriptions.drafting import draft_of

    return draft_of(description, hints, guard, discovered)


def _openid_urls(description: Description) -> list[str]:
    urls = (scheme.discovery_url for scheme in description.schemes if scheme.kind is SchemeKind.OPENID_CONNECT)
    return list(dict.fromkeys(url for url in urls if url is not None))


def _refuse(hints: Hints) -> None:
    mistakes = {
        "key": None if hints.key is None else name_problem(hints.key, longest=64),
        "name": None if hints.name is None else name_problem(hints.name),
        "url": None if hints.url is None else _url_problem(hints.url),
    }
    wrong = {field: problem for field, problem in mistakes.items() if problem is not None}
    if wrong:
        raise InvalidInput(wrong)


def _url_problem(url: str) -> str | None:
    problem = name_problem(url, longest=_LONGEST_URL)
    return problem or (None if url.startswith(("https://", "http://")) else "must be the address that the document was got from")

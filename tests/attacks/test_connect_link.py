"""The fourth attack, where somebody asks another person for a connection: only that person says yes, in a session of their own."""

import asyncio
import html
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from uuid import uuid4

import httpx2
import pytest

import models
from api.access import Actor
from api.connections.connecting import Departure
from api.connections.consent import ConsentOver
from api.connections.requests import ConnectRequest
from api.errors import InvalidInput, NotFound
from models import AuditOutcome, AuthenticationType, AuthorizationStatus, FolderKind, Permission
from tests.attacks.test_connect_flow import audited
from tests.installation import Installation
from tests.routes.site import Site

pytestmark = [
    pytest.mark.anyio,
    # A page leads on where a redirect would: after a form.
    pytest.mark.shows_secrets(
        "the page that leads on to the provider holds its address, with the state", "an answer", "state or flow cookie"
    ),
]

CONSENT = AuthenticationType.OAUTH2_AUTHORIZATION_CODE


@dataclass(frozen=True)
class Link:
    """What Ada asks Bob for, in the folder Sales where he has nothing; he is signed in."""

    site: Site
    ada: Actor
    bob: Actor
    browser: httpx2.AsyncClient
    folder: models.Folder
    authorization: models.Authorization

    @property
    def path(self) -> str:
        return f"/connect/{self.authorization.id}"

    async def row(self) -> models.Authorization:
        return await models.Authorization.get(id=self.authorization.id)

    async def token(self) -> str:
        page = await self.browser.get(self.path)
        assert page.status_code == 200, page.text
        [token] = re.findall(r'name="token" value="([0-9a-f]{64})"', page.text)
        return str(token)

    async def start(self, **changes: Any) -> httpx2.Response:
        given: dict[str, Any] = {"data": {"token": await self.token()}, "headers": {"origin": self.site.url}}
        return await self.browser.post(self.path, **(given | changes))

    async def consent(self, started: httpx2.Response, *, decision: str = "allow") -> httpx2.Response:
        """Bob decides at the provider, and comes back."""
        [url] = re.findall(r'http-equiv="refresh" content="0; url=([^"]+)"', started.text)
        decided = {"decision": decision, "account": "sam", "scope": ["read", "write"]}
        back = await self.browser.post(html.unescape(url), data=decided, headers={"origin": self.site.url})
        return await self.browser.get(back.headers["location"])


async def asked_for(site: Site, *, live: bool = False) -> Link:
    ada, bob = await site.person("Ada"), await site.person("Bob")
    folder = await models.Folder.create(
        id=uuid4(), name="Sales", name_key="sales", kind=FolderKind.SHARED, created_at=site.patchbay.clock()
    )
    await models.FolderGrant.create(folder=folder, user_id=ada.user_id, permissions=int(Permission.VIEW | Permission.CREATE))
    authorization = await site.patchbay.connecting.ask(ada, ConnectRequest(folder.id, "sandbox", CONSENT), bob.user_id)
    return Link(site, ada, bob, await site.signed_in(bob, live=live), folder, authorization)


async def test_a04_a_link_says_who_asks_for_what_and_starts_nothing_by_itself(site: Site) -> None:
    link = await asked_for(site)

    page = await link.browser.get(link.path)

    assert (page.status_code, "set-cookie" in page.headers, "location" in page.headers) == (200, False, False)
    assert "Ada asks you to connect Sandbox" in page.text and "<strong>Sales</strong>" in page.text
    kept = await link.row()
    assert (kept.user_id, kept.asked_by_id, kept.cookie_hash) == (link.bob.user_id, link.ada.user_id, None)
    assert kept.expires_at - kept.created_at == timedelta(minutes=15)
    assert (await site.browser().get(link.path)).headers["location"].startswith("/sign-in?next=")


async def test_a04_a_link_is_for_the_person_whom_it_names(site: Site) -> None:
    link = await asked_for(site)
    token = await link.token()

    for who in (link.ada, await site.person("Eve")):
        browser = await site.signed_in(who)
        for answer in (await browser.get(link.path), await browser.post(link.path, data={"token": token}, headers={"origin": site.url})):
            assert (answer.status_code, "location" in answer.headers, "set-cookie" in answer.headers) == (403, False, False)
            assert "authorize" not in answer.text
    assert await audited(AuditOutcome.REFUSED) == ["connect.refused_user_mismatch"] * 2
    assert (await link.row()).cookie_hash is None


@pytest.mark.parametrize(
    "changes",
    [
        {"data": {}}, {"data": {"token": ""}}, {"data": {"token": "0" * 64}}, {"data": {"token": "\u00e9"}}, {"headers": {"origin": "https://evil.example"}},
        {"headers": {"origin": "null"}}, {"headers": {"sec-fetch-site": "cross-site"}}, {"headers": {"sec-fetch-site": "same-site"}},
    ],
)  # fmt: skip
async def test_a04_another_page_cannot_start_a_link(site: Site, changes: dict[str, Any]) -> None:
    link = await asked_for(site)

    answer = await link.start(**changes)

    assert (answer.status_code, "set-cookie" in answer.headers) == (403, False)
    assert (await link.row()).cookie_hash is None


async def test_a04_the_token_of_a_form_is_for_one_consent_and_one_session(site: Site) -> None:
    link = await asked_for(site)
    again = await site.signed_in(link.bob)
    request = ConnectRequest(link.folder.id, "sandbox", CONSENT)
    other = await site.patchbay.connecting.ask(link.ada, request, link.bob.user_id)

    answers = [
        await again.post(link.path, data={"token": await link.token()}, headers={"origin": site.url}),
        await link.browser.post(f"/connect/{other.id}", data={"token": await link.token()}, headers={"origin": site.url}),
    ]

    assert [answer.status_code for answer in answers] == [403, 403]
    assert await models.Authorization.filter(cookie_hash=None).count() == 2


async def test_a04_a_link_ends_in_a_connection_of_the_person_who_consented_and_works_once(live_site: Site) -> None:
    link = await asked_for(live_site, live=True)
    token = await link.token()
    started = await link.start()

    done = await link.consent(started)

    assert (done.status_code, "Sandbox is connected" in done.text) == (200, True)
    connection = await models.Connection.get()
    assert (connection.folder_id, connection.owner_id) == (link.folder.id, link.bob.user_id)
    found = await live_site.patchbay.connecting.find(link.ada, link.authorization.id)
    assert found is not None and found.status is AuthorizationStatus.SUCCEEDED
    again = await link.browser.post(link.path, data={"token": token}, headers={"origin": live_site.url})
    assert (again.status_code, (await link.browser.get(link.path)).status_code, "set-cookie" in again.headers) == (409, 409, False)


async def test_a04_a_link_that_was_started_starts_no_second_time(site: Site) -> None:
    link = await asked_for(site)
    token, started = await link.token(), await link.start()

    again = await asyncio.gather(*(link.browser.post(link.path, data={"token": token}, headers={"origin": site.url}) for _ in range(5)))

    assert (started.status_code, [answer.status_code for answer in again]) == (200, [409] * 5)
    kept = await link.row()
    # From here on it lives as long as every consent.
    assert timedelta(minutes=9) < kept.expires_at - kept.created_at <= timedelta(minutes=11)


async def takes_create_away(link: Link) -> None:
    await models.FolderGrant.filter(folder=link.folder).update(permissions=int(Permission.VIEW))


async def takes_the_folder_away(link: Link) -> None:
    await models.FolderGrant.filter(folder=link.folder).delete()


async def deactivates_who_asked(link: Link) -> None:
    await models.User.filter(id=link.ada.user_id).update(deactivated_at=link.site.patchbay.clock())


@pytest.mark.parametrize("change", [takes_create_away, takes_the_folder_away, deactivates_who_asked])
async def test_a04_a_link_leads_to_nothing_where_who_asked_may_not_any_more(
    live_site: Site, change: Callable[[Link], Awaitable[None]]
) -> None:
    link = await asked_for(live_site, live=True)
    started = await link.start()
    await change(link)

    done = await link.consent(started)

    assert "could not be connected" in done.text
    assert (await models.Connection.all().count(), (await link.row()).status) == (0, AuthorizationStatus.FAILED)


async def test_a04_nobody_is_asked_for_more_than_who_asks_may_do(here: Installation) -> None:
    eve, bob = await here.add_person("Eve"), await here.add_person("Bob")
    shared = (await here.patchbay.folders.create(here.ada, name="Sales", parent_id=None)).id
    theirs = (await models.Folder.get(owner_id=eve.user_id)).id
    gone = await here.add_person("Gone")
    await models.User.filter(id=gone.user_id).update(deactivated_at=here.clock())
    ask, request = here.patchbay.connecting.ask, here.consent_request(folder_id=shared)

    wrong: list[tuple[Actor, ConnectRequest, Actor, type[Exception]]] = [
        (eve, request, bob, NotFound), (eve, replace(request, folder_id=theirs), bob, InvalidInput),
        (here.ada, request, here.ada, InvalidInput),
        (here.ada, request, gone, NotFound), (here.ada, here.token_request(folder_id=shared), bob, InvalidInput),
    ]  # fmt: skip
    for asker, asked, person, error in wrong:
        with pytest.raises(error):
            await ask(asker, asked, person.user_id)

    assert await models.Authorization.all().count() == 0
    authorization = await ask(here.ada, request, bob.user_id)
    here.clock.move(timedelta(minutes=15))
    with pytest.raises(ConsentOver):
        await here.patchbay.connecting.depart(bob, authorization.id)


async def test_a04_of_five_who_start_at_once_one_departs_and_connects_with_the_rights_of_who_asked(here: Installation) -> None:
    bob, connecting = await here.add_person("Bob"), here.patchbay.connecting
    shared = (await here.patchbay.folders.create(here.ada, name="Sales", parent_id=None)).id
    authorization = await connecting.ask(here.ada, here.consent_request(folder_id=shared), bob.user_id)

    ends = await asyncio.gather(*(connecting.depart(bob, authorization.id) for _ in range(5)), return_exceptions=True)

    [departure] = [end for end in ends if isinstance(end, Departure)]
    assert sum(isinstance(end, ConsentOver) for end in ends) == 4
    parameters = await here.decide(departure.url)
    done = await connecting.complete(bob, "sandbox", parameters, {departure.cookie_name: departure.cookie_value})
    assert done.status is AuthorizationStatus.SUCCEEDED, done.reason
    connection = await models.Connection.get(id=done.connection_id)
    assert (connection.folder_id, connection.owner_id) == (shared, bob.user_id)


async def test_a04_who_asked_calls_it_off_and_a_link_ends_with_whoever_leaves(here: Installation) -> None:
    eve, bob = await here.add_person("Eve"), await here.add_person("Bob")
    folders, connecting = here.patchbay.folders, here.patchbay.connecting
    shared = (await folders.create(here.ada, name="Sales", parent_id=None)).id
    await folders.set_access(here.ada, shared, eve.user_id, Permission.CREATE)
    first, second = [await connecting.ask(eve, here.consent_request(folder_id=shared), bob.user_id) for _ in range(2)]

    await connecting.cancel(eve, first.id)
    await here.patchbay.people.deactivate(here.ada, eve.user_id)

    assert {row.status for row in await models.Authorization.all()} == {AuthorizationStatus.CANCELLED}
    for authorization in (first, second):
        with pytest.raises(ConsentOver):
            await connecting.find_asked(bob, authorization.id)
        with pytest.raises(ConsentOver):
            await connecting.depart(bob, authorization.id)

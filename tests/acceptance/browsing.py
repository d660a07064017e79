"""A browser by script: it keeps cookies, follows redirects one by one, and fills in forms. It runs no scripts."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from html.parser import HTMLParser
from ssl import SSLContext
from typing import Self
from urllib.parse import urljoin, urlsplit

import httpx2

_REDIRECTS_AT_MOST = 20


@dataclass
class Form:
    action: str
    fields: dict[str, list[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Page:
    """Where the browser is. One that was not opened, because the browser was to stop before it, has no status."""

    url: str
    status: int = 0
    html: str = ""

    @property
    def path(self) -> str:
        return urlsplit(self.url).path

    @property
    def forms(self) -> list[Form]:
        return _Reader(self.html).forms

    @property
    def links(self) -> list[str]:
        return _Reader(self.html).links

    @property
    def text(self) -> str:
        return " ".join(_Reader(self.html).words)

    def asks_for(self, what: str) -> bool:
        """Whether it is a page of the authorization server's that asks for this."""
        return any(form.fields.get("prompt") == [what] for form in self.forms)


class Browser:
    def __init__(self, client: httpx2.AsyncClient) -> None:
        self._client = client
        self.page = Page("about:blank")

    @classmethod
    @asynccontextmanager
    async def opened(cls, tls: SSLContext | None = None) -> AsyncIterator[Self]:
        async with httpx2.AsyncClient(verify=tls or True, trust_env=False, timeout=20) as client:
            yield cls(client)

    async def open(self, url: str, *, stop_before: str | None = None) -> Page:
        """Go there, and on through all redirects; no further than before an address that begins so."""
        return await self._go("GET", urljoin(self.page.url, url), None, stop_before)

    async def submit(self, *, stop_before: str | None = None, **values: str) -> Page:
        """Send the first form of the page, filled in."""
        form = self.page.forms[0]
        return await self._go(
            "POST", urljoin(self.page.url, form.action), form.fields | {name: [value] for name, value in values.items()}, stop_before
        )

    async def ask(self, url: str, document: str, **variables: object) -> httpx2.Response:
        """Ask a GraphQL endpoint as a script of a page from there would: with the browser's cookies."""
        return await self._client.post(url, json={"query": document, "variables": variables}, headers={"Origin": _origin(url)})

    async def _go(self, method: str, url: str, form: dict[str, list[str]] | None, stop_before: str | None) -> Page:
        for _ in range(_REDIRECTS_AT_MOST):
            if stop_before is not None and url.startswith(stop_before):
                self.page = Page(url)
                return self.page
            headers = {"Origin": _origin(self.page.url)} if method == "POST" else {}
            answer = await self._client.request(method, url, data=form, headers=headers, follow_redirects=False)
            self.page = Page(url, answer.status_code, answer.text)
            if not answer.is_redirect:
                return self.page
            method, form, url = "GET", None, urljoin(url, answer.headers["location"])
        raise AssertionError(f"redirected without end, at last to {self.page.url}")


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


class _Reader(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__()
        self.forms: list[Form] = []
        self.links: list[str] = []
        self.words: list[str] = []
        self._hidden = False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        name, value = given.get("name", ""), given.get("value", "")
        match tag:
            case "style" | "script":
                self._hidden = True
            case "a" if "href" in given:
                self.links.append(given["href"])
            case "form":
                self.forms.append(Form(given.get("action", "")))
            case "input" if self.forms and name and (given.get("type") not in ("radio", "checkbox") or "checked" in given):
                self.forms[-1].fields.setdefault(name, []).append(value)

    def handle_endtag(self, tag: str) -> None:
        if tag in ("style", "script"):
            self._hidden = False

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.words += data.split()

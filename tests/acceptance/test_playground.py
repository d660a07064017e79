"""The playground in a real browser, from the sign-in link to an event that arrives in it."""

import getpass
import re
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import graphql
import pytest
from playwright.async_api import BrowserContext, ConsoleMessage, Page, Request, WebSocket, async_playwright, expect

from tests.acceptance.processes import PROJECT, free_port, running, until

# A browser starts, and draws, in seconds of its own.
pytestmark = [pytest.mark.anyio, pytest.mark.timeout(90)]

NO_CHROMIUM = "This test needs Chromium, and there is none on the PATH; on Debian: apt-get install --no-install-recommends chromium"
CHROMIUM_OPTIONS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PATIENCE_MILLISECONDS = 20_000

expect.set_options(timeout=PATIENCE_MILLISECONDS)


class Visit:
    """A person's browser, and a record of whom its pages asked and what they complained of."""

    def __init__(self, context: BrowserContext) -> None:
        self._context = context
        self.asked: set[str] = set()
        self.complaints: list[str] = []
        self._sent = ""
        context.set_default_timeout(PATIENCE_MILLISECONDS)
        context.on("request", self._note_request)
        context.on("page", self._watch)

    async def open(self, url: str) -> Page:
        page = await self._context.new_page()
        await page.goto(url)
        return page

    async def has_subscribed(self) -> bool:
        return '"subscribe"' in self._sent

    def _watch(self, page: Page) -> None:
        page.on("websocket", self._note_socket)
        page.on("console", self._note_console)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def _note_request(self, request: Request) -> None:
        self.asked.add(urlsplit(request.url).netloc)

    def _note_socket(self, socket: WebSocket) -> None:
        self.asked.add(urlsplit(socket.url).netloc)
        socket.on("framesent", self._note_sent)

    def _note_sent(self, frame: str | bytes) -> None:
        self._sent += str(frame)

    def _note_console(self, message: ConsoleMessage) -> None:
        # What a policy forbids is an error here as well.
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)


@asynccontextmanager
async def visiting() -> AsyncIterator[Visit]:
    chromium = shutil.which("chromium")
    assert chromium is not None, NO_CHROMIUM
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=CHROMIUM_OPTIONS)
        try:
            yield Visit(await browser.new_context())
        finally:
            await browser.close()


@asynccontextmanager
async def serving(folder: Path) -> AsyncIterator[str]:
    """A server in an empty folder; the sign-in link that it printed."""
    settings = {"PATCHBAY_DATA_FOLDER": str(folder / "data"), "PATCHBAY_PORT": str(free_port())}
    async with running(sys.executable, "-m", "api", "serve", words=folder / "serve", environment=settings) as program:
        yield (await program.says(r"http://\S+/sign-in\?link=\S+"))[0]


async def run_example(page: Page, name: str) -> None:
    """Go to an example's tab, and press the button once the editor has understood what it shows."""
    await page.locator(".graphiql-tab-button", has_text=re.compile(f"^{name}$")).click()
    await page.wait_for_function(
        "name => document.querySelector('.graphiql-query-editor .CodeMirror').CodeMirror.operationName === name", arg=name
    )
    await page.get_by_role("button", name="Execute query").click()


async def test_an_example_runs_as_it_is_and_the_documentation_opens(tmp_path: Path) -> None:
    async with serving(tmp_path) as link, visiting() as visit:
        page = await visit.open(link)
        await page.get_by_role("link", name="Playground").click()

        await run_example(page, "WhoAndWhat")
        await expect(page.locator(".result-window")).to_contain_text(f'"name": "{getpass.getuser()}"')
        await page.get_by_role("button", name="Show Documentation Explorer").click()
        await expect(page.locator(".graphiql-plugin")).to_contain_text("Subscription")

        assert await page.locator(".graphiql-tab").all_inner_texts() == ["WhoAndWhat", "Connect", "Watch", "Connections", "Verify"]
        assert visit.complaints == []
        assert visit.asked == {urlsplit(link).netloc}


async def test_the_page_that_watches_shows_a_connection_made_in_another(tmp_path: Path) -> None:
    async with serving(tmp_path) as link, visiting() as visit:
        watching = await visit.open(link)
        await watching.goto(f"http://{urlsplit(link).netloc}/graphql")
        await run_example(watching, "Watch")
        await until(visit.has_subscribed)

        connecting = await visit.open(watching.url)
        await run_example(connecting, "Connect")
        await expect(connecting.locator(".result-window")).to_contain_text('"status": "PENDING"')
        async with connecting.expect_popup() as opened:
            await connecting.get_by_role("link", name="Open the consent page").click()
        consent = await opened.value
        async with consent.expect_event("close"):
            await consent.get_by_role("button", name="Allow").click()

        result = watching.locator(".result-window")
        await expect(result).to_contain_text('"type": "CREATED"')
        await expect(result).to_contain_text('"connectionName": "Sandbox"')
        await expect(result).to_contain_text('"status": "CONNECTED"')
        await run_example(connecting, "Connections")
        await expect(connecting.locator(".result-window")).to_contain_text('"account": "alex"')
        assert visit.complaints == []
        assert visit.asked == {urlsplit(link).netloc}


def test_every_example_is_right_for_the_schema() -> None:
    schema = graphql.build_schema((PROJECT / "schema.graphql").read_text())
    script = (PROJECT / "api" / "static" / "playground.js").read_text()

    examples = re.findall(r"^const [A-Z]+ = `(.+?)`;$", script, re.MULTILINE | re.DOTALL)

    assert len(examples) == 5
    for example in examples:
        assert graphql.validate(schema, graphql.parse(example.replace("\\`", "`"))) == []

"""The server process: uvicorn around the application, and the words it greets with."""

from collections.abc import Iterator
from contextlib import contextmanager
from socket import AF_INET, AF_INET6, IPPROTO_TCP, TCP_NODELAY, create_server, socket

import click
import uvicorn

import models
from api.app import create_app
from api.errors import StartRefused
from api.garbage import search_seldom
from api.patchbay import Patchbay
from api.prompt_socket import PromptSocket
from api.settings import Settings

# How long streams and requests have to end once the server is asked to stop; attempts at providers have their own time after that.
_GRACE_SECONDS = 5


@contextmanager
def listening(settings: Settings) -> Iterator[socket]:
    """The socket to serve on. Raises StartRefused where it cannot be had, which is best known before anything is written."""
    family = AF_INET6 if ":" in settings.host else AF_INET
    try:
        listener = create_server((settings.host, settings.port), family=family)
    except OSError as error:
        # The socket's own words say the address again, in brackets.
        reason = str(error.strerror).partition(" (")[0]
        raise StartRefused(
            f"Patchbay cannot listen on {settings.host}, port {settings.port}: {reason}.",
            "Stop what listens there, or choose another port with PATCHBAY_PORT.",
        ) from error
    with listener:
        # What it accepts takes this over: an answer's body does not wait for its headers to be acknowledged, which may take 40 ms.
        listener.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)
        yield listener


def serve_until_stopped(settings: Settings, listener: socket, *, owner: str, refreshes: bool) -> None:
    """Serve; on the local default sign the owner of this machine in by a link."""
    app = create_app(settings, refreshes=refreshes, courier=settings.courier)
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        ws=PromptSocket,
        ws_max_size=64 * 1024,
        # What is sent is short, and squeezing it takes twice the time and memory of all the rest.
        ws_per_message_deflate=False,
        ws_max_queue=32,
        timeout_graceful_shutdown=_GRACE_SECONDS,
    )
    try:
        _GreetingServer(config, settings, owner).run(sockets=[listener])
    except KeyboardInterrupt:
        # Ctrl+C, handled: the server has ended in order, and tells by this what ended it.
        pass


class _GreetingServer(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, settings: Settings, owner: str) -> None:
        super().__init__(config)
        self._settings = settings
        self._owner = owner

    async def startup(self, sockets: list[socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            with self._patchbay.database.entered():
                await self._greet(self._patchbay)
            search_seldom()

    async def shutdown(self, sockets: list[socket] | None = None) -> None:
        # The server waits for its answers to end, and streams do not end by themselves.
        self._patchbay.feed.close()
        await super().shutdown(sockets)

    @property
    def _patchbay(self) -> Patchbay:
        patchbay: Patchbay = self.config.app.state.patchbay  # type: ignore[union-attr]
        return patchbay

    async def _greet(self, patchbay: Patchbay) -> None:
        url = self._settings.public_url
        lines = ["Patchbay is ready."]
        if self._settings.is_local_default:
            user = await _local_user(patchbay, self._owner)
            link = await patchbay.people.new_sign_in_link(user.id)
            lines.append(f"  Sign in      {url}/sign-in?link={link.reveal()}   (once, within an hour)")
        if self._settings.playground:
            lines.append(f"  Playground   {url}/graphql")
        if self._settings.sandbox:
            lines.append(f"  Sandbox      {url}/sandbox/")
        lines.append("  Stop         Ctrl+C")
        click.echo("\n".join(lines))


async def _local_user(patchbay: Patchbay, name: str) -> models.User:
    """The first administrator; on a first start one with the name of whoever started it."""
    user = await models.User.filter(administrator=True).order_by("created_at").first()
    return user or await patchbay.people.add_user(name=name, administrator=True)

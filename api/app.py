"""Patchbay as an ASGI application: its doors, and the life of what stands behind them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from api import graphql, routes
from api.clock import Clock, seconds_since_boot, utc_now
from api.entrance import Entrance
from api.opening import open_patchbay
from api.patchbay import Patchbay
from api.settings import Settings
from api.throttling import calls_of_users

SANDBOX_CONNECTOR = "sandbox"


def create_app(settings: Settings, *, clock: Clock = utc_now, refreshes: bool = True, courier: bool = False) -> Starlette:
    """The application for these settings, with a courier beside it or without.

    Opening it (its lifespan) raises StartRefused where something is not right.
    """
    sandbox = _sandbox(settings, clock)
    calls = calls_of_users(settings.request_rate, seconds_since_boot)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with open_patchbay(settings, clock=clock, refreshes=refreshes, courier=courier) as patchbay:
            if sandbox is not None:
                await _register_sandbox(patchbay, sandbox)
            app.state.patchbay = patchbay
            yield

    operations, sockets = graphql.routes(settings, calls)
    return Starlette(
        routes=[
            *routes.before_graphql(settings),
            operations,
            sockets,
            *routes.routes(settings, calls),
            *([] if sandbox is None else [Mount("/sandbox", sandbox)]),
        ],
        lifespan=lifespan,
        middleware=[Middleware(Entrance, settings=settings), Middleware(DatabaseOfRequest), Middleware(OperationsFirst, route=operations)],
    )


class DatabaseOfRequest:
    """Lets the models find the database in every request, whichever task serves it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            return await self._app(scope, receive, send)
        patchbay: Patchbay = scope["app"].state.patchbay
        with patchbay.database.entered():
            await self._app(scope, receive, send)
        return None


class OperationsFirst:
    """Leads operations, which most requests are, past all that looks for other doors. Their endpoint answers its errors itself."""

    def __init__(self, app: ASGIApp, *, route: Route) -> None:
        self._app = app
        self._route = route

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_operation = scope["type"] == "http" and scope["path"] == self._route.path and scope["method"] == "POST"
        await (self._route.app if is_operation else self._app)(scope, receive, send)


def _sandbox(settings: Settings, clock: Clock) -> Starlette | None:
    if not settings.sandbox:
        return None
    # It is a whole provider, which no real installation has.
    from api.sandbox.app import create_sandbox

    callback = f"{settings.public_url}/provisioning_/callback/{SANDBOX_CONNECTOR}"
    return create_sandbox(settings.data_folder / "sandbox.db", settings.sandbox_url, clock, (callback,))


async def _register_sandbox(patchbay: Patchbay, sandbox: Starlette) -> None:
    """The sandbox's client is the operator's app for its connector, so that the first connection needs no set-up."""
    client = sandbox.state.sandbox
    await patchbay.oauth_apps.keep_registered(SANDBOX_CONNECTOR, client_id=client.client_id, client_secret=client.client_secret)

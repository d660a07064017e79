"""The graph: a door. It translates, and never decides."""

from starlette.middleware.cors import CORSMiddleware
from starlette.routing import Route, WebSocketRoute
from starlette.types import ASGIApp

from api.graphql.schema import schema
from api.graphql.view import GraphQLView
from api.settings import Settings
from api.throttling import Buckets


def routes(settings: Settings, calls: Buckets | None = None, *, allow_get: bool = False) -> tuple[Route, WebSocketRoute]:
    """To stand after the playground, which takes from the same address only who wants a page. `calls`: what each user may ask for."""
    view = GraphQLView(schema, calls=calls, allow_get=allow_get)
    return Route("/graphql", _shared(view, settings)), WebSocketRoute("/graphql", view)


def _shared(view: GraphQLView, settings: Settings) -> ASGIApp:
    """Let the pages of allowed origins read our answers."""
    if not settings.allowed_origins:
        return view
    return CORSMiddleware(
        view,
        allow_origins=sorted(settings.allowed_origins),
        allow_methods=["POST"],
        allow_headers=["authorization", "content-type"],
        allow_credentials=True,
    )

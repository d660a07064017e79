"""The pictures of connectors."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from api.icons import monogram
from api.patchbay import Patchbay


def routes() -> list[BaseRoute]:
    return [Route("/connectors/{key}.svg", _icon)]


async def _icon(request: Request) -> Response:
    patchbay: Patchbay = request.app.state.patchbay
    connector = patchbay.catalog.find(request.path_params["key"])
    if connector is None:
        return Response(status_code=404)
    headers = {
        "cache-control": "public, max-age=86400",
        "x-content-type-options": "nosniff",
        "content-security-policy": "default-src 'none'",
    }
    return Response(monogram(connector.key, connector.name), media_type="image/svg+xml", headers=headers)

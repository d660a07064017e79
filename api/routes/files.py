"""The files that pages are made of: all served by ourselves, so that nothing is asked of another host."""

from pathlib import Path

from starlette.responses import Response
from starlette.routing import BaseRoute, Mount
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

STATIC = Path(__file__).parent.parent / "static"


def routes() -> list[BaseRoute]:
    return [Mount("/static", _Files(directory=STATIC))]


class _Files(StaticFiles):
    """Files with a version in their name may be kept for good; the others are asked for again, which costs a 304."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        forever = path.startswith("vendor/") and response.status_code == 200
        response.headers["cache-control"] = "public, max-age=31536000, immutable" if forever else "no-cache"
        response.headers["x-content-type-options"] = "nosniff"
        return response

"""A small WebDAV server for one bearer token, in memory, to be served by uvicorn as a process of its own."""

import xml.etree.ElementTree as ElementTree
from urllib.parse import unquote

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

TOKEN = "token-of-webdav-canary"
ROOT = "/dav"

_files: dict[str, bytes] = {}


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "http":
        response = await _answer(Request(scope, receive))
        await response(scope, receive, send)


async def _answer(request: Request) -> Response:
    if request.headers.get("authorization") != f"Bearer {TOKEN}":
        return Response(status_code=401, headers={"www-authenticate": "Bearer"})
    path = unquote(request.url.path)
    match request.method:
        case "PUT":
            _files[path] = await request.body()
            return Response(status_code=201)
        case "MOVE":
            destination = unquote(request.headers["destination"].partition("//")[2].partition("/")[2])
            _files[f"/{destination}"] = _files.pop(path)
            return Response(status_code=201)
        case "GET" if path in _files:
            return Response(_files[path], media_type="application/octet-stream")
        case "PROPFIND":
            return Response(_listing(path), 207, media_type="application/xml")
        case "GET":
            return Response(status_code=200 if path == f"{ROOT}/" else 404)
    return Response(status_code=405)


def _listing(folder: str) -> bytes:
    found = ElementTree.Element("{DAV:}multistatus")
    for path, content in sorted(_files.items()):
        if path.startswith(folder):
            response = ElementTree.SubElement(found, "{DAV:}response")
            ElementTree.SubElement(response, "{DAV:}href").text = path
            ElementTree.SubElement(response, "{DAV:}getcontentlength").text = str(len(content))
    return ElementTree.tostring(found)

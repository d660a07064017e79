"""The sandbox over HTTP: an application of its own, to be mounted at the path of its issuer."""

import json
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from anyio.to_thread import run_sync
from starlette.applications import Starlette
from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from api.clock import Clock
from api.errors import NotFound
from api.sandbox.pages import PAGES, page
from api.sandbox.provider import Answer, Incoming, repeated_parameter
from api.sandbox.records import ACCOUNTS, SCOPES, Grant
from api.sandbox.sandbox import LIFETIMES, ClientSwitch, Overview, Sandbox, Switch

_LONGEST_LIFETIME = 24 * 60 * 60


def create_sandbox(data_file: Path, issuer: str, clock: Clock, redirect_uris: tuple[str, ...]) -> Starlette:
    """The sandbox, its state in `data_file`, to be mounted at the path of `issuer`. Its client is in `.state.sandbox`.

    Raises StartRefused where the issuer is neither https nor loopback.
    """
    routes = [
        Route("/", _control, methods=["GET"]),
        Route("/authorize", _authorize, methods=["GET"]),
        Route("/authorize", _ours(_decide), methods=["POST"]),
        Route("/token", _token, methods=["POST"]),
        Route("/revoke", _revoke, methods=["POST"]),
        Route("/api/me", _me, methods=["GET"]),
        Route("/switch", _ours(_switch), methods=["POST"]),
        Route("/control", _report, methods=["GET"]),
        Route("/control", _ours(_control_by_json), methods=["POST"]),
        Route("/sandbox.css", _style, methods=["GET"]),
    ]
    app = Starlette(routes=routes)
    app.state.sandbox = Sandbox(data_file, issuer, clock, redirect_uris)
    return app


# The protocol


async def _authorize(request: Request) -> Response:
    sandbox = _sandbox(request)
    answer = await run_sync(sandbox.consent_to, _asked(request))
    if isinstance(answer, Answer):
        return _back(request, answer)
    redirect_uri, scopes = answer
    return page(
        "consent.html",
        form_targets=sandbox.redirect_origins,
        root=_root(sandbox),
        action=f"{_root(sandbox)}/authorize?{request.url.query}",
        client_id=sandbox.client_id,
        redirect_origin=_origin(redirect_uri),
        accounts=ACCOUNTS,
        scopes=[(scope, SCOPES[scope]) for scope in scopes],
    )


async def _decide(request: Request) -> Response:
    form = await request.form()
    allowed = form.get("decision") == "allow"
    account = str(form.get("account", "")) if allowed else ""
    scopes = tuple(str(scope) for scope in form.getlist("scope"))
    return _back(request, await run_sync(_sandbox(request).decide, _asked(request), account, scopes))


async def _token(request: Request) -> Response:
    return await _answer_to_client(request, _sandbox(request).issue)


async def _revoke(request: Request) -> Response:
    return await _answer_to_client(request, _sandbox(request).revoke)


async def _me(request: Request) -> Response:
    return _plain(await run_sync(_sandbox(request).me, request.headers))


def _asked(request: Request) -> Incoming:
    sandbox = _sandbox(request)
    return Incoming("GET", f"{sandbox.issuer}/authorize", request.query_params.multi_items())


async def _answer_to_client(request: Request, endpoint: Callable[[Incoming], Answer]) -> Response:
    form = _texts(await request.form())
    if len({name for name, _ in form}) < len(form):
        return _plain(repeated_parameter())
    # Behind a proxy the URL that we see is not the one that the client called; the issuer is.
    url = f"{_sandbox(request).issuer}{request.url.path}"
    return _plain(await run_sync(endpoint, Incoming("POST", url, form, request.headers)))


def _texts(form: FormData) -> list[tuple[str, str]]:
    return [(name, value) for name, value in form.multi_items() if isinstance(value, str)]


def _back(request: Request, answer: Answer) -> Response:
    """Send the browser back to the client; where it cannot be trusted to be the client's address, tell the person."""
    if answer.location is not None:
        return RedirectResponse(answer.location, 302, dict(answer.headers))
    body = answer.body if isinstance(answer.body, dict) else {}
    problem = str(body.get("error_description") or body.get("error") or "The request is not valid.")
    return page("problem.html", status=answer.status, root=_root(_sandbox(request)), problem=problem)


def _plain(answer: Answer) -> Response:
    return JSONResponse(answer.body, answer.status, dict(answer.headers))


# The switches


async def _control(request: Request) -> Response:
    sandbox = _sandbox(request)
    overview = await run_sync(sandbox.overview)
    return page(
        "control.html",
        root=_root(sandbox),
        overview=overview,
        lifetimes=sorted({*LIFETIMES, int(overview.lifetime.total_seconds())}),
        Switch=Switch,
        ClientSwitch=ClientSwitch,
    )


async def _switch(request: Request) -> Response:
    form = dict(_texts(await request.form()))
    problem = await run_sync(_apply, _sandbox(request), form)
    if problem is not None:
        return page("problem.html", status=400, root=_root(_sandbox(request)), problem=problem)
    return RedirectResponse(f"{_root(_sandbox(request))}/", 303)


async def _control_by_json(request: Request) -> Response:
    """`{"grant": id, "switch": …}`, `{"account": name, "switch": …}`, `{"client": switch}`, or `{"lifetime": seconds}`."""
    try:
        wish = await request.json()
    except json.JSONDecodeError:
        wish = None
    if not isinstance(wish, dict):
        return JSONResponse({"error": "Send one JSON object."}, 400)
    problem = await run_sync(_apply, _sandbox(request), wish)
    if problem is not None:
        return JSONResponse({"error": problem}, 400)
    return await _report(request)


async def _report(request: Request) -> Response:
    overview = await run_sync(_sandbox(request).overview)
    return JSONResponse(_as_json(overview), headers={"cache-control": "no-store"})


def _apply(sandbox: Sandbox, wish: dict[str, Any]) -> str | None:
    """Do what is wished; or say what is wrong with it."""
    match wish:
        case {"lifetime": lifetime}:
            seconds = int(lifetime) if str(lifetime).isdecimal() else 0
            if not 1 <= seconds <= _LONGEST_LIFETIME:
                return f"The lifetime must be between 1 and {_LONGEST_LIFETIME} seconds."
            sandbox.set_lifetime(timedelta(seconds=seconds))
            return None
        case {"client": str(switch)}:
            if switch not in set(ClientSwitch):
                return "The switch must be one of " + ", ".join(ClientSwitch) + "."
            sandbox.throw_for_client(ClientSwitch(switch))
            return None
        case {"grant": str(id), "switch": str(switch)}:
            return _throw(sandbox, switch, id=id)
        case {"account": str(account), "switch": str(switch)}:
            return _throw(sandbox, switch, account=account)
        case _:
            return "Name a grant or an account, and a switch; or a switch of the client; or a lifetime."


def _throw(sandbox: Sandbox, switch: str, *, id: str | None = None, account: str | None = None) -> str | None:
    if switch not in set(Switch):
        return "The switch must be one of " + ", ".join(Switch) + "."
    try:
        sandbox.throw(Switch(switch), id=id, account=account)
    except NotFound:
        return "There is no such grant."
    return None


def _as_json(overview: Overview) -> dict[str, Any]:
    return {
        "lifetime": int(overview.lifetime.total_seconds()),
        "client": {
            "id": overview.client.client_id,
            "secrets": [secret.reveal() for secret in overview.client.client_secrets],
            "disabled": overview.client.is_disabled,
        },
        "grants": [_grant_as_json(grant) for grant in overview.grants],
        "personal_tokens": {grant.account: grant.personal_token.reveal() for grant in overview.personal if grant.personal_token},
    }


def _grant_as_json(grant: Grant) -> dict[str, Any]:
    return {
        "id": grant.id,
        "kind": grant.kind,
        "account": grant.account,
        "scopes": grant.scope.split(),
        "mode": grant.mode,
        "refreshes": grant.refreshes,
    }


# Around all of them


async def _style(_: Request) -> Response:
    return FileResponse(PAGES / "sandbox.css", headers={"cache-control": "no-cache", "x-content-type-options": "nosniff"})


def _ours(handler: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
    """Refuse what another site makes a browser send here. A caller that is no browser sends neither header."""

    async def guarded(request: Request) -> Response:
        sandbox = _sandbox(request)
        site = request.headers.get("sec-fetch-site")
        from_us = site == "same-origin" if site is not None else request.headers.get("origin") in (None, sandbox.origin)
        if not from_us:
            problem = f"This came from another site. Open the sandbox at {sandbox.issuer}/ and try again there."
            return page("problem.html", status=403, root=_root(sandbox), problem=problem)
        return await handler(request)

    return guarded


def _sandbox(request: Request) -> Sandbox:
    sandbox: Sandbox = request.app.state.sandbox
    return sandbox


def _root(sandbox: Sandbox) -> str:
    return urlsplit(sandbox.issuer).path


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"

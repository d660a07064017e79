"""For whatever watches the process: `/livez`, does it run at all; `/readyz`, can it work."""

import asyncio
import logging
from datetime import timedelta
from uuid import UUID

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from api.patchbay import Patchbay
from api.routes.browser import patchbay_of
from api.vault.vault import KeyUnavailable, Place, Unreadable
from models.database import rows

logger = logging.getLogger(__name__)

_ANSWER_WITHIN_SECONDS = 2.0
# The loop wakes at least twice a minute; a tick this old means that it hangs.
_OLDEST_TICK = timedelta(minutes=2)
_CANARY = Place("canary", "canary", UUID(int=0))


def routes() -> list[BaseRoute]:
    return [Route("/livez", _livez, methods=["GET"]), Route("/readyz", _readyz, methods=["GET"])]


async def _livez(_: Request) -> Response:
    return _answer({"alive": True}, 200)


async def _readyz(request: Request) -> Response:
    patchbay = patchbay_of(request)
    database, key, tick_age = await _database_answers(), _key_works(patchbay), _tick_age(patchbay)
    locked = sorted(patchbay.vault.ring.locked)
    clock = not patchbay.replicas.clock_deviates
    ready = database and key and clock and not locked and (tick_age is None or tick_age < _OLDEST_TICK)
    seconds = None if tick_age is None else round(tick_age.total_seconds(), 1)
    told = {"ready": ready, "database": database, "key": key, "clock": clock, "keys_unavailable": locked, "skipped": patchbay.vault.skipped}
    return _answer(told | {"last_tick_age": seconds}, 200 if ready else 503)


async def _database_answers() -> bool:
    try:
        async with asyncio.timeout(_ANSWER_WITHIN_SECONDS):
            await rows("SELECT 1 AS one")
    # Whatever stops it from answering, each driver in its own words: this is the one who must tell.
    except Exception:
        logger.exception("database did not answer")
        return False
    return True


def _key_works(patchbay: Patchbay) -> bool:
    """Whether what is sealed now opens again."""
    try:
        return patchbay.vault.open(patchbay.vault.seal(b"canary", _CANARY), _CANARY) == b"canary"
    except (Unreadable, KeyUnavailable):
        return False


def _tick_age(patchbay: Patchbay) -> timedelta | None:
    """How long ago the refresh loop last looked; None where it has not yet."""
    last = patchbay.refresh_loop.last_tick_at
    return None if last is None else patchbay.clock() - last


def _answer(body: dict[str, object], status: int) -> Response:
    return JSONResponse(body, status, {"cache-control": "no-store"})

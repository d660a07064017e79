"""The process that keeps connections alive and answers nobody: the refresh loop without HTTP."""

import asyncio
import logging
import signal

from api.garbage import search_seldom
from api.opening import open_patchbay
from api.settings import Settings

logger = logging.getLogger(__name__)


async def refresh_until_stopped(settings: Settings) -> None:
    """Refresh until SIGTERM or SIGINT. The attempts that are then under way end, and are saved, before this returns."""
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    async with open_patchbay(settings, serves=False, courier=settings.courier):
        search_seldom()
        logger.info("refresh loop ready", extra={"schedule": settings.refresh_schedule})
        await stopped.wait()
        logger.info("refresh loop stops")
    logger.info("refresh loop stopped")

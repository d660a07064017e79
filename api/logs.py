"""Logs: one JSON object a line on standard error, an event each, with its fields. Control characters are escaped by JSON itself."""

import logging
import sys
from datetime import UTC, datetime
from typing import Any

from pythonjsonlogger.core import RESERVED_ATTRS
from pythonjsonlogger.json import JsonFormatter

TALKATIVE = ("aiosqlite", "asyncpg", "authlib", "tortoise")
_SERVER_LOGGERS = ("uvicorn", "uvicorn.error", "uvicorn.access")
# How the server tells of a WebSocket: by its path and query, which may hold secrets. It does so even where it keeps no log of requests.
_SOCKET_LINE = '"WebSocket %s"'


class EventFormatter(JsonFormatter):
    """`time`, `level`, `logger`, `message`, then the event's own fields."""

    def __init__(self) -> None:
        # The server adds its message a second time, in colours.
        super().__init__("%(message)s", json_ensure_ascii=True, reserved_attrs=[*RESERVED_ATTRS, "color_message"])

    def add_fields(self, log_data: dict[str, Any], record: logging.LogRecord, message_dict: dict[str, Any]) -> None:
        log_data["time"] = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        log_data["level"] = record.levelname
        log_data["logger"] = record.name
        super().add_fields(log_data, record, message_dict)


def configure_logging(level: str) -> None:
    """Send every logger of the process, the server's included, through one handler."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(EventFormatter())
    # What no line tells need not be found out for each (the logging HOWTO, "Optimization").
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging.basicConfig(level=level, handlers=[handler], force=True)
    # The interpreter's own warnings would be the only lines that are no JSON.
    logging.captureWarnings(True)
    # Their debug lines would name tokens and the values of statements, which are in no log.
    for name in TALKATIVE:
        logging.getLogger(name).setLevel(logging.INFO)
    for name in _SERVER_LOGGERS:
        logger = logging.getLogger(name)
        # Its debug lines would hold the head of every handshake of a WebSocket: path, query and token.
        logger.setLevel(logging.INFO)
        logger.addFilter(_names_no_path)
        logger.handlers.clear()
        logger.propagate = True


def _names_no_path(record: logging.LogRecord) -> bool:
    return _SOCKET_LINE not in str(record.msg)

"""Whom the process talks to, as the interpreter sees it."""

import sys
from collections.abc import Iterator
from typing import Any

import pytest

_watched: list[list[tuple[str, object]]] = []


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    if event in ("socket.connect", "socket.getaddrinfo"):
        for seen in _watched:
            seen.append((event, arguments[1] if event == "socket.connect" else arguments[0]))


# The interpreter tells of every connection and every look-up, whoever makes it. Such a hook cannot be taken away again.
sys.addaudithook(_watch)


@pytest.fixture
def outward() -> Iterator[list[tuple[str, object]]]:
    """All connections and name look-ups that this process makes during the test."""
    seen: list[tuple[str, object]] = []
    _watched.append(seen)
    yield seen
    _watched.remove(seen)

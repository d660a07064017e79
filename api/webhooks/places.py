"""How many attempts are under way, and where: the places that are left for further ones."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit
from uuid import UUID

_IN_ALL = 64
_AT_A_WEBHOOK = 4
_AT_A_HOST = 8


class Places:
    def __init__(self) -> None:
        self._webhooks: Counter[UUID] = Counter()
        self._hosts: Counter[str] = Counter()

    @property
    def free(self) -> int:
        return _IN_ALL - self._webhooks.total()

    @property
    def full_webhooks(self) -> list[UUID]:
        """Webhooks at which no further attempt begins now."""
        return [webhook_id for webhook_id, count in self._webhooks.items() if count >= _AT_A_WEBHOOK]

    def free_at(self, webhook_id: UUID, url: str) -> int:
        return max(0, min(self.free, _AT_A_WEBHOOK - self._webhooks[webhook_id], _AT_A_HOST - self._hosts[_host(url)]))

    def take(self, webhook_id: UUID, url: str) -> None:
        self._webhooks[webhook_id] += 1
        self._hosts[_host(url)] += 1

    @contextmanager
    def given_back(self, webhook_id: UUID, url: str) -> Iterator[None]:
        """Give a place back at the end."""
        try:
            yield
        finally:
            self._webhooks[webhook_id] -= 1
            self._hosts[_host(url)] -= 1
            # Zeros are forgotten, or there would be one for each webhook that ever was.
            self._webhooks, self._hosts = +self._webhooks, +self._hosts


def _host(url: str) -> str:
    return urlsplit(url).netloc.lower()

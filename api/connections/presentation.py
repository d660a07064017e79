"""How a credential goes along with a call to its provider."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from urllib.parse import quote

from api.outbound.http import OutboundRequest


@dataclass(frozen=True, slots=True)
class Presentation:
    """What goes along with every call. Any of it may be secret."""

    # Of the connector: what a call says itself goes before.
    headers: Mapping[str, str] = field(repr=False)
    # The credential goes before everything.
    credential_headers: Mapping[str, str] = field(repr=False)
    query: Mapping[str, str] = field(repr=False)

    @property
    def all_headers(self) -> dict[str, str]:
        return {**self.headers, **self.credential_headers}

    def put_into(self, request: OutboundRequest) -> OutboundRequest:
        """The request with all of it, unsigned."""
        url = request.url
        for name, value in self.query.items():
            url += ("&" if "?" in url else "?") + f"{quote(name, safe='')}={quote(value, safe='')}"
        return replace(request, url=url, headers={**self.headers, **request.headers, **self.credential_headers})

"""The few pages that people see. Names, provider texts and addresses in them may be hostile.

So everything is escaped, no script stands in a page, a page sits in no frame, no address of ours is told to other sites (a callback's
holds a code), nothing is kept in a cache, and a window that opened a page cannot reach into it.
"""

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.responses import HTMLResponse

if TYPE_CHECKING:
    from jinja2 import Environment

PAGE_POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self' data:; script-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)

_HEADERS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
    "cross-origin-opener-policy": "same-origin",
}
_LONGEST_PROVIDER_TEXT = 200


def render(template: str, *, status: int = 200, policy: str = PAGE_POLICY, **values: Any) -> HTMLResponse:
    """A page, with the headers that keep it to itself. `viewer` is the name of who is signed in."""
    html = _templates().get_template(template).render({"viewer": None, **values})
    return HTMLResponse(html, status, _HEADERS | {"content-security-policy": policy})


@cache
def _templates() -> "Environment":
    # Many installations show no page, and the first one waits 15 ms for this.
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    return Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def shortened(text: str) -> str:
    """A text that a provider wrote, no longer than a person reads."""
    return text if len(text) <= _LONGEST_PROVIDER_TEXT else text[: _LONGEST_PROVIDER_TEXT - 1] + "…"

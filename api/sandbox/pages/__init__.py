"""The sandbox's pages. They look different from Patchbay's on purpose: this is the other side."""

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.responses import HTMLResponse

if TYPE_CHECKING:
    from jinja2 import Environment

PAGES = Path(__file__).parent


def page(template: str, *, status: int = 200, form_targets: tuple[str, ...] = (), **values: Any) -> HTMLResponse:
    """A page that runs no script and sits in no frame.

    `form_targets` are the origins besides our own where a form may end: browsers hold the redirects after a form to the policy too.
    """
    targets = " ".join(("'self'", *form_targets))
    policy = f"default-src 'none'; style-src 'self'; img-src 'self' data:; form-action {targets}; frame-ancestors 'none'; base-uri 'none'"
    headers = {
        "content-security-policy": policy,
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
        "cache-control": "no-store",
        "cross-origin-opener-policy": "same-origin",
    }
    return HTMLResponse(_templates().get_template(template).render(values), status, headers)


@cache
def _templates() -> "Environment":
    # The first page waits 15 ms for this, and no start does.
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    return Environment(loader=FileSystemLoader(PAGES), autoescape=True, undefined=StrictUndefined)

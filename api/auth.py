"""Who is asking: how a session cookie is named."""


def session_cookie_name(public_url: str) -> str:
    """The browser holds a `__Host-` cookie to this host, this path and https; without https there is no such promise to be had."""
    return "__Host-patchbay-session" if public_url.startswith("https://") else "patchbay-session"

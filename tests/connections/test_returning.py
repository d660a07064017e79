"""Where a browser may be sent once a consent is over."""

import pytest

from api.connections.consent import Addresses

ADDRESSES = Addresses("https://patchbay.example", frozenset({"https://app.example", "http://localhost:3000", "https://app.example:8443"}))

ALLOWED = [
    "https://patchbay.example",
    "https://patchbay.example/",
    "https://patchbay.example/done?connection=1#top",
    "HTTPS://patchbay.example/",
    "https://app.example",
    "https://app.example?next=/",
    "https://app.example#done",
    "https://app.example/a/../b",
    "https://app.example/https://evil.example",
    "https://app.example/?to=//evil.example",
    "https://app.example/@evil.example",
    "https://app.example:8443/done",
    "http://localhost:3000/done",
]

REFUSED = [
    "",
    "/",
    "/done",
    "done",
    "//app.example",
    "//evil.example",
    "///evil.example",
    "https:",
    "https://",
    "https:///app.example",
    "https:app.example",
    "https:/app.example",
    "https://evil.example",
    "https://app.example.evil.example",
    "https://evil.example/https://app.example",
    "https://app.example@evil.example",
    "https://app.example:pass@evil.example/",
    "https://user@app.example/",
    "https://@app.example/",
    "https://app.example:443/",
    "https://app.example:",
    "https://app.example:8444/",
    "https://app.example:x/",
    "https://app.example.",
    "https://APP.example/",
    "https://sub.app.example/",
    "https://appxexample/",
    "http://app.example/",
    "http://patchbay.example/",
    "http://localhost/",
    "http://127.0.0.1:3000/",
    "ftp://app.example/",
    "javascript:alert(1)",
    "javascript://app.example/%0aalert(1)",
    "data:text/html,x",
    "file:///etc/passwd",
    "https://app.example\\@evil.example",
    "https:\\\\app.example",
    "https://evil.example\\.app.example",
    "https://app.example\t/",
    "https://app.example/\r\nSet-Cookie: a=b",
    "\nhttps://app.example/",
    " https://app.example/",
    "https://app.example/a b",
    "https://app.example\0/",
    "https://app.example\u2028/",
    "https://app．example/",
    "https://äpp.example/",
    "https://[app.example]/",
    "https://[::1/",
    "https://%61pp.example/",
    "*",
    "null",
]


@pytest.mark.parametrize("url", ALLOWED)
def test_a_browser_returns_to_our_own_origin_and_to_those_on_the_list(url: str) -> None:
    assert ADDRESSES.allows_return_to(url)


@pytest.mark.parametrize("url", REFUSED)
def test_a_browser_returns_nowhere_else(url: str) -> None:
    assert not ADDRESSES.allows_return_to(url)


def test_without_a_list_only_our_own_origin_is_left() -> None:
    alone = Addresses("http://localhost:8000")

    assert alone.allows_return_to("http://localhost:8000/done")
    assert not alone.allows_return_to("https://app.example/")
    assert not alone.allows_return_to("https://localhost:8000/done")


@pytest.mark.parametrize("key", ["a/b", "../x", "a?b", "a#b", "a%2Fb", "ä"])
def test_a_callback_belongs_to_one_connector_whatever_its_key(key: str) -> None:
    uri = ADDRESSES.redirect_uri(key)

    prefix = "https://patchbay.example/provisioning_/callback/"
    assert uri.startswith(prefix)
    assert not set("/?#") & set(uri.removeprefix(prefix))

from types import SimpleNamespace
from typing import Any

import pytest

from api.pages import render, shortened
from tests.pages.hostile import HOSTILE, Elements

RETURN_URL = "https://app.example/done"


def _connection(text: str) -> Any:
    return SimpleNamespace(name=text, account=text, missing_scopes=[text])


PAGES: dict[str, Any] = {
    "sign_in.html": lambda text: {"link": "", "next": text, "problem": text, "identity_url": None, "signed_out_url": None},
    "sign_in.html with a provider": lambda text: {"link": "", "next": text, "problem": text, "identity_url": text, "signed_out_url": text},
    "sign_in.html with a link": lambda text: {"link": text, "next": text, "problem": None},
    "onward.html": lambda text: {"next": text},
    "home.html": lambda text: {"viewer": text, "sandbox": True},
    "connected.html": lambda text: {"viewer": text, "connector": text, "connection": _connection(text), "return_url": text},
    "not_connected.html": lambda text: {
        "viewer": text,
        "connector": text,
        "denied": False,
        "message": text,
        "remedy": text,
        "provider_error": text,
        "return_url": text,
    },
    "asked.html": lambda text: {
        "viewer": text,
        "asked": SimpleNamespace(by=text, connector=text, folder=text),
        "until": "12:00 UTC",
        "token": text,
    },
    "error.html": lambda text: {"viewer": text, "title": text, "message": text, "remedy": text},
    "playground.html": lambda text: {"viewer": text, "sandbox": True},
}


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_makes_no_new_element_and_no_new_attribute(page: str, text: str) -> None:
    def elements(value: str) -> list[tuple[str, tuple[str, ...]]]:
        return Elements(bytes(render(page.split()[0], **PAGES[page](value)).body).decode()).found

    assert elements(text) == elements("harmless")


@pytest.mark.parametrize("page", PAGES)
def test_every_page_keeps_to_itself(page: str) -> None:
    response = render(page.split()[0], **PAGES[page]("text"))

    policy = response.headers["content-security-policy"]
    for rule in ("default-src 'none'", "style-src 'self'", "form-action 'self'", "frame-ancestors 'none'", "base-uri 'none'"):
        assert rule in policy
    assert "unsafe" not in policy
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["referrer-policy"] == "no-referrer"
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["cross-origin-opener-policy"] == "same-origin"


@pytest.mark.parametrize("page", PAGES)
def test_no_page_holds_a_script_or_a_style_of_its_own(page: str) -> None:
    html = bytes(render(page.split()[0], **PAGES[page]("text")).body).decode()

    elements = Elements(html).found
    assert all("src" in names for tag, names in elements if tag == "script")
    assert not [tag for tag, _ in elements if tag == "style"]
    assert not [name for _, names in elements for name in names if name == "style" or name.startswith("on")]
    assert "//" not in html.replace("http://www.w3.org", "").replace(RETURN_URL, "")


def test_a_success_without_a_return_url_closes_itself() -> None:
    values = {"connector": "Sandbox", "connection": _connection("alex")}

    closing = bytes(render("connected.html", return_url=None, **values).body).decode()
    returning = bytes(render("connected.html", return_url=RETURN_URL, **values).body).decode()

    assert '<script src="/static/close.js" defer>' in closing
    assert "http-equiv" not in closing
    assert f'<meta http-equiv="refresh" content="1; url={RETURN_URL}">' in returning
    assert "close.js" not in returning


def test_what_a_provider_wrote_is_cut_at_200_characters() -> None:
    assert shortened("x" * 200) == "x" * 200
    assert shortened("x" * 201) == "x" * 199 + "…"

from xml.etree import ElementTree

import pytest

from tests.routes.site import Site

pytestmark = pytest.mark.anyio


async def test_a_connector_has_a_picture_with_its_initials(site: Site) -> None:
    answer = await site.browser().get("/connectors/google-sheets.svg")

    picture = ElementTree.fromstring(answer.text)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("image/svg+xml")
    assert answer.headers["content-security-policy"] == "default-src 'none'"
    assert [element.text for element in picture if element.text] == ["Google Sheets", "GS"]


@pytest.mark.parametrize("key", ["nothing", "..", "%2e%2e", "a" * 300])
async def test_what_is_no_connector_has_no_picture(site: Site, key: str) -> None:
    assert (await site.browser().get(f"/connectors/{key}.svg")).status_code == 404

"""`patchbay connectors`: the catalogue on the command line."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from api.cli import main
from tests.catalog.test_mistakes import GOOD


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["connectors", *arguments])


@pytest.fixture
def acme(tmp_path: Path) -> Path:
    file = tmp_path / "acme.toml"
    file.write_text(GOOD)
    return file


def test_list_shows_every_connector_with_its_ways_and_what_it_rests_on() -> None:
    result = run("list")

    lines = result.output.splitlines()
    assert result.exit_code == 0
    assert lines[0].split() == ["KEY", "NAME", "CATEGORY", "RESTS", "ON", "WAYS", "TO", "AUTHENTICATE", "(VERIFIED", "BY)"]
    assert lines[-1].startswith("151 connectors, ")
    (slack,) = [line for line in lines if line.startswith("slack ")]
    assert "vendor" in slack
    assert slack.endswith("consent (request), personal_access_token (request), user_consent (request)")
    (act,) = [line for line in lines if line.startswith("act-365 ")]
    assert "unconfirmed" in act


def test_list_may_be_narrowed_and_shows_a_folder_of_ones_own(acme: Path) -> None:
    result = run("list", "--folder", str(acme.parent), "--search", "acme")

    assert [line.split()[0] for line in result.output.splitlines()] == ["KEY", "acme", "1"]


def test_list_of_a_folder_with_a_mistake_tells_it(acme: Path) -> None:
    acme.write_text(GOOD.replace('category = "dev"', "category = 1"))

    result = run("list", "--folder", str(acme.parent))

    assert result.exit_code == 78
    assert "acme.toml: category: must be a text" in result.stderr
    assert result.stdout == ""


def test_check_says_that_a_file_is_well(acme: Path) -> None:
    result = run("check", str(acme))

    assert (result.exit_code, result.stdout) == (0, "acme.toml is well: consent (request), api_key (request).\n")


def test_check_tells_every_mistake_of_every_file(acme: Path) -> None:
    other = acme.with_name("other.toml")
    other.write_text("name = ")
    acme.write_text(GOOD.replace('category = "dev"', "category = 1\nwrong = 2"))

    result = run("check", str(acme), str(other))

    assert result.exit_code == 1
    assert result.stderr.splitlines() == [
        "acme.toml: category: must be a text",
        "acme.toml: wrong: is not a key of this table",
        "other.toml: is not TOML: Invalid value (at end of document)",
    ]


def test_check_of_a_file_that_is_not_there_is_a_wrong_call(tmp_path: Path) -> None:
    assert run("check", str(tmp_path / "none.toml")).exit_code == 2

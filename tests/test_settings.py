"""The settings: read once, and only right ones."""

from pathlib import Path

import pytest

from api.errors import InvalidSettings
from api.settings import Settings
from api.variables import VARIABLES

README = Path(__file__).parent.parent / "README.md"


def problems_of(**environment: str) -> list[str]:
    with pytest.raises(InvalidSettings) as refusal:
        Settings.from_environment({f"PATCHBAY_{name}": value for name, value in environment.items()})
    return refusal.value.problems


def test_without_any_variable_it_is_the_local_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    settings = Settings.from_environment({"HOME": "/home/ada"})

    assert settings.is_local_default
    assert settings.sandbox
    assert settings.database_url.reveal() == f"sqlite://{tmp_path}/.patchbay/patchbay.db"
    assert settings.public_url == "http://127.0.0.1:8000"
    assert not (tmp_path / ".patchbay").exists()


def test_an_unknown_variable_is_refused_with_the_one_that_may_be_meant() -> None:
    assert problems_of(PUBLIC_ULR="http://localhost") == ["PATCHBAY_PUBLIC_ULR is not a setting. Is PATCHBAY_PUBLIC_URL meant?"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "0"),
        ("PORT", "65536"),
        ("PORT", "٨٠"),
        ("PUBLIC_URL", "http://patchbay.example.com"),
        ("PUBLIC_URL", "https://patchbay.example.com/path"),
        ("PUBLIC_URL", "https://ada@patchbay.example.com"),
        ("PUBLIC_URL", "patchbay.example.com"),
        ("SANDBOX", "yes"),
        ("DATABASE_URL", "mysql://host/name"),
        ("EGRESS_ALLOW", "http://intranet"),
        ("EGRESS_CA_FILE", "/nowhere"),
        ("RETURN_ORIGINS", "https://app.example.com/"),
        ("CONNECTORS_FOLDER", "/nowhere"),
        ("INSTALLED_CONNECTORS", " , "),
        ("INSTALLED_CONNECTORS", "github,Not A Key"),
        ("REFRESH_SCHEDULE", "* * * * *"),
        ("REFRESH_SCHEDULE", "61 * * * * *"),
        ("REFRESH_CONCURRENCY", "-1"),
        ("LOG_LEVEL", "LOUD"),
        ("ALLOWED_HOSTS", "https://patchbay.internal"),
        ("ALLOWED_HOSTS", "patchbay.internal:8000"),
        ("TRUSTED_PROXIES", "10.0.0.1/8"),
        ("TRUSTED_PROXIES", "proxy.internal"),
        ("REQUEST_RATE", "0"),
        ("SIGN_IN_RATE", "many"),
    ],
)
def test_a_wrong_value_names_its_variable_and_what_it_accepts(name: str, value: str) -> None:
    accepts = next(variable.accepts for variable in VARIABLES if variable.name == name)

    (problem,) = problems_of(**{name: value})

    assert problem.startswith(f"PATCHBAY_{name} ")
    assert problem.endswith(f"it accepts {accepts}.")


def test_of_an_identity_provider_issuer_and_client_are_needed_together() -> None:
    assert problems_of(OIDC_ISSUER="https://issuer.example") == ["PATCHBAY_OIDC_CLIENT_ID is needed together with PATCHBAY_OIDC_ISSUER."]
    assert problems_of(OIDC_CLIENT_SECRET="hush", OIDC_GROUPS_CLAIM="roles") == [
        "PATCHBAY_OIDC_ISSUER is needed together with PATCHBAY_OIDC_CLIENT_SECRET.",
        "PATCHBAY_OIDC_CLIENT_ID is needed together with PATCHBAY_OIDC_CLIENT_SECRET.",
    ]


@pytest.mark.parametrize(
    "issuer",
    [
        "",
        "issuer.example",
        "ftp://issuer.example",
        "https://ada@issuer.example",
        "https://issuer.example/?a=b",
        "https://issuer.example/#a",
        "https://issuer.example/ x",
        "https://issuer.example/" + "x" * 256,
    ],
)
def test_an_issuer_is_a_plain_url(issuer: str) -> None:
    (problem,) = problems_of(OIDC_ISSUER=issuer, OIDC_CLIENT_ID="patchbay")

    assert problem.startswith("PATCHBAY_OIDC_ISSUER is no issuer; it accepts ")


def test_issuer_and_client_id_alone_are_enough() -> None:
    settings = Settings.from_environment({"PATCHBAY_OIDC_ISSUER": "https://issuer.example/tenant/", "PATCHBAY_OIDC_CLIENT_ID": "patchbay"})

    assert (settings.oidc_issuer, settings.oidc_client_id) == ("https://issuer.example/tenant/", "patchbay")
    assert (settings.oidc_audience, settings.oidc_groups_claim) == ("patchbay", "groups")
    assert (settings.oidc_client_secret, settings.oidc_administrator_group) == (None, None)


def test_all_problems_are_told_at_once() -> None:
    assert len(problems_of(PORT="x", SANDBOX="x", NONSENSE="x")) == 3


@pytest.mark.parametrize(
    "beyond",
    [
        {"DATABASE_URL": "postgres://ada:hush@db.example.com/patchbay"},
        {"PUBLIC_URL": "https://patchbay.example.com"},
        {"HOST": "0.0.0.0"},
    ],
)
def test_anything_but_the_local_default_needs_a_key_from_the_operator(beyond: dict[str, str]) -> None:
    (problem,) = problems_of(**beyond)

    assert "patchbay keys generate" in problem
    assert "hush" not in problem


def test_a_secret_may_come_from_a_file_and_not_from_both(tmp_path: Path) -> None:
    file = tmp_path / "url"
    file.write_text("postgres://ada:hush@db/patchbay\n")
    environment = {"PATCHBAY_DATABASE_URL_FILE": str(file), "PATCHBAY_KEY_FILE": str(file)}

    assert Settings.from_environment(environment).database_url.reveal() == "postgres://ada:hush@db/patchbay"
    assert problems_of(DATABASE_URL_FILE=str(file), DATABASE_URL="sqlite:///x") == [
        "PATCHBAY_DATABASE_URL and PATCHBAY_DATABASE_URL_FILE are both set; set one of them."
    ]


def test_settings_print_no_secret() -> None:
    settings = Settings.from_environment({"PATCHBAY_DATABASE_URL": "postgres://ada:hush@db/x", "PATCHBAY_KEYS": "k1:hush"})

    assert "hush" not in repr(settings)


def test_the_readme_lists_every_variable_as_the_code_has_it() -> None:
    rows = ["| Variable | Accepts | Default | Meaning |", "|---|---|---|---|"]
    rows += [
        f"| `{variable.full_name}` | {variable.accepts} | {variable.default or 'none'} | {variable.meaning} |" for variable in VARIABLES
    ]

    table = README.read_text().partition("<!-- settings -->\n")[2].partition("<!-- /settings -->")[0]

    assert table == "\n".join(rows) + "\n"

"""The settings, read once from the environment. Nothing else reads it.

Every variable begins with PATCHBAY_. A secret one may come from a file instead: PATCHBAY_KEYS_FILE names a file that holds what
PATCHBAY_KEYS would.
"""

import difflib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote, urlsplit

from api.errors import InvalidSettings
from api.proxies import Network
from api.secret import Secret
from api.variables import LOOPBACK, PREFIX, VARIABLES


@dataclass(frozen=True, slots=True)
class Settings:
    data_folder: Path
    database_url: Secret
    host: str
    port: int
    public_url: str
    key_file: Path | None
    keys: Secret | None
    sandbox: bool
    playground: bool
    egress_allow: frozenset[str]
    egress_ca_file: Path | None
    return_origins: frozenset[str]
    allowed_origins: frozenset[str]
    connectors_folder: Path | None
    # None: all.
    installed_connectors: frozenset[str] | None
    refresh_schedule: str
    refresh_concurrency: int
    log_level: str
    # Whether `serve` has a courier beside it.
    courier: bool = True
    # In megabytes, of each of the two files of its journal; None: as many as exchanges at once need.
    courier_journal: int | None = None
    # None: the audit log is kept for good.
    audit_retention: timedelta | None = None
    # Of each OAuth app at each host, and of each host.
    provider_rate: int = 20
    provider_concurrency: int = 8
    # Of calls through the proxy, of each connection: a second, and at once.
    proxy_rate: int = 100
    proxy_concurrency: int = 32
    # A second for each user, and a minute for each address.
    request_rate: int = 200
    sign_in_rate: int = 600
    trusted_proxies: frozenset[Network] = frozenset()
    allowed_hosts: frozenset[str] = frozenset()
    # None: people sign in without an identity provider.
    oidc_issuer: str | None = None
    oidc_client_id: str | None = None
    oidc_client_secret: Secret | None = None
    oidc_audience: str | None = None
    oidc_groups_claim: str = "groups"
    oidc_administrator_group: str | None = None
    # None: no master key is in a transit engine.
    transit_url: str | None = None
    transit_token: Secret | None = None

    @property
    def sandbox_url(self) -> str:
        return f"{self.public_url}/sandbox"

    @property
    def is_local_default(self) -> bool:
        """SQLite, for this machine alone: the one case in which Patchbay makes its key itself."""
        bound = self.host in LOOPBACK
        return bound and _is_loopback(self.public_url) and self.database_url.reveal().startswith("sqlite:")

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Read the settings. Raises InvalidSettings with everything that is wrong, without repeating a secret."""
        texts, problems = _texts(environment)
        values: dict[str, Any] = {}
        for variable in VARIABLES:
            try:
                values[variable.name] = variable.read(texts[variable.name]) if variable.name in texts else None
            except ValueError as error:
                problems.append(f"{variable.full_name} {error}; it accepts {variable.accepts}.")
        problems += _identity_problems(texts)
        if problems:
            raise InvalidSettings(problems)
        settings = cls._complete(values)
        if settings.keys is None and settings.key_file is None and not settings.is_local_default:
            raise InvalidSettings([_NO_KEY])
        return settings

    @classmethod
    def _complete(cls, values: Mapping[str, Any]) -> Self:
        """Fill in what follows from other settings."""

        def given(name: str, default: Any) -> Any:
            return default if values[name] is None else values[name]

        data_folder: Path = given("DATA_FOLDER", Path(".patchbay").absolute())
        port: int = given("PORT", 8000)
        settings = cls(
            data_folder=data_folder,
            database_url=given("DATABASE_URL", Secret(f"sqlite://{quote(str(data_folder / 'patchbay.db'))}")),
            host=given("HOST", "127.0.0.1"),
            port=port,
            public_url=given("PUBLIC_URL", f"http://127.0.0.1:{port}"),
            key_file=values["KEY_FILE"],
            keys=values["KEYS"],
            sandbox=False,
            playground=given("PLAYGROUND", True),
            egress_allow=given("EGRESS_ALLOW", frozenset()),
            egress_ca_file=values["EGRESS_CA_FILE"],
            return_origins=given("RETURN_ORIGINS", frozenset()),
            allowed_origins=given("ALLOWED_ORIGINS", frozenset()),
            connectors_folder=values["CONNECTORS_FOLDER"],
            installed_connectors=values["INSTALLED_CONNECTORS"],
            refresh_schedule=given("REFRESH_SCHEDULE", "*/5 * * * * *"),
            refresh_concurrency=given("REFRESH_CONCURRENCY", 64),
            provider_rate=given("PROVIDER_RATE", 20),
            provider_concurrency=given("PROVIDER_CONCURRENCY", 8),
            proxy_rate=given("PROXY_RATE", 100),
            proxy_concurrency=given("PROXY_CONCURRENCY", 32),
            request_rate=given("REQUEST_RATE", 200),
            sign_in_rate=given("SIGN_IN_RATE", 600),
            trusted_proxies=given("TRUSTED_PROXIES", frozenset()),
            allowed_hosts=given("ALLOWED_HOSTS", frozenset()),
            log_level=given("LOG_LEVEL", "INFO"),
            courier=given("COURIER", True),
            courier_journal=values["COURIER_JOURNAL"],
            audit_retention=None if values["AUDIT_DAYS"] is None else timedelta(days=values["AUDIT_DAYS"]),
            oidc_issuer=values["OIDC_ISSUER"],
            oidc_client_id=values["OIDC_CLIENT_ID"],
            oidc_client_secret=values["OIDC_CLIENT_SECRET"],
            oidc_audience=given("OIDC_AUDIENCE", values["OIDC_CLIENT_ID"]),
            oidc_groups_claim=given("OIDC_GROUPS_CLAIM", "groups"),
            oidc_administrator_group=values["OIDC_ADMINISTRATOR_GROUP"],
            transit_url=values["TRANSIT_URL"],
            transit_token=values["TRANSIT_TOKEN"],
        )
        # On the local default people try things out.
        return replace(settings, sandbox=given("SANDBOX", settings.is_local_default))


_NO_KEY = (
    "PATCHBAY_KEY_FILE or PATCHBAY_KEYS is needed: Patchbay makes a master key by itself only for SQLite on this machine alone. "
    "Make one with `patchbay keys generate --file FILE`, keep it apart from the database and its backups, and set PATCHBAY_KEY_FILE to it."
)


def _texts(environment: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """The values that were given, by name without prefix, and what is wrong with how they were given."""
    names = {variable.full_name: variable for variable in VARIABLES}
    files = {f"{variable.full_name}_FILE": variable for variable in VARIABLES if variable.secret}
    texts: dict[str, str] = {}
    problems: list[str] = []
    for name in sorted(key for key in environment if key.startswith(PREFIX)):
        variable = names.get(name) or files.get(name)
        if variable is None:
            near = difflib.get_close_matches(name, [*names, *files], n=1)
            problems.append(f"{name} is not a setting." + (f" Is {near[0]} meant?" if near else ""))
        elif variable.name in texts:
            problems.append(f"{variable.full_name} and {variable.full_name}_FILE are both set; set one of them.")
        elif name in files:
            try:
                texts[variable.name] = Path(environment[name]).read_text().strip()
            except (OSError, UnicodeDecodeError):
                problems.append(f"{name} names a file that cannot be read.")
        else:
            texts[variable.name] = environment[name]
    return texts, problems


def _identity_problems(given: Collection[str]) -> list[str]:
    """What is missing of the identity provider's settings, where there is one of them."""
    named = sorted(name for name in given if name.startswith("OIDC_"))
    missing = [name for name in ("OIDC_ISSUER", "OIDC_CLIENT_ID") if name not in named]
    return [f"{PREFIX}{name} is needed together with {PREFIX}{named[0]}." for name in missing] if named else []


def _is_loopback(url: str) -> bool:
    return urlsplit(url).hostname in LOOPBACK

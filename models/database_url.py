from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Self
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

Dialect = Literal["sqlite", "postgresql"]

# What may follow the question mark of a PostgreSQL URL, and how asyncpg calls it.
_POSTGRESQL_OPTIONS = {"host": "host", "sslmode": "ssl", "application_name": "application_name"}


class InvalidDatabaseUrl(ValueError):
    """The URL of a database cannot be used. Never repeats the URL, which may hold a password."""


@dataclass(frozen=True, slots=True)
class DatabaseUrl:
    """Where the database is: `sqlite:///absolute/path.db` or `postgres://user:password@host:port/name`.

    Prints without the password. A PostgreSQL URL may end with `?host=/socket/folder`, `sslmode=` and `application_name=`.
    """

    dialect: Dialect
    shown: str
    # As the client of the dialect takes them.
    credentials: dict[str, Any] = field(repr=False)

    @classmethod
    def parse(cls, url: str) -> Self:
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            # Not chained: the text of the cause repeats the URL.
            raise InvalidDatabaseUrl("the database URL cannot be read; are special characters of the password percent-encoded?") from None
        match parts.scheme:
            case "sqlite":
                return cls._sqlite(parts)
            case "postgres" | "postgresql":
                return cls._postgresql(parts, port or 5432)
        raise InvalidDatabaseUrl("a database URL begins with sqlite:// or postgres://")

    @classmethod
    def _sqlite(cls, parts: SplitResult) -> Self:
        path = unquote(parts.path)
        if parts.netloc or not path.startswith("/") or path.endswith("/"):
            raise InvalidDatabaseUrl(
                "the URL of an SQLite database names an absolute path, after three slashes: sqlite:///var/lib/patchbay.db"
            )
        if parts.query or parts.fragment:
            raise InvalidDatabaseUrl("the URL of an SQLite database takes no options")
        return cls("sqlite", f"sqlite://{path}", {"file_path": path})

    @classmethod
    def _postgresql(cls, parts: SplitResult, port: int) -> Self:
        name = unquote(parts.path[1:])
        if not name:
            raise InvalidDatabaseUrl("the URL of a PostgreSQL database ends with its name: postgres://user:password@host:5432/name")
        options = dict(parse_qsl(parts.query))
        if unknown := sorted(options.keys() - _POSTGRESQL_OPTIONS):
            raise InvalidDatabaseUrl(f"unknown options of the database URL: {', '.join(unknown)}")
        credentials = {
            "user": unquote(parts.username) if parts.username else None,
            "password": unquote(parts.password) if parts.password else None,
            "host": parts.hostname,
            "port": port,
            "database": name,
        } | {_POSTGRESQL_OPTIONS[option]: value for option, value in options.items()}
        return cls("postgresql", f"postgres://{credentials['user'] or ''}@{credentials['host'] or ''}:{port}/{name}", credentials)

    @property
    def file(self) -> Path:
        """The file of an SQLite database."""
        return Path(self.credentials["file_path"])

    def __str__(self) -> str:
        return self.shown

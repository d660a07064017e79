"""All that can be connected: read from one TOML file a connector, and besides, connectors that somebody here made."""

import re
import tomllib
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Self

from api.catalog.connector import Connector, ConnectorStage
from api.catalog.kept import kept
from api.catalog.reading import read_connector
from api.catalog.search import found, said_of
from api.catalog.table import Mistake, Mistakes, Table
from api.errors import NotFound, StartRefused
from models import AuthenticationType

CONNECTORS = Path(__file__).parent / "connectors"

KEY = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")


class CatalogMistakes(StartRefused):
    def __init__(self, mistakes: Sequence[Mistake]) -> None:
        super().__init__("The catalogue has mistakes:\n" + "\n".join(f"  {mistake}" for mistake in mistakes), "Correct these files.")
        self.mistakes = tuple(mistakes)


class Catalog:
    """Connectors by key, ordered by name.

    Those of one's own have versions: the newest is the one that is offered, and a connection keeps the one that it was made with. Where
    one has the key of a file, it is the one of one's own that is offered: connections were made with it, and go on with it.
    """

    def __init__(self, connectors: Iterable[Connector]) -> None:
        self._files = {connector.key: connector for connector in connectors}
        self._versions: dict[tuple[str, int | None], Connector] = {}
        self._look_again: Callable[[], Awaitable[None]] | None = None
        self.adopt(())

    @classmethod
    def load(cls, *folders: Path, constants: Mapping[str, str] | None = None) -> Self:
        """Read every file in these folders; one that requires a constant which is not given is checked, and left out.

        Raises CatalogMistakes with all mistakes of all files.
        """
        given = constants or {}
        mistakes = [Mistake(str(folder), "", "is not a folder") for folder in folders if not folder.is_dir()]
        files: dict[str, Path] = {}
        readings: list[Reading] = []
        for folder in folders:
            readings += kept(folder, partial(_read_folder, folder)) if folder == CONNECTORS else _read_folder(folder)
        for reading in readings:
            if (other := files.setdefault(reading.file.stem, reading.file)) is not reading.file:
                mistakes.append(Mistake(reading.file.name, "", f"the key “{reading.file.stem}” is taken by {other}"))
            mistakes += reading.mistakes
        if mistakes:
            raise CatalogMistakes(mistakes)
        return cls(reading.offered(given) for reading in readings if reading.requires <= given.keys())

    def adopt(self, own: Iterable[Connector]) -> None:
        """Have these connectors of one's own, each in every version that there is, and no others."""
        self._versions = {(connector.key, connector.version): connector for connector in own}
        newest: dict[str, Connector] = {}
        for connector in sorted(self._versions.values(), key=lambda each: each.version or 0):
            newest[connector.key] = connector
        self._by_key = self._files | newest
        self.all = tuple(sorted(self._by_key.values(), key=lambda connector: (connector.name.casefold(), connector.key)))
        self._said: dict[str, str] | None = None

    def follow(self, look_again: Callable[[], Awaitable[None]]) -> None:
        """Whom to ask for a connector of one's own that is not here: it may have been made a moment ago, by another process."""
        self._look_again = look_again

    @property
    def shadowed(self) -> frozenset[str]:
        """Keys of files that are not offered, because a connector of one's own has the same."""
        return frozenset(self._files) & {key for key, _ in self._versions}

    def get(self, key: str) -> Connector:
        """As `find`. Raises NotFound."""
        connector = self.find(key)
        if connector is None:
            raise NotFound("connector")
        return connector

    def find(self, key: str) -> Connector | None:
        """The connector as it is offered now."""
        return self._by_key.get(key)

    def find_version(self, key: str, version: int | None) -> Connector | None:
        """The connector as somebody keeps it who began with this version; None: with the one of the file."""
        return self._files.get(key) if version is None else self._versions.get((key, version))

    def find_file(self, key: str) -> Connector | None:
        return self._files.get(key)

    async def look_up(self, key: str) -> Connector:
        """As `find`, also of what was made a moment ago. Raises NotFound."""
        if self.find(key) is None and self._look_again is not None:
            await self._look_again()
        return self.get(key)

    async def look_up_version(self, key: str, version: int | None) -> Connector | None:
        """As `find_version`, also of what was made a moment ago."""
        found = self.find_version(key, version)
        if found is None and version is not None and self._look_again is not None:
            await self._look_again()
            found = self.find_version(key, version)
        return found

    def search(
        self,
        text: str | None = None,
        category: str | None = None,
        stage: ConnectorStage | None = None,
        authentication_type: AuthenticationType | None = None,
    ) -> tuple[Connector, ...]:
        """The connectors that are all of this, ordered by name."""
        if self._said is None:
            self._said = {connector.key: said_of(connector) for connector in self.all}
        meant = None if text is None else found(text, self._said)
        return tuple(
            connector
            for connector in self.all
            if (meant is None or connector.key in meant)
            and category in (None, connector.category)
            and stage in (None, connector.stage)
            and (authentication_type is None or connector.find_option(authentication_type) is not None)
        )


@dataclass(frozen=True, slots=True)
class Reading:
    """What one file says; a connector where it is TOML at all."""

    file: Path
    connector: Connector | None
    requires: frozenset[str]
    mistakes: tuple[Mistake, ...]

    def offered(self, constants: Mapping[str, str]) -> Connector:
        """The connector with the constants of this installation. Only for files without mistakes."""
        assert self.connector is not None
        return replace(self.connector, constants={name: constants[name] for name in self.requires})


def read_file(file: Path) -> Reading:
    """Read a connector file and check it. Raises OSError where it cannot be read."""
    mistakes = Mistakes(file.name)
    if KEY.fullmatch(file.stem) is None:
        mistakes.add("", "the name of the file is the connector's key: lower case, digits and hyphens, up to 64")
    try:
        root = Table(tomllib.loads(file.read_text(encoding="utf-8")), mistakes)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        mistakes.add("", f"is not TOML: {error}")
        return Reading(file, None, frozenset(), tuple(mistakes))
    connector = read_connector(file.stem, root)
    root.complain_about_the_rest()
    return Reading(file, connector, frozenset(root.texts("requires")), tuple(mistakes))


def _read_folder(folder: Path) -> list[Reading]:
    return [read_file(file) for file in sorted(folder.glob("*.toml"))]

"""All that can be connected, read from one TOML file a connector."""

import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
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
    """Connectors by key, ordered by name."""

    def __init__(self, connectors: Iterable[Connector]) -> None:
        self.all = tuple(sorted(connectors, key=lambda connector: (connector.name.casefold(), connector.key)))
        self._by_key = {connector.key: connector for connector in self.all}

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

    @cached_property
    def _said(self) -> dict[str, str]:
        return {connector.key: said_of(connector) for connector in self.all}

    def get(self, key: str) -> Connector:
        """Raises NotFound."""
        connector = self.find(key)
        if connector is None:
            raise NotFound("connector")
        return connector

    def find(self, key: str) -> Connector | None:
        return self._by_key.get(key)

    def search(
        self,
        text: str | None = None,
        category: str | None = None,
        stage: ConnectorStage | None = None,
        authentication_type: AuthenticationType | None = None,
    ) -> tuple[Connector, ...]:
        """The connectors that are all of this, ordered by name."""
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

"""All that can be connected, read from one TOML file a connector."""

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Self

from api.catalog.connector import Connector, ConnectorStage
from api.catalog.reading import read_connector
from api.catalog.table import Mistake, Mistakes, Table
from api.errors import NotFound, StartRefused
from models import AuthenticationType

CONNECTORS = Path(__file__).parent / "connectors"

_KEY = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")


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
        constants = constants or {}
        connectors: list[Connector] = []
        mistakes = [Mistake(str(folder), "", "is not a folder") for folder in folders if not folder.is_dir()]
        files: dict[str, Path] = {}
        for file in _files(folders):
            found = Mistakes(file.name)
            if (other := files.setdefault(file.stem, file)) is not file:
                found.add("", f"the key “{file.stem}” is taken by {other}")
            connector, requires = _read(file, found, constants)
            mistakes += found
            if connector is not None and requires <= constants.keys():
                connectors.append(connector)
        if mistakes:
            raise CatalogMistakes(mistakes)
        return cls(connectors)

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
        """The connectors that are all of this, ordered by name. `text` is looked for in key, name and vendor, whatever the case."""
        return tuple(
            connector
            for connector in self.all
            if (text is None or _mentions(connector, text.strip().casefold()))
            and category in (None, connector.category)
            and stage in (None, connector.stage)
            and (authentication_type is None or connector.find_option(authentication_type) is not None)
        )


def _files(folders: Iterable[Path]) -> Iterator[Path]:
    for folder in folders:
        yield from sorted(folder.glob("*.toml"))


def _read(file: Path, mistakes: Mistakes, constants: Mapping[str, str]) -> tuple[Connector | None, set[str]]:
    if _KEY.fullmatch(file.stem) is None:
        mistakes.add("", "the name of the file is the connector's key: lower case, digits and hyphens, up to 64")
    try:
        data = tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        mistakes.add("", f"is not TOML: {error}")
        return None, set()
    root = Table(data, mistakes)
    connector = read_connector(file.stem, root, constants)
    root.complain_about_the_rest()
    return connector, set(root.texts("requires"))


def _mentions(connector: Connector, text: str) -> bool:
    return any(text in name.casefold() for name in (connector.key, connector.name, connector.vendor or ""))

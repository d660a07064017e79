"""The sides: Patchbay, and what it is compared with. How each is served."""

import shutil
import sys
from collections.abc import Sequence
from typing import Literal

from tests.bench.ground import Ground, execute
from tests.bench.npm import SCRIPTS, installed

SideName = Literal["patchbay", "ceiling", "strawberry", "tuned", "postgraphile", "mercurius"]

# They run on Node, and know PostgreSQL alone.
PEERS: tuple[SideName, ...] = ("postgraphile", "mercurius")
ENVIRONMENT = {"NODE_ENV": "production", "GRAPHILE_ENV": "production"}
_MODULES = {"ceiling": "tests.bench.ceiling", "strawberry": "tests.bench.stock", "tuned": "tests.bench.tuned"}


async def at_hand(sides: Sequence[SideName]) -> tuple[SideName, ...]:
    """These sides, but for peers that cannot be had here: that is told on standard error."""
    try:
        if set(sides) & set(PEERS):
            await installed()
    except RuntimeError as error:
        print(f"Without {' and '.join(PEERS)}: {error}", file=sys.stderr)
        return tuple(side for side in sides if side not in PEERS)
    return tuple(sides)


async def command(side: SideName, port: int, ground: Ground) -> list[str]:
    """What serves a side, once it has all that it needs. Raises RuntimeError where that cannot be had."""
    if side in PEERS:
        return await _on_node(side, port, ground)
    words = ["api", "serve", "--no-refresh"] if side == "patchbay" else [_MODULES[side], str(port)]
    return [sys.executable, "-m", *words]


async def _on_node(side: SideName, port: int, ground: Ground) -> list[str]:
    packages, folder = await installed(), ground.folder / f"{side}-{port}-script"
    # Node looks for packages beside the script.
    folder.mkdir()
    (folder / "node_modules").symlink_to(packages)
    script = shutil.copy(SCRIPTS / f"{side}.mjs", folder)
    if (views := SCRIPTS / f"{side}.sql").exists():
        await execute(ground.url, views.read_text())
    [node] = packages.glob("node-linux-*/bin/node")
    return [str(node), str(script), str(port), ground.url]

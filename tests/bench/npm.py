"""What the peers that run on Node need, from npm: in the user's cache, once for all time, and never in the project's tree."""

import asyncio
import hashlib
import os
import shutil
import sys
import tempfile
from pathlib import Path

SCRIPTS = Path(__file__).parent / "peers"

_COMMAND = ("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")


def cache() -> Path:
    """Where the packages of the lock file are, or will be."""
    version = hashlib.sha256((SCRIPTS / "package-lock.json").read_bytes()).hexdigest()[:12]
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "patchbay-bench" / version


async def installed() -> Path:
    """The packages, a Node that they run on among them. Raises RuntimeError where npm is missing, or does not get them."""
    folder = cache()
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as beginning:
            await _install(whole := Path(beginning) / "whole")
            _move(whole, folder)
    return folder / "node_modules"


async def _install(folder: Path) -> None:
    folder.mkdir()
    for name in ("package.json", "package-lock.json"):
        shutil.copy(SCRIPTS / name, folder)
    try:
        process = await asyncio.create_subprocess_exec(*_COMMAND, cwd=folder, stdout=sys.stderr)
    except FileNotFoundError:
        raise RuntimeError("npm is not on the PATH.") from None
    if await process.wait():
        raise RuntimeError("npm did not get their packages; what it said is above.")


def _move(whole: Path, folder: Path) -> None:
    try:
        whole.rename(folder)
    except OSError:
        # Somebody else was faster, with the same.
        if not folder.exists():
            raise

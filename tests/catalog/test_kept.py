"""What was read of the files that come with Patchbay, kept for the next start."""

import os
import shutil
from pathlib import Path

import pytest

from api.catalog import kept as module
from api.catalog.kept import kept


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with one file, unlike any other by its name."""
    folder = tmp_path / tmp_path.name
    folder.mkdir()
    (folder / "one.toml").write_text("a = 1")
    return folder


class Reader:
    def __init__(self) -> None:
        self.times = 0

    def __call__(self) -> list[str]:
        self.times += 1
        return [f"reading {self.times}"]


@pytest.fixture(autouse=True)
def _clean(folder: Path) -> object:
    yield
    for file in (Path(module.__file__).parent / "__pycache__").glob(f"{folder.name}.*.pickle"):
        file.unlink()


def kept_file(folder: Path) -> Path:
    (file,) = (Path(module.__file__).parent / "__pycache__").glob(f"{folder.name}.*.pickle")
    return file


def test_what_has_not_changed_is_read_once(folder: Path) -> None:
    reader = Reader()

    assert [kept(folder, reader) for _ in range(3)] == [["reading 1"]] * 3
    assert reader.times == 1


def test_a_change_of_a_file_is_seen(folder: Path) -> None:
    reader = Reader()
    kept(folder, reader)

    (folder / "one.toml").write_text("a = 12")
    assert kept(folder, reader) == ["reading 2"]
    (folder / "two.toml").write_text("b = 1")
    assert kept(folder, reader) == ["reading 3"]
    (folder / "one.toml").unlink()
    assert kept(folder, reader) == ["reading 4"]


@pytest.mark.parametrize("content", [b"", b"garbage", b"\x80\x04K\x01.", b"\x80\x04]."])
def test_what_is_broken_is_read_again_and_mended(folder: Path, content: bytes) -> None:
    reader = Reader()
    kept(folder, reader)

    kept_file(folder).write_bytes(content)

    assert kept(folder, reader) == ["reading 2"]
    assert kept(folder, reader) == ["reading 2"]


def test_only_its_owner_can_write_it(folder: Path) -> None:
    kept(folder, Reader())

    assert kept_file(folder).stat().st_mode & 0o777 == 0o600
    assert kept_file(folder).stat().st_uid == os.getuid()


def test_a_failure_to_read_keeps_nothing(folder: Path) -> None:
    def fail() -> list[str]:
        raise ValueError

    with pytest.raises(ValueError):
        kept(folder, fail)

    assert not list((Path(module.__file__).parent / "__pycache__").glob(f"{folder.name}.*"))
    shutil.rmtree(folder)

import base64
import os
import stat
from functools import partial
from pathlib import Path

import pytest

from api.errors import KeyTrouble
from api.vault.keys import MasterKey, MasterKeys, create_key_file, generate_key_text

pytestmark = pytest.mark.anyio

BYTES_1, BYTES_2 = os.urandom(32), os.urandom(32)


def encode(key: bytes) -> str:
    return base64.b64encode(key).decode()


TEXT_1, TEXT_2 = encode(BYTES_1), encode(BYTES_2)


def key_file(folder: Path, content: str | bytes, mode: int = 0o600) -> Path:
    path = folder / "keys"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    path.chmod(mode)
    return path


def test_the_first_key_is_the_primary_and_the_order_is_kept() -> None:
    keys = MasterKeys.from_text(f"k2:{TEXT_2},k1:{TEXT_1}")

    assert keys.primary.id == "k2"
    assert keys.ids == ("k2", "k1")
    assert keys.get("k1").check_value() == MasterKey("k1", BYTES_1).check_value()
    with pytest.raises(KeyTrouble, match="“k3” is missing: the database needs it, and was given “k2”, “k1”"):
        keys.get("k3")


@pytest.mark.parametrize("form", ["k2:{2}\nk1:{1}\n", "k2:{2},k1:{1}", "\r\n k2:{2} ,\n\n k1:{1} \r\n", "k2: {2}\nk1: {1}"])
def test_keys_are_one_a_line_or_between_commas(tmp_path: Path, form: str) -> None:
    keys = MasterKeys.from_file(key_file(tmp_path, form.replace("{1}", TEXT_1).replace("{2}", TEXT_2)))

    assert [key.check_value() for key in keys] == [MasterKey("k2", BYTES_2).check_value(), MasterKey("k1", BYTES_1).check_value()]


BAD_TEXTS = {
    "empty": ("", "There is no master key."),
    "blank": (" \n , \n", "There is no master key."),
    "no id": (TEXT_1, "Master key number 1 does not have the form `id:base64`."),
    "empty id": (f":{TEXT_1}", "Master key number 1 does not have the form `id:base64`."),
    "id with a blank": (f"k1:{TEXT_1},k 2:{TEXT_2}", "Master key number 2 does not have the form `id:base64`."),
    "id and key swapped": (f"{TEXT_1.rstrip('=')}:k1", "Master key number 1 does not have the form `id:base64`."),
    "no key": ("k1:", "The master key “k1” has 0 bytes instead of 32."),
    "16 bytes": (f"k1:{encode(BYTES_1[:16])}", "The master key “k1” has 16 bytes instead of 32."),
    "33 bytes": (f"k1:{encode(BYTES_1 + b'x')}", "The master key “k1” has 33 bytes instead of 32."),
    "hexadecimal": (f"k1:{BYTES_1.hex()}", "The master key “k1” has 48 bytes instead of 32."),
    "not base64": (f"k1:!{TEXT_1[1:]}", "The master key “k1” is not base64."),
    "not ASCII": (f"k1:ä{TEXT_1[1:]}", "The master key “k1” is not base64."),
    "cut": (f"k1:{TEXT_1[:-2]}", "The master key “k1” is not base64."),
    "zeros": (f"k1:{encode(bytes(32))}", "The master key “k1” is one byte repeated, not a random key."),
    "one byte": (f"k1:{encode(b'a' * 32)}", "The master key “k1” is one byte repeated, not a random key."),
    "a sentence": (f"k1:{encode(b'correct horse battery staple 123')}", "The master key “k1” is a text, not a random key."),
    "one id twice": (f"k1:{TEXT_1},k1:{TEXT_2}", "Two master keys have the same id; the ids are k1, k1."),
    "a second bad one": (f"k1:{TEXT_1},k2:{encode(BYTES_2[:31])}", "The master key “k2” has 31 bytes instead of 32."),
}


@pytest.mark.parametrize(("text", "message"), BAD_TEXTS.values(), ids=BAD_TEXTS.keys())
def test_bad_keys_are_refused_from_text_and_from_file_without_a_word_of_the_key(tmp_path: Path, text: str, message: str) -> None:
    path = key_file(tmp_path, text)

    readers = [partial(MasterKeys.from_text, text)]
    if text.isascii():
        readers.append(partial(MasterKeys.from_file, path))
    for read in readers:
        with pytest.raises(KeyTrouble) as refusal:
            read()

        assert refusal.value.message == message
        assert refusal.value.remedy
        shown = repr(refusal.value) + refusal.value.message + refusal.value.remedy
        for secret in (TEXT_1, TEXT_2, BYTES_1.hex(), "correct horse"):
            assert secret[:12] not in shown


@pytest.mark.parametrize("mode", [0o604, 0o602, 0o601, 0o620, 0o644, 0o660, 0o666, 0o777])
def test_a_key_file_that_others_can_read_or_write_is_refused(tmp_path: Path, mode: int) -> None:
    path = key_file(tmp_path, f"k1:{TEXT_1}", mode)

    with pytest.raises(KeyTrouble, match=f"mode {mode:04o}") as refusal:
        MasterKeys.from_file(path)
    assert refusal.value.remedy == f"Run `chmod 600 {path}`."


@pytest.mark.parametrize("mode", [0o400, 0o600, 0o440, 0o640])
def test_a_key_file_that_owner_and_group_read_is_accepted(tmp_path: Path, mode: int) -> None:
    assert MasterKeys.from_file(key_file(tmp_path, f"k1:{TEXT_1}", mode)).ids == ("k1",)


def test_a_key_file_may_be_reached_through_a_link(tmp_path: Path) -> None:
    key_file(tmp_path, f"k1:{TEXT_1}")
    (tmp_path / "link").symlink_to(tmp_path / "keys")

    assert MasterKeys.from_file(tmp_path / "link").ids == ("k1",)


def test_what_is_no_key_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    for path in (tmp_path / "missing", tmp_path, tmp_path / "pipe", key_file(tmp_path, b"k1:\xff\xfe")):
        with pytest.raises(KeyTrouble, match="The key file"):
            MasterKeys.from_file(path)


def test_a_generated_key_is_good_and_new_each_time() -> None:
    first, second = generate_key_text(), generate_key_text("k2")

    assert MasterKeys.from_text(f"{first},{second}").ids == ("k1", "k2")
    assert first != generate_key_text()


def test_a_created_key_file_is_private_and_read_back(tmp_path: Path) -> None:
    path = tmp_path / "master.key"
    mask = os.umask(0)
    try:
        create_key_file(path)
    finally:
        os.umask(mask)

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert MasterKeys.from_file(path).ids == ("k1",)


def test_a_key_file_is_never_overwritten(tmp_path: Path) -> None:
    path = key_file(tmp_path, f"k1:{TEXT_1}")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")

    for taken in (path, tmp_path / "dangling"):
        with pytest.raises(KeyTrouble, match="is there already and is never overwritten"):
            create_key_file(taken)

    assert path.read_text() == f"k1:{TEXT_1}"
    assert not (tmp_path / "nowhere").exists()
    with pytest.raises(KeyTrouble, match="cannot be written: No such file"):
        create_key_file(tmp_path / "no folder" / "keys")


def test_neither_a_key_nor_a_ring_prints_its_bytes() -> None:
    key = MasterKey("k1", BYTES_1)

    assert repr(key) == str(key) == "MasterKey(id='k1')"
    assert repr(MasterKeys([key])) == f"{MasterKeys([key])}" == "MasterKeys(k1)"


def test_a_check_value_tells_keys_and_ids_apart() -> None:
    key = MasterKey("k1", BYTES_1)

    assert key.check_value() == MasterKey("k1", BYTES_1).check_value()
    assert len(key.check_value()) == 32
    assert len({key.check_value(), MasterKey("k2", BYTES_1).check_value(), MasterKey("k1", BYTES_2).check_value()}) == 3


async def test_a_wrapped_key_unwraps_with_its_master_key_and_context_only() -> None:
    key, other = MasterKey("k1", BYTES_1), MasterKey("k1", BYTES_2)
    wrapped = await key.wrap(b"data key", b"row 1")

    assert await key.unwrap(wrapped, b"row 1") == b"data key"
    for opener, value, context in (
        (other, wrapped, b"row 1"),
        (key, wrapped, b"row 2"),
        (key, b"", b"row 1"),
        (key, wrapped[:10], b"row 1"),
        (key, b"\x02" + wrapped[1:], b"row 1"),
        (key, wrapped[:-1] + bytes([wrapped[-1] ^ 1]), b"row 1"),
    ):
        with pytest.raises(KeyTrouble, match="“k1”"):
            await opener.unwrap(value, context)

import copy
import os
import pickle
from dataclasses import replace
from itertools import permutations, product
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.secret import Secret
from api.vault.bound import bound, subkey
from api.vault.vault import Place, Unreadable, Vault
from models import Sealed

HERE = Place("credential", "secrets", UUID(int=1), UUID(int=9))
OLD_KEY, NEW_KEY, ROOT = os.urandom(32), os.urandom(32), os.urandom(32)

fields = st.lists(st.binary(max_size=6) | st.sampled_from([b"\0\0\0\1a", b"\0\0\0\0", b"a|b", b"|c"]), max_size=6)


@pytest.fixture
def vault() -> Vault:
    return Vault({1: OLD_KEY}, active=1, derivation_key=ROOT)


def test_what_was_sealed_opens_at_its_place(vault: Vault) -> None:
    for plain in (b"", b"a", b"refresh token", bytes(range(256)) * 100):
        assert vault.open(vault.seal(plain, HERE), HERE) == plain


def test_a_sealed_value_has_the_documented_form(vault: Vault) -> None:
    sealed = vault.seal(b"token", HERE)

    assert isinstance(sealed, Sealed)
    assert sealed[:6] == b"\xc1\x01\x00\x00\x00\x01"
    assert len(sealed) == 6 + 12 + len(b"token") + 16


def test_a_sealed_value_of_format_1_opens_in_every_later_version() -> None:
    vault = Vault({7: bytes(range(32))}, active=7, derivation_key=bytes(32))
    sealed = Sealed.fromhex("c10100000007384eeb5cf7791a298881d273410a153a3a580e3c46040d57bfd89287a23f238591eec48d936343eeefa64944")

    assert vault.open(sealed, HERE) == b"written long ago"
    assert vault.fingerprint(Secret("written long ago")) == "621b0848159d1423786aa930eb17ba24a11ff7376ebc48173a5a6b20f12c5510"
    assert vault.sign(b"written long ago", purpose="cursor").hex() == "588182055f4d173e55d834b1b82dae90"


def test_the_same_secret_never_seals_to_the_same_bytes(vault: Vault) -> None:
    assert len({bytes(vault.seal(b"token", HERE)) for _ in range(1000)}) == 1000


COLUMNS = [
    ("credential", "secrets"),
    ("oauth_app", "client_secret"),
    ("authorization_flow", "secrets"),
    ("token_journal", "answer"),
    ("credential", "client_secret"),
    ("oauth_app", "secrets"),
]
PLACES = [
    Place(table, column, UUID(int=row), folder)
    for (table, column), row, folder in product(COLUMNS, (1, 2, 3), (None, UUID(int=1), UUID(int=2)))
]


def test_a_secret_moved_to_any_other_place_is_unreadable(vault: Vault) -> None:
    sealed = {place: vault.seal(b"token", place) for place in PLACES}

    for source, target in permutations(PLACES, 2):
        with pytest.raises(Unreadable):
            vault.open(sealed[source], target)
    assert all(vault.open(sealed[place], place) == b"token" for place in PLACES)


@pytest.mark.parametrize(
    "elsewhere",
    [
        replace(HERE, table="oauth_app"),
        replace(HERE, column="client_secret"),
        replace(HERE, row=UUID(int=2)),
        replace(HERE, folder=UUID(int=8)),
        replace(HERE, folder=None),
        replace(HERE, table="credentials", column="ecrets"),
    ],
)
def test_a_swap_of_one_part_of_the_place_is_refused_both_ways(vault: Vault, elsewhere: Place) -> None:
    for sealed_at, opened_at in ((HERE, elsewhere), (elsewhere, HERE)):
        with pytest.raises(Unreadable) as refusal:
            vault.open(vault.seal(b"token", sealed_at), opened_at)
        assert refusal.value.place == opened_at


def test_every_changed_bit_is_refused(vault: Vault) -> None:
    sealed = vault.seal(os.urandom(240), HERE)

    flips = 0
    for position in range(len(sealed) * 8):
        changed = bytearray(sealed)
        changed[position // 8] ^= 1 << position % 8
        with pytest.raises(Unreadable):
            vault.open(Sealed(changed), HERE)
        flips += 1
    assert flips == 2192


def test_every_truncation_and_every_extension_is_refused(vault: Vault) -> None:
    sealed = vault.seal(b"token" * 40, HERE)

    for length in range(len(sealed)):
        for changed in (sealed[:length], sealed[length + 1 :], sealed + os.urandom(length + 1)):
            with pytest.raises(Unreadable):
                vault.open(Sealed(changed), HERE)


@given(st.binary(max_size=100))
def test_arbitrary_bytes_are_unreadable_and_nothing_else(data: bytes) -> None:
    vault = Vault({1: OLD_KEY}, active=1, derivation_key=ROOT)
    for prefix in (b"", b"\xc1", b"\xc1\x01", b"\xc1\x01\0\0\0\1"):
        with pytest.raises(Unreadable):
            vault.open(Sealed(prefix + data), HERE)


def test_parts_of_two_sealed_values_do_not_make_a_third(vault: Vault) -> None:
    one, two = vault.seal(b"token-one", HERE), vault.seal(b"token-two", HERE)

    spliced = {one[:cut] + two[cut:] for cut in range(1, len(one))} - {bytes(one), bytes(two)}
    for value in spliced:
        with pytest.raises(Unreadable):
            vault.open(Sealed(value), HERE)


def test_an_old_data_key_still_opens_and_only_the_active_one_seals() -> None:
    before = Vault({1: OLD_KEY}, active=1, derivation_key=ROOT)
    after = Vault({1: OLD_KEY, 2: NEW_KEY}, active=2, derivation_key=ROOT)
    sealed = before.seal(b"token", HERE)

    resealed = after.reseal(sealed, HERE, HERE)

    assert after.open(sealed, HERE) == after.open(resealed, HERE) == b"token"
    assert resealed[2:6] == b"\0\0\0\2"
    with pytest.raises(Unreadable, match="its data key 2 is not in the ring"):
        before.open(resealed, HERE)


def test_a_data_key_id_in_the_header_cannot_be_exchanged() -> None:
    same_key_twice = Vault({1: OLD_KEY, 2: OLD_KEY}, active=1, derivation_key=ROOT)
    sealed = same_key_twice.seal(b"token", HERE)

    with pytest.raises(Unreadable):
        same_key_twice.open(Sealed(sealed[:5] + b"\2" + sealed[6:]), HERE)


def test_reseal_moves_a_secret_into_another_folder(vault: Vault) -> None:
    there = replace(HERE, folder=uuid4())

    moved = vault.reseal(vault.seal(b"token", HERE), HERE, there)

    assert vault.open(moved, there) == b"token"
    with pytest.raises(Unreadable):
        vault.open(moved, HERE)
    with pytest.raises(Unreadable):
        vault.reseal(moved, HERE, there)


def test_unreadable_names_table_column_and_row_and_no_secret(vault: Vault) -> None:
    with pytest.raises(Unreadable) as refusal:
        vault.open(vault.seal(b"sk_live_canary", HERE), replace(HERE, row=UUID(int=5)))

    assert refusal.value.message == (
        "The secret in credential.secrets of 00000000-0000-0000-0000-000000000005 cannot be opened: "
        "it was changed, or sealed for another place."
    )
    assert "sk_live_canary" not in repr(refusal.value)


def test_fingerprints_are_equal_for_equal_secrets_only_and_keyed(vault: Vault) -> None:
    assert vault.fingerprint(Secret("token")) == vault.fingerprint(Secret("token"))
    assert len({vault.fingerprint(Secret(text)) for text in ("token", "tokem", "Token", "", "token ", "\ud800")}) == 6
    assert len(vault.fingerprint(Secret("token"))) == 64
    assert Vault({1: OLD_KEY}, active=1, derivation_key=NEW_KEY).fingerprint(Secret("token")) != vault.fingerprint(Secret("token"))


def test_a_rotation_of_the_data_key_leaves_fingerprints_and_signatures_alone(vault: Vault) -> None:
    rotated = Vault({1: OLD_KEY, 2: NEW_KEY}, active=2, derivation_key=ROOT)

    assert rotated.fingerprint(Secret("token")) == vault.fingerprint(Secret("token"))
    assert rotated.verify(b"cursor", vault.sign(b"cursor", purpose="cursor"), purpose="cursor")


def test_a_signature_holds_for_its_data_and_purpose_only(vault: Vault) -> None:
    signature = vault.sign(b"page 2", purpose="cursor")

    assert len(signature) == 16
    assert vault.verify(b"page 2", signature, purpose="cursor")
    assert not vault.verify(b"page 3", signature, purpose="cursor")
    assert not vault.verify(b"page 2", signature, purpose="cookie")
    assert not vault.verify(b"page 2", signature[:15], purpose="cursor")
    assert not vault.verify(b"page 2", signature + b"\0", purpose="cursor")
    assert not vault.verify(b"page 2", b"", purpose="cursor")
    for position in range(128):
        forged = bytearray(signature)
        forged[position // 8] ^= 1 << position % 8
        assert not vault.verify(b"page 2", bytes(forged), purpose="cursor")


def test_a_vault_neither_prints_nor_pickles_its_keys(vault: Vault) -> None:
    vault.sign(b"", purpose="cursor")

    assert repr(vault) == str(vault) == "Vault(data keys 1; active 1)"
    for copier in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="a vault is not pickled"):
            copier(vault)


@given(fields, fields)
def test_two_lists_of_fields_are_never_bound_to_the_same_bytes(one: list[bytes], two: list[bytes]) -> None:
    assert (bound(*one) == bound(*two)) == (one == two)


@given(fields)
def test_bound_fields_can_be_told_apart_again(parts: list[bytes]) -> None:
    joined, read = bound(*parts), []
    while joined:
        length = int.from_bytes(joined[:4], "big")
        read.append(joined[4 : 4 + length])
        joined = joined[4 + length :]

    assert read == parts


def test_a_shifted_border_between_fields_makes_other_bytes() -> None:
    text = os.urandom(64)

    assert len({bound(text[:cut], text[cut:]) for cut in range(65)}) == 65


def test_subkeys_differ_by_every_word_of_their_purpose() -> None:
    purposes = [("check",), ("wrap",), ("signature", "cursor"), ("signature", "cookie"), ("signaturecursor",), ("signature", "")]

    assert len({subkey(ROOT, *purpose) for purpose in purposes}) == 6
    assert subkey(ROOT, "wrap") != subkey(NEW_KEY, "wrap")

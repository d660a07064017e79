"""Values that follow from others: each step, their order, and mistakes that name the source and repeat nothing of it."""

import base64
import hashlib
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat, PublicFormat

from api.catalog.connector import Case, Derivation, Field
from api.connections.derivations import derived

SOURCE = "key_file"


def field(*, name: str = "follows", pattern: str | None = None, **steps: Any) -> Field:
    return Field(name, "Region of the key", pattern=pattern, asked=False, derivation=Derivation(SOURCE, **steps))


def follow(value: str, *, pattern: str | None = None, **steps: Any) -> str | None:
    """The value that follows, or None where its source is a mistake."""
    values, mistakes = derived([field(pattern=pattern, **steps)], {SOURCE: value})
    if "follows" in values:
        assert mistakes == {}
        return values["follows"]
    assert values == {}
    assert mistakes == {f"fields.{SOURCE}": "does not hold a usable region of the key"}
    return None


def test_without_a_step_the_value_is_the_source() -> None:
    assert follow("as it is") == "as it is"


KEY_FILE = json.dumps({"client_email": "ann@x", "nested": {"list": ["a", "b"]}, "number": 1, "yes": True, "none": None, "empty": ""})


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("client_email", "ann@x"),
        ("nested.list.1", "b"),
        ("empty", ""),
        ("nested", None),
        ("nested.list.2", None),
        ("number", None),
        ("yes", None),
        ("none", None),
        ("absent", None),
        ("client_email.deeper", None),
    ],
)
def test_a_text_is_taken_out_of_json(path: str, value: str | None) -> None:
    assert follow(KEY_FILE, path=path) == value


@pytest.mark.parametrize("text", ["canary", "{", '{"a": "1", "a": "2"}', "[" * 100, '{"a": NaN}', "\ud800", '{"a": ' + "1" * 500 + "}"])
def test_json_that_is_none_or_not_strict_is_a_mistake(text: str) -> None:
    assert follow(text, path="a") is None


@pytest.mark.parametrize(
    ("pattern", "source", "value"),
    [
        (r"[a-z0-9]+-([a-z]+)", "key1-eu", "eu"),
        (r"(.*)@example\.com", "ann@example.com", "ann"),
        # All of the source, and no line break behind it.
        (r"(eu|us)", "eu\n", None),
        (r"(eu|us)", "xeu", None),
        (r"(eu|us)", "eux", None),
        # The digits of ASCII alone.
        (r"(\d+)", "١٢", None),
        (r"a(b)?", "a", None),
    ],
)
def test_a_group_is_taken_where_the_pattern_matches_all(pattern: str, source: str, value: str | None) -> None:
    assert follow(source, match=pattern) == value


def test_texts_are_replaced_one_after_the_other() -> None:
    assert follow("a_b_c", replace={"_": "-", "a-": "x"}) == "xb-c"


@pytest.mark.parametrize(("case", "value"), [(Case.LOWER, "sb1-é"), (Case.UPPER, "SB1-É"), (None, "Sb1-É")])
def test_letters_get_the_case_that_is_wanted(case: Case | None, value: str) -> None:
    assert follow("Sb1-É", case=case) == value


def test_the_steps_go_in_the_order_in_which_they_are_written() -> None:
    source = json.dumps({"account": "id:TST_Drv_99"})

    assert follow(source, path="account", match=r"id:(\w+)", replace={"_": "-", "TST": "test"}, case=Case.LOWER) == "test-drv-99"


def test_what_follows_must_be_of_the_form_of_its_field() -> None:
    assert follow("eu.evil.example/", match=r"(.+)", pattern="[a-z]+") is None
    assert follow("eu", match=r"(.+)", pattern="[a-z]+") == "eu"


# Fingerprints

RSA = rsa.generate_private_key(65_537, 2_048)
PASSPHRASE = "canary pässphrase"


def pem(key: Any = RSA, form: PrivateFormat = PrivateFormat.PKCS8, passphrase: str | None = None) -> str:
    encryption = NoEncryption() if passphrase is None else BestAvailableEncryption(passphrase.encode())
    return str(key.private_bytes(Encoding.PEM, form, encryption).decode())


def fingerprint(key: Any = RSA) -> str:
    public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(hashlib.sha256(public).digest()).decode()


@pytest.mark.parametrize("passphrase", [None, PASSPHRASE])
@pytest.mark.parametrize("form", [PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL])
def test_a_fingerprint_is_that_of_the_public_key(form: PrivateFormat, passphrase: str | None) -> None:
    given = {SOURCE: pem(form=form, passphrase=passphrase), "passphrase": passphrase or ""}

    values, mistakes = derived([field(fingerprint=True, passphrase="passphrase")], given)

    assert (values, mistakes) == ({"follows": fingerprint()}, {})
    assert len(fingerprint()) == 44


def test_a_fingerprint_comes_before_replacing_and_case() -> None:
    """As a key of Snowflake's is written: `SHA256:` and the fingerprint, whose letters keep their case."""
    assert follow(pem(), fingerprint=True, replace={"=": ""}) == fingerprint().rstrip("=")


def test_a_key_of_a_curve_has_a_fingerprint_too() -> None:
    key = ec.generate_private_key(ec.SECP256R1())

    assert follow(pem(key), fingerprint=True) == fingerprint(key)


@pytest.mark.parametrize(
    ("source", "passphrase"),
    [
        ("canary", ""),
        (pem(passphrase=PASSPHRASE), ""),
        (pem(passphrase=PASSPHRASE), "canary wrong"),
        (pem(), "canary too many"),
        (pem()[:300], ""),
        (RSA.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode(), ""),
        ("\ud800", ""),
        (pem(passphrase=PASSPHRASE), "\ud800"),
    ],
)
def test_a_key_without_a_fingerprint_is_a_mistake_that_names_the_source_and_repeats_nothing(source: str, passphrase: str) -> None:
    given = {SOURCE: source, "passphrase": passphrase}

    values, mistakes = derived([field(fingerprint=True, passphrase="passphrase")], given)

    assert values == {}
    assert mistakes == {f"fields.{SOURCE}": "does not hold a usable region of the key"}


# Several fields


def test_only_fields_that_follow_from_something_given_are_looked_at() -> None:
    fields = [Field("typed", "Typed"), field(path="a"), field(name="other", match="(.*)")]

    assert derived(fields, {"typed": "x"}) == ({}, {})
    assert derived(fields, {"typed": "x", SOURCE: ""}) == ({}, {})


def test_one_source_may_have_several_values_and_one_mistake() -> None:
    fields = [field(name="mail", path="client_email"), field(name="second", path="nested.list.1"), field(name="absent", path="no")]

    values, mistakes = derived(fields, {SOURCE: KEY_FILE})

    assert values == {"mail": "ann@x", "second": "b"}
    assert mistakes == {f"fields.{SOURCE}": "does not hold a usable region of the key"}

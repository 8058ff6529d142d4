"""The key ring and the blind index: what they write, what they refuse to read, and what they do not depend on."""

import os
import re
import secrets
import subprocess
import sys
from base64 import urlsafe_b64decode, urlsafe_b64encode
from pathlib import Path

import pytest
from django.conf import settings
from django.db import connection

from offices.encryption import CiphertextUnreadable, EncryptedTextField, KeyRing, blind_index, blind_indexes, field_keys
from offices.models import OfficeStripeAccount
from tests.builders import make_office, utc

PROJECT = Path(__file__).resolve().parents[2]
OLD, NEW = "the-old-key-of-enough-length-0123456789", "the-new-key-of-enough-length-0123456789"
HERE, ELSEWHERE = "offices.office.note", "offices.office.other"


def test_the_first_key_writes_and_all_keys_read():
    old, both = KeyRing((OLD,)), KeyRing((NEW, OLD))
    written_before = old.encrypt("Ada", context=HERE)
    written_now = both.encrypt("Ada", context=HERE)
    assert both.decrypt(written_before, context=HERE) == both.decrypt(written_now, context=HERE) == "Ada"
    assert KeyRing((NEW,)).decrypt(written_now, context=HERE) == "Ada"
    with pytest.raises(CiphertextUnreadable):
        old.decrypt(written_now, context=HERE)


def test_a_key_that_is_not_in_the_ring_reads_nothing_and_the_refusal_tells_nothing():
    written = KeyRing((OLD,)).encrypt("Ada", context=HERE)
    with pytest.raises(CiphertextUnreadable) as refused:
        KeyRing((NEW,)).decrypt(written, context=HERE)
    assert "Ada" not in str(refused.value)
    assert written not in str(refused.value)
    assert refused.value.__cause__ is None
    assert refused.value.__suppress_context__


def test_a_text_cannot_be_read_in_another_context():
    ring = KeyRing((NEW,))
    with pytest.raises(CiphertextUnreadable):
        ring.decrypt(ring.encrypt("Ada", context=HERE), context=ELSEWHERE)


def test_a_text_relabelled_with_another_key_id_is_not_read():
    both = KeyRing((NEW, OLD))
    version, _, token = KeyRing((OLD,)).encrypt("Ada", context=HERE).split(":")
    with pytest.raises(CiphertextUnreadable):
        both.decrypt(f"{version}:{both.writing_key_id}:{token}", context=HERE)


def test_a_change_of_any_byte_is_noticed():
    ring = KeyRing((NEW,))
    head, key_id, token = ring.encrypt("Ada", context=HERE).split(":")
    sealed = urlsafe_b64decode(token)
    for place in range(len(sealed)):
        changed = bytes([*sealed[:place], sealed[place] ^ 1, *sealed[place + 1 :]])
        with pytest.raises(CiphertextUnreadable):
            ring.decrypt(f"{head}:{key_id}:{urlsafe_b64encode(changed).decode()}", context=HERE)


@pytest.mark.parametrize(
    "stored", ["", "Ada", "1:", "1::", "2:{id}:AAAA", "1:{id}:", "1:{id}:AAAA", "1:{id}:\u00e9", "::::"]
)
def test_what_the_ring_did_not_write_is_unreadable_and_never_taken_as_clear_text(stored):
    ring = KeyRing((NEW,))
    with pytest.raises(CiphertextUnreadable):
        ring.decrypt(stored.format(id=ring.writing_key_id), context=HERE)


def test_a_cut_text_is_unreadable():
    ring = KeyRing((NEW,))
    written = ring.encrypt("Ada Abbott", context=HERE)
    for length in range(len(written)):
        with pytest.raises(CiphertextUnreadable):
            ring.decrypt(written[:length], context=HERE)


@pytest.mark.parametrize(
    "text", ["", "Ada", "Zo\u00eb \u2013 \u5f20\u4f1f", "a:b:c", "x" * 10_000, "\U0001f600", "line\nline"]
)
def test_any_text_comes_back_as_it_was(text):
    ring = KeyRing((NEW,))
    assert ring.decrypt(ring.encrypt(text, context=HERE), context=HERE) == text


def test_the_stored_text_is_a_version_a_key_id_and_base64():
    ring = KeyRing((NEW,))
    written = ring.encrypt("Ada", context=HERE)
    assert re.fullmatch(r"1:[0-9a-f]{12}:[A-Za-z0-9_-]+=*", written)
    assert written.split(":")[1] == ring.writing_key_id


def test_the_key_id_is_no_part_of_the_key_and_differs_by_purpose():
    field_id, index_id = KeyRing((OLD,)).writing_key_id, _index_under(OLD).key_id
    assert field_id != index_id
    assert field_id not in OLD
    assert field_id not in OLD.encode().hex()


def test_the_same_text_is_never_written_the_same_way_twice():
    ring = KeyRing((NEW,))
    assert len({ring.encrypt("Ada", context=HERE) for _ in range(50)}) == 50


def test_what_is_encrypted_is_the_text_itself_never_a_pickle():
    """The field of the package underneath pickles its values: reading one would run what it says."""
    ring = KeyRing((NEW,))
    box = ring._box(ring.writing_key_id, HERE)
    assert box.decrypt(urlsafe_b64decode(ring.encrypt("Ada", context=HERE).split(":")[2])) == b"Ada"
    pickled = b"\x80\x04\x95\x07\x00\x00\x00\x00\x00\x00\x00\x8c\x03Ada\x94."
    stored = f"1:{ring.writing_key_id}:{urlsafe_b64encode(box.encrypt(pickled)).decode()}"
    with pytest.raises(CiphertextUnreadable):  # not UTF-8, so no text of ours; nobody unpickles it
        ring.decrypt(stored, context=HERE)


def test_fields_do_not_depend_on_the_secret_key():
    """In a process of its own: the package underneath reads SECRET_KEY when it is imported."""
    written = field_keys().encrypt("Ada", context=HERE)
    index = blind_index("Ada", context=HERE).digest
    program = (
        "import sys, django; django.setup()\n"
        "from offices.encryption import blind_index, field_keys\n"
        f"print(field_keys().decrypt(sys.argv[1], context={HERE!r}), blind_index('Ada', context={HERE!r}).digest)"
    )
    environment = os.environ | {"SECRET_KEY": secrets.token_hex(32), "DJANGO_SETTINGS_MODULE": "tests.settings"}
    answered = subprocess.run(
        [sys.executable, "-c", program, written],
        cwd=PROJECT, env=environment, capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    assert answered.stdout.split() == ["Ada", index]


# --- The field ---
@pytest.mark.django_db
def test_the_field_is_clear_in_python_and_encrypted_in_the_database():
    account = _account("cus_marker")
    account.refresh_from_db()
    assert (account.customer_id, account.subscription_id) == ("cus_marker", None)
    stored, subscription = _stored()
    assert stored.startswith(f"1:{field_keys().writing_key_id}:")
    assert "cus_marker" not in stored
    assert subscription is None


@pytest.mark.django_db
def test_a_value_moved_to_another_column_is_not_read():
    _account("cus_marker")
    with connection.cursor() as cursor:
        cursor.execute("UPDATE offices_officestripeaccount SET subscription_id = customer_id")
    with pytest.raises(CiphertextUnreadable):
        OfficeStripeAccount.objects.get()
    assert OfficeStripeAccount.objects.defer("subscription_id").get().customer_id == "cus_marker"


def test_the_context_of_a_field_names_its_app_model_and_column():
    """Stored texts depend on it: a rename of a model or a field needs a migration that encrypts again."""
    field = OfficeStripeAccount._meta.get_field("customer_id")
    assert isinstance(field, EncryptedTextField)
    assert field._context == "offices.officestripeaccount.customer_id"


# --- The blind index ---
def _index_under(*keys, value="MRN-1", context=HERE):
    before = settings.BLIND_INDEX_KEYS
    try:
        settings.BLIND_INDEX_KEYS = list(keys)
        return blind_index(value, context=context)
    finally:
        settings.BLIND_INDEX_KEYS = before


def test_the_blind_index_is_the_same_for_equal_values_of_one_context_only():
    assert blind_index("MRN-1", context=HERE) == blind_index("MRN-1", context=HERE)
    digests = {
        blind_index(value, context=context).digest
        for value in ("MRN-1", "MRN-2", "mrn-1")
        for context in (HERE, ELSEWHERE)
    }
    assert len(digests) == 6


def test_the_blind_index_needs_the_key():
    assert _index_under(OLD) != _index_under(NEW)
    assert re.fullmatch(r"[0-9a-f]{64}", _index_under(OLD).digest)


def test_a_value_is_looked_up_under_every_key_and_stored_under_the_first(settings):
    settings.BLIND_INDEX_KEYS = [NEW, OLD]
    assert blind_indexes("MRN-1", context=HERE) == [_index_under(NEW), _index_under(OLD)]
    assert blind_index("MRN-1", context=HERE) == _index_under(NEW)


def _account(customer_id):
    index = blind_index(customer_id, context="offices.officestripeaccount.customer_id")
    return OfficeStripeAccount.objects.create(
        office=make_office(), customer_id=customer_id, customer_index=index.digest, customer_index_key=index.key_id,
        created_at=utc("2026-01-01"),
    )  # fmt: skip


def _stored():
    with connection.cursor() as cursor:
        cursor.execute("SELECT customer_id, subscription_id FROM offices_officestripeaccount")
        return cursor.fetchone()

"""The audit chain: every edit, deletion, insertion and swap shows, whoever made it without the key."""

import json
from dataclasses import dataclass
from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from audit import seal
from audit.breaks import Break
from audit.chain import AuditOutsideTransaction, Fact, record, record_many, verify
from audit.checkpoints import make_checkpoint
from audit.models import GENESIS, AuditEntry, StreamHead
from tests.audit.conftest import NOW, tell
from tests.tampering import bare, execute, lift_rules

pytestmark = pytest.mark.django_db

OTHER_KEY = "another-audit-key-of-enough-length-0123456789"


@pytest.fixture
def tampering(streams):
    """The streams, verified, and then without any rule that protects them."""
    assert verify() == (10, [])
    bare("audit_auditentry")
    return streams[0]


def codes() -> set[str]:
    return {each.code for each in verify()[1]}


def entries(stream: str):
    return AuditEntry.objects.filter(stream=stream).order_by("seq")


# --- What is recorded ---
def test_entries_chain_from_the_genesis_on(streams):
    first, *rest = entries(streams[0])
    assert (first.seq, first.previous) == (1, GENESIS)
    for before, after in zip([first, *rest], rest, strict=False):
        assert (after.seq, after.previous) == (before.seq + 1, before.digest)
    head = StreamHead.objects.get(stream=streams[0])
    assert (head.seq, head.digest) == (5, rest[-1].digest)


def test_anybody_can_check_the_digest_without_a_key(streams):
    for entry in entries(streams[0]):
        assert entry.digest == seal.entry_digest(
            stream=entry.stream,
            seq=entry.seq,
            at=entry.at,
            actor=entry.actor,
            action=entry.action,
            payload=entry.payload,
            previous=entry.previous,
        )


def test_the_payload_is_stored_as_the_canonical_text_that_is_hashed(streams):
    entry = entries(streams[0]).first()
    assert entry.payload == '{"live":true,"note":null,"number":0}'
    assert json.loads(entry.payload) == {"number": 0, "live": True, "note": None}


def test_fields_cannot_flow_into_each_other():
    """Length prefixes: moving a letter from one field to the next makes another digest."""
    fields = {"stream": "s", "seq": 1, "at": NOW, "payload": "{}", "previous": GENESIS}
    assert seal.entry_digest(actor="ab", action="c", **fields) != seal.entry_digest(actor="a", action="bc", **fields)


def test_many_facts_cost_no_more_statements_than_one():
    tell("office:clinic-1", "a.opened")
    with CaptureQueriesContext(connection) as one:
        record(Fact("office:clinic-1", "b.changed"), actor="staff:7", now=NOW)
    facts = [Fact("office:clinic-1", "b.changed", {"number": number}) for number in range(50)]
    with CaptureQueriesContext(connection) as many:
        record_many(facts, actor="staff:7", now=NOW)

    assert len(many) == len(one) <= 4
    assert verify() == (52, [])


def test_nothing_to_record_asks_nothing(django_assert_num_queries):
    with django_assert_num_queries(0):
        record_many([], actor="staff:7", now=NOW)


@pytest.mark.django_db(transaction=True)
def test_an_entry_outside_a_transaction_is_refused():
    with pytest.raises(AuditOutsideTransaction):
        record(Fact("office:clinic-1", "a.opened"), actor="staff:7", now=NOW)
    assert not AuditEntry.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_an_entry_is_rolled_back_with_its_change_and_leaves_no_gap():
    tell("office:clinic-1", "a.opened")
    with transaction.atomic():
        record(Fact("office:clinic-1", "b.changed"), actor="staff:7", now=NOW)
        transaction.set_rollback(True)
    tell("office:clinic-1", "c.changed")
    assert verify() == (2, [])


def test_an_empty_trail_verifies():
    assert verify() == (0, [])


def test_named_streams_are_verified_alone(tampering, streams):
    entries(streams[1]).filter(seq=2).update(actor="x")
    assert verify([streams[0]]) == (5, [])
    assert verify([streams[1]])[1] != []


# --- Edits: every column ---
EDITS = {
    "stream": "office:clinic-3",
    "seq": 99,
    "at": NOW + timedelta(microseconds=1),
    "actor": "staff:8",
    "action": "b.changee",
    "payload": '{"live":true,"note":null,"number":1}',
    "previous": "0" * 63 + "1",
    "digest": "0" * 64,
    "mac_key": "0" * 16,
    "mac": "0" * 64,
}


def test_the_edits_cover_every_column_but_the_row_number():
    """`id` says nothing: no field of the trail is read by it, and no order follows from it."""
    assert set(EDITS) == {field.name for field in AuditEntry._meta.concrete_fields} - {"id"}


@pytest.mark.parametrize("position", [1, 3, 5])
@pytest.mark.parametrize("column", EDITS)
def test_an_edit_of_any_column_of_any_entry_shows(tampering, column, position):
    assert entries(tampering).filter(seq=position).update(**{column: EDITS[column]}) == 1
    assert codes()


@pytest.mark.parametrize("garbage", ["", "x" * 64, "é" * 64, "00", "\u0661" * 64, " " + "0" * 63])
@pytest.mark.parametrize("column", ["previous", "digest", "mac", "mac_key"])
def test_garbage_in_a_seal_is_a_finding_and_no_crash(tampering, column, garbage):
    width = AuditEntry._meta.get_field(column).max_length
    entries(tampering).filter(seq=3).update(**{column: garbage[:width]})
    assert codes()


@pytest.mark.parametrize("column", ["digest", "mac", "mac_key"])
@pytest.mark.parametrize("garbage", ["", "x" * 64, "é" * 64])
def test_garbage_in_a_head_is_a_finding_and_no_crash(tampering, column, garbage):
    width = StreamHead._meta.get_field(column).max_length
    StreamHead.objects.filter(stream=tampering).update(**{column: garbage[:width]})
    assert codes()


def test_only_spaces_in_the_payload_show_too(tampering):
    execute("UPDATE audit_auditentry SET payload = ' ' || payload WHERE seq = 2 AND stream = %s", tampering)
    assert "entry_edited" in codes()


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("seq", 4),
        ("seq", 6),
        ("digest", "0" * 64),
        ("mac_key", "0" * 16),
        ("mac", "0" * 64),
        ("stream", "office:clinic-9"),
    ],
)
def test_an_edit_of_any_column_of_a_head_shows(tampering, column, value):
    StreamHead.objects.filter(stream=tampering).update(**{column: value})
    assert codes()


def test_a_renamed_stream_shows(tampering):
    """Its digests name the stream: entries cannot be given to another office."""
    AuditEntry.objects.filter(stream=tampering).update(stream="office:clinic-9")
    StreamHead.objects.filter(stream=tampering).update(stream="office:clinic-9")
    assert codes()


# --- Deletions, insertions, swaps ---
@pytest.mark.parametrize("positions", [[1], [3], [2, 3, 4], [5], [4, 5], [1, 2, 3, 4, 5]])
def test_deleted_entries_show(tampering, positions):
    entries(tampering).filter(seq__in=positions).delete()
    assert codes()


def test_a_deleted_head_shows(tampering):
    StreamHead.objects.filter(stream=tampering).delete()
    assert codes() == {"head_missing"}


def test_a_cut_tail_with_its_head_put_back_without_the_key_shows(tampering):
    entries(tampering).filter(seq=5).delete()
    last = entries(tampering).last()
    StreamHead.objects.filter(stream=tampering).update(seq=last.seq, digest=last.digest)
    assert codes() == {"head_seal_invalid"}


def test_a_whole_stream_deleted_with_its_head_shows(tampering):
    """Nothing in the streams tells of one that is gone: the checkpoint does."""
    make_checkpoint(now=NOW)
    entries(tampering).delete()
    StreamHead.objects.filter(stream=tampering).delete()
    assert verify() == (5, [Break(tampering, 5, "stream_missing")])


def test_a_cut_tail_with_an_old_copy_of_its_head_shows():
    """An old head was sealed rightly in its day: the checkpoint knows how long the stream has been since."""
    tell("office:clinic-1", "a.opened")
    old = StreamHead.objects.values().get()
    tell("office:clinic-1", "b.changed")
    make_checkpoint(now=NOW)
    lift_rules("audit_auditentry")
    AuditEntry.objects.filter(seq=2).delete()
    StreamHead.objects.update(**old)
    assert verify() == (1, [Break("office:clinic-1", 2, "tail_cut")])


@pytest.mark.parametrize(
    "changes", [{"seq": 6}, {"seq": 0, "previous": GENESIS}, {}], ids=["after", "before", "doubled"]
)
def test_an_inserted_entry_shows(tampering, changes):
    copy = entries(tampering).get(seq=3)
    copy.pk = 1_000_000
    for name, value in changes.items():
        setattr(copy, name, value)
    copy.save(force_insert=True)
    assert codes()


@pytest.mark.parametrize(("one", "other"), [(1, 2), (2, 4), (4, 5)])
def test_two_swapped_entries_show(tampering, one, other):
    first, second = entries(tampering).get(seq=one), entries(tampering).get(seq=other)
    first.seq, second.seq = second.seq, first.seq
    first.save()
    second.save()
    assert codes()


def test_two_entries_swapped_between_streams_show(tampering, streams):
    first, second = entries(streams[0]).get(seq=3), entries(streams[1]).get(seq=3)
    first.stream, second.stream = second.stream, first.stream
    first.save()
    second.save()
    assert codes()


# --- Who knows the arithmetic, but not the key ---
def digest_of(entry):
    told = {name: getattr(entry, name) for name in ("stream", "seq", "at", "actor", "action", "payload", "previous")}
    return seal.entry_digest(**told)


@dataclass
class Forger:
    """Re-chains a stream from a changed entry on: digests are public, seals are not."""

    stream: str
    key: bytes

    def forge(self, *, with_head: bool) -> None:
        tail = GENESIS
        for entry in entries(self.stream):
            entry.previous = tail
            entry.action = "z.forged" if entry.seq == 3 else entry.action
            digest = digest_of(entry)
            if digest != entry.digest:
                entry.digest, entry.mac = digest, seal.entry_mac(self.key, digest)
            entry.save()
            tail = entry.digest
        if with_head:
            head = StreamHead.objects.get(stream=self.stream)
            head.digest = tail
            head.mac = seal.head_mac(self.key, stream=head.stream, seq=head.seq, digest=tail)
            head.save()


@pytest.mark.parametrize("with_head", [False, True])
def test_a_suffix_chained_again_without_the_key_shows(tampering, with_head):
    Forger(tampering, b"guessed").forge(with_head=with_head)
    assert "seal_invalid" in codes()
    assert {each.seq for each in verify()[1] if each.code == "seal_invalid"} == {3, 4, 5}


def test_the_seal_alone_stands_between_a_forger_and_a_clean_chain(tampering):
    """The same forgery with the key verifies: so it is the key that the tests above rely on, and nothing else."""
    Forger(tampering, seal.writing_key()[1]).forge(with_head=True)
    assert verify() == (10, [])


def test_one_entry_sealed_anew_with_a_leaked_key_breaks_the_chain_after_it(tampering):
    entry = entries(tampering).get(seq=3)
    entry.action = "z.forged"
    entry.digest = digest_of(entry)
    entry.mac = seal.entry_mac(seal.writing_key()[1], entry.digest)
    entry.save()

    assert [(each.seq, each.code) for each in verify()[1]] == [(4, "chain_broken")]


# --- Keys ---
def test_after_a_rotation_the_old_key_still_verifies_and_the_new_one_writes(streams, settings):
    old = settings.AUDIT_KEYS[0]
    settings.AUDIT_KEYS = [OTHER_KEY, old]
    assert verify() == (10, [])
    tell(streams[0], "f.changed")

    assert verify() == (11, [])
    last = entries(streams[0]).last()
    assert last.mac_key != entries(streams[0]).first().mac_key
    assert StreamHead.objects.get(stream=streams[0]).mac_key == last.mac_key


def test_a_key_that_is_gone_is_told_as_such_and_nothing_passes_for_verified(streams, settings):
    settings.AUDIT_KEYS = [OTHER_KEY]
    count, breaks = verify()

    assert count == 10
    assert {each.code for each in breaks} == {"key_unknown", "head_seal_invalid"}
    assert len(breaks) == 12


def test_the_id_of_a_key_does_not_tell_the_key(settings):
    key_id, key = seal.writing_key()
    assert settings.AUDIT_KEYS[0] not in key_id
    assert key.hex() not in key_id
    assert seal.reading_key(key_id) == key
    assert seal.reading_key("unknown") is None

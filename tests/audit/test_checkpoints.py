"""Checkpoints: what they seal stays, what they must not seal they refuse, and anchors know when one is gone."""

import hashlib
import json
from datetime import timedelta

import pytest
from django.db import IntegrityError, connection, transaction
from hypothesis import given
from hypothesis import strategies as st

from audit import anchors, seal, signing
from audit.breaks import CHECKPOINTS, Break
from audit.chain import Fact, record, verify, verify_trail
from audit.checkpoints import make_checkpoint
from audit.merkle import EMPTY_ROOT, MerkleTree, PlaceMissing
from audit.models import AuditEntry, Checkpoint, SealedHead, StreamHead
from audit.standalone.verify_export import Tree
from tests.audit.conftest import NOW, tell
from tests.billing.scenes import at_once
from tests.tampering import bare, execute, lift_rules

pytestmark = pytest.mark.django_db

NEWER_KEY = "a-newer-signing-key-of-enough-length-0123456789"
TABLES = ("audit_auditentry", "audit_checkpoint", "audit_sealedhead")


@pytest.fixture
def anchored(settings, tmp_path):
    settings.AUDIT_ANCHORS_PATH = str(tmp_path / "anchors.jsonl")
    return tmp_path / "anchors.jsonl"


@pytest.fixture
def sealed(streams, anchored):
    """Two checkpoints, the second one after one more entry; then nothing protects the rows any more."""
    make_checkpoint(now=NOW)
    tell(streams[0], "f.changed")
    make_checkpoint(now=NOW + timedelta(minutes=1))
    assert verify() == (11, [])
    lift_rules(*TABLES)
    return streams


def breaks(anchors_file=None) -> list[tuple[str, int, str]]:
    return [(each.stream, each.seq, each.code) for each in verify_trail(anchors=anchors_file).breaks]


# --- The tree of RFC 9162 ---
# Roots of the reference implementation of Certificate Transparency, for the first n of these leaves.
LEAVES = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


def test_the_roots_are_those_of_the_reference_implementation():
    hashes = [hashlib.sha256(b"\x00" + bytes.fromhex(leaf)).digest() for leaf in LEAVES]
    ours, handed_out = MerkleTree(), Tree()
    assert ours.root() == EMPTY_ROOT
    for place, root in enumerate(ROOTS):
        ours.update({place: hashes[place]})
        handed_out.put({place: hashes[place]})
        assert (ours.root(), len(ours)) == handed_out.root() == (root, place + 1)
        at_once_ = MerkleTree()
        at_once_.update(dict(enumerate(hashes[: place + 1])))
        assert at_once_.root() == root


def root_by_definition(leaves: list[bytes]) -> bytes:
    """RFC 9162, 2.1.1, word for word."""
    if len(leaves) == 1:
        return leaves[0]
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    left, right = root_by_definition(leaves[:split]), root_by_definition(leaves[split:])
    return hashlib.sha256(b"\x01" + left + right).digest()


@given(st.lists(st.tuples(st.integers(0, 5), st.sets(st.integers(0, 40))), min_size=1, max_size=8))
def test_a_tree_that_grows_and_changes_has_the_root_of_one_built_at_once(rounds):
    ours, handed_out, leaves = MerkleTree(), Tree(), []
    for number, (more, touched) in enumerate(rounds):
        places = {place for place in touched if place < len(leaves)} | set(range(len(leaves), len(leaves) + more))
        changes = {place: hashlib.sha256(f"{number}:{place}".encode()).digest() for place in sorted(places)}
        for place, leaf in changes.items():
            leaves[place : place + 1] = [leaf]
        ours.update(changes)
        handed_out.put(changes)
        if leaves:
            assert ours.root() == handed_out.root()[0] == root_by_definition(leaves).hex()


def test_a_leaf_behind_a_gap_is_refused():
    with pytest.raises(PlaceMissing):
        MerkleTree().update({1: b"x" * 32})


# --- Making one ---
def test_a_checkpoint_seals_every_head_and_the_next_one_only_what_changed(streams):
    first = make_checkpoint(now=NOW)
    assert (first.checkpoint.seq, first.checkpoint.streams, first.checkpoint.entries, first.heads) == (1, 2, 10, 2)
    tell(streams[1], "f.changed")
    second = make_checkpoint(now=NOW)
    assert (second.checkpoint.seq, second.checkpoint.streams, second.checkpoint.entries, second.heads) == (2, 2, 11, 1)
    assert second.checkpoint.previous == first.checkpoint.digest
    assert verify() == (11, [])


def test_without_a_change_none_is_made(streams):
    assert make_checkpoint(now=NOW).checkpoint
    assert make_checkpoint(now=NOW).checkpoint is None
    assert Checkpoint.objects.count() == 1


def test_of_an_empty_trail_none_is_made():
    assert make_checkpoint(now=NOW).checkpoint is None


def test_a_dry_run_counts_and_makes_nothing(streams, anchored):
    tried = make_checkpoint(now=NOW, dry_run=True)
    assert (tried.checkpoint.seq, tried.heads) == (1, 2)
    assert not Checkpoint.objects.exists()
    assert not anchored.exists()


def test_new_streams_take_the_next_places_in_the_order_of_their_names(streams):
    make_checkpoint(now=NOW)
    for name in ("office:zebra", "office:Zebra", "office:ant"):
        tell(name, "a.opened")
    make_checkpoint(now=NOW)
    assert list(SealedHead.objects.order_by("place").values_list("place", "stream")) == [
        (0, "office:clinic-1"),
        (1, "office:clinic-2"),
        (2, "office:Zebra"),
        (3, "office:ant"),
        (4, "office:zebra"),
    ]
    assert verify() == (13, [])


@pytest.mark.django_db(transaction=True)
def test_an_entry_with_an_early_number_that_commits_late_is_sealed_by_the_next_checkpoint():
    """What `id > last` would miss."""
    if connection.vendor != "postgresql":
        pytest.skip("one writer at a time: numbers and commits have one order")
    tell("office:clinic-1", "a.opened")

    def slow() -> None:
        with transaction.atomic():
            record(Fact("office:clinic-2", "early.number"), actor="staff:7", now=NOW)
            at_once([lambda: tell("office:clinic-1", "late.number"), lambda: make_checkpoint(now=NOW)], connections=1)

    slow()
    early, late = (AuditEntry.objects.get(action=f"{word}.number") for word in ("early", "late"))
    assert early.pk < late.pk
    assert not SealedHead.objects.filter(stream="office:clinic-2").exists()
    make_checkpoint(now=NOW)
    assert SealedHead.objects.filter(stream="office:clinic-2", digest=early.digest).exists()
    assert verify() == (3, [])


def test_a_checkpoint_can_be_verified_with_its_public_key_alone(streams):
    made = make_checkpoint(now=NOW).checkpoint
    digest = seal.checkpoint_digest(
        seq=1, at=NOW, streams=2, entries=10, root=made.root, previous=made.previous
    )  # fmt: skip
    assert digest == made.digest
    assert signing.is_signed(
        signing.CHECKPOINT, bytes.fromhex(digest), public_key=made.public_key, signature=made.signature
    )
    assert not signing.is_signed(
        signing.EXPORT, bytes.fromhex(digest), public_key=made.public_key, signature=made.signature
    )


# --- Append-only ---
@pytest.mark.parametrize(
    ("rule", "sql"),
    [
        ("audit_checkpoint_append_only", "UPDATE audit_checkpoint SET streams = streams"),
        ("audit_checkpoint_append_only", "DELETE FROM audit_checkpoint WHERE seq = 1"),
        ("sealed_head_append_only", "UPDATE audit_sealedhead SET seq = 1 WHERE place = 0"),
        ("sealed_head_append_only", "DELETE FROM audit_sealedhead"),
    ],
)
def test_neither_checkpoint_nor_sealed_head_can_be_changed_or_deleted(streams, rule, sql):
    make_checkpoint(now=NOW)
    with pytest.raises(IntegrityError, match=rule), transaction.atomic():
        execute(sql)


@pytest.mark.postgresql
@pytest.mark.parametrize("sql", ["TRUNCATE audit_checkpoint CASCADE", "TRUNCATE audit_sealedhead"])
def test_nor_be_truncated_even_by_a_session_that_skips_triggers(streams, sql):
    make_checkpoint(now=NOW)
    execute("SET CONSTRAINTS ALL IMMEDIATE")  # or PostgreSQL itself refuses, for the checks that still wait
    execute("SET LOCAL session_replication_role = replica")
    with pytest.raises(IntegrityError, match="append_only"), transaction.atomic():
        execute(sql)


# --- What must not be sealed ---
def test_a_forged_head_is_refused_each_time_and_the_others_go_on(streams):
    make_checkpoint(now=NOW)
    StreamHead.objects.filter(stream=streams[0]).update(seq=6, digest="f" * 64)
    tell(streams[1], "f.changed")
    for expected in (1, 0):
        outcome = make_checkpoint(now=NOW)
        assert outcome.refused == [Break(streams[0], 6, "head_seal_invalid")]
        assert outcome.heads == expected
    assert SealedHead.objects.filter(stream=streams[0]).count() == 1


def test_a_stream_that_went_back_is_refused_and_keeps_its_place(streams):
    old = StreamHead.objects.filter(stream=streams[0]).values().get()
    tell(streams[0], "f.changed")
    make_checkpoint(now=NOW)
    StreamHead.objects.filter(stream=streams[0]).update(**old)
    tell(streams[1], "f.changed")
    outcome = make_checkpoint(now=NOW)
    assert outcome.refused == [Break(streams[0], 5, "head_behind_checkpoint")]
    assert (outcome.checkpoint.streams, outcome.heads) == (2, 1)


def test_a_stream_without_its_head_is_told_and_keeps_its_place(streams):
    make_checkpoint(now=NOW)
    StreamHead.objects.filter(stream=streams[0]).delete()
    tell("office:clinic-3", "a.opened")
    outcome = make_checkpoint(now=NOW)
    assert outcome.refused == [Break(streams[0], 5, "head_missing")]
    assert outcome.checkpoint.streams == 3
    assert breaks() == [(streams[0], 0, "head_missing")]


# --- What is sealed stays, whoever has the keys of the entries ---
def test_a_stream_rewritten_with_the_keys_of_the_entries_shows(sealed):
    """All that AUDIT_KEYS can do: chain, seals and head fit. Only the checkpoint does not."""
    rewrite(sealed[0])
    assert breaks() == [(sealed[0], 6, "sealed_entry_differs"), (sealed[0], 5, "sealed_entry_differs")]


def rewrite(stream: str) -> None:
    said = list(AuditEntry.objects.filter(stream=stream).order_by("seq"))
    AuditEntry.objects.filter(stream=stream).delete()
    StreamHead.objects.filter(stream=stream).delete()
    for entry in said:
        action = "z.forged" if entry.seq == 3 else entry.action
        with transaction.atomic():
            record(Fact(stream, action, json.loads(entry.payload)), actor=entry.actor, now=entry.at)


def test_a_tail_cut_with_the_keys_of_the_entries_shows(sealed):
    AuditEntry.objects.filter(stream=sealed[0], seq__gt=3).delete()
    last = AuditEntry.objects.filter(stream=sealed[0]).order_by("seq").last()
    key_id, key = seal.writing_key()
    StreamHead.objects.filter(stream=sealed[0]).update(
        seq=3, digest=last.digest, mac_key=key_id, mac=seal.head_mac(key, stream=sealed[0], seq=3, digest=last.digest)
    )
    assert breaks() == [(sealed[0], 6, "tail_cut"), (sealed[0], 5, "tail_cut")]


def test_two_heads_swapped_in_a_checkpoint_show(sealed):
    bare("audit_sealedhead")
    one, other = SealedHead.objects.filter(checkpoint=1).order_by("place")
    execute("UPDATE audit_sealedhead SET place = 1 - place WHERE checkpoint_id = 1")
    assert (one.place, other.place) == (0, 1)
    assert (CHECKPOINTS, 1, "checkpoint_root_differs") in breaks()


CHECKPOINT_EDITS = {
    "seq": 9, "at": NOW + timedelta(seconds=1), "streams": 3, "entries": 12, "root": "0" * 64, "previous": "1" * 64,
    "digest": "0" * 64, "public_key": "0" * 64, "signature": "0" * 128,
}  # fmt: skip


def test_the_edits_cover_every_column_of_a_checkpoint():
    assert set(CHECKPOINT_EDITS) == {field.name for field in Checkpoint._meta.concrete_fields}


@pytest.mark.parametrize("column", CHECKPOINT_EDITS)
@pytest.mark.parametrize("seq", [1, 2])
def test_an_edit_of_any_column_of_a_checkpoint_shows(sealed, column, seq):
    bare("audit_sealedhead")
    Checkpoint.objects.filter(seq=seq).update(**{column: CHECKPOINT_EDITS[column]})
    assert {stream for stream, _, _ in breaks()} == {CHECKPOINTS}


@pytest.mark.parametrize("column", ["place", "stream", "seq", "digest", "checkpoint_id"])
def test_an_edit_of_any_column_of_a_sealed_head_shows(sealed, column):
    bare("audit_sealedhead")
    value = {"place": 1, "stream": "office:x", "seq": 4, "digest": "é" * 64, "checkpoint_id": 1}[column]
    SealedHead.objects.filter(checkpoint=2).update(**{column: value})
    assert breaks()


@pytest.mark.parametrize("garbage", ["", "x" * 64, "é" * 64])
@pytest.mark.parametrize("column", ["root", "previous", "digest", "public_key", "signature"])
def test_garbage_in_a_checkpoint_is_a_finding_and_no_crash(sealed, anchored, column, garbage):
    Checkpoint.objects.filter(seq=1).update(**{column: garbage})
    assert breaks(anchored)


def test_a_checkpoint_signed_with_another_key_shows(sealed, settings):
    settings.AUDIT_SIGNING_KEY = [NEWER_KEY]
    assert breaks() == [(CHECKPOINTS, seq, "signing_key_unknown") for seq in (1, 2)]


def test_a_missing_checkpoint_shows(sealed):
    SealedHead.objects.filter(checkpoint=1).delete()
    Checkpoint.objects.filter(seq=1).delete()
    assert (CHECKPOINTS, 1, "checkpoint_missing") in breaks()


def test_sealed_heads_without_their_checkpoint_show(sealed):
    bare("audit_sealedhead")
    execute("DELETE FROM audit_checkpoint WHERE seq = 2")
    assert breaks() == [(CHECKPOINTS, 2, "checkpoint_missing")]


def test_after_a_rotation_the_old_key_still_verifies_and_the_new_one_signs(sealed, settings, anchored):
    settings.AUDIT_SIGNING_KEY = [NEWER_KEY, *settings.AUDIT_SIGNING_KEY]
    tell(sealed[0], "g.changed")
    make_checkpoint(now=NOW)
    assert breaks(anchored) == []
    assert Checkpoint.objects.values("public_key").distinct().count() == 2


# --- Anchors ---
def test_a_database_rolled_back_to_an_earlier_day_shows_against_the_anchors_alone(sealed, anchored):
    """A whole backup put back: within the database everything fits."""
    AuditEntry.objects.filter(stream=sealed[0], seq=6).delete()
    last = AuditEntry.objects.get(stream=sealed[0], seq=5)
    key_id, key = seal.writing_key()
    StreamHead.objects.filter(stream=sealed[0]).update(
        seq=5, digest=last.digest, mac_key=key_id, mac=seal.head_mac(key, stream=sealed[0], seq=5, digest=last.digest)
    )
    SealedHead.objects.filter(checkpoint=2).delete()
    Checkpoint.objects.filter(seq=2).delete()

    assert verify() == (10, [])
    assert breaks(anchored) == [(CHECKPOINTS, 2, "checkpoint_missing")]


def test_after_a_roll_back_no_checkpoint_is_made(sealed, anchored):
    SealedHead.objects.filter(checkpoint=2).delete()
    Checkpoint.objects.filter(seq=2).delete()
    outcome = make_checkpoint(now=NOW)
    assert outcome.refused == [Break(CHECKPOINTS, 2, "checkpoint_missing")]
    assert outcome.checkpoint is None


def test_each_checkpoint_is_anchored_once_in_a_file_for_its_owner(sealed, anchored):
    make_checkpoint(now=NOW)
    lines = [json.loads(line) for line in anchored.read_text().splitlines()]
    assert [line["checkpoint"] for line in lines] == [1, 2]
    assert anchored.stat().st_mode & 0o777 == 0o600
    assert verify_trail(anchors=anchored).anchors == 2


def test_an_anchor_that_could_not_be_written_is_told_and_made_up_for(streams, settings, tmp_path):
    settings.AUDIT_ANCHORS_PATH = str(tmp_path / "later" / "anchors.jsonl")
    outcome = make_checkpoint(now=NOW)
    assert outcome.checkpoint
    assert [each.code for each in outcome.refused] == ["anchor_not_written"]
    (tmp_path / "later").mkdir()
    assert make_checkpoint(now=NOW).refused == []
    assert verify_trail(anchors=tmp_path / "later" / "anchors.jsonl").anchors == 1


def test_a_line_that_a_crash_tore_is_written_anew(sealed, anchored):
    whole = anchored.read_bytes()
    anchored.write_bytes(whole[:-20])
    assert make_checkpoint(now=NOW).refused == []
    assert anchored.read_bytes() == whole


def test_a_file_that_begins_late_says_as_much_as_a_full_one(sealed, anchored):
    anchored.write_bytes(anchored.read_bytes().splitlines(keepends=True)[1])
    assert breaks(anchored) == []


@pytest.mark.parametrize("line", [b"{}", b"", b"[" * 5000, b"\xff\n", b'{"checkpoint":7}', b"null", b"9" * 9000])
def test_garbage_among_the_anchors_is_a_finding_and_no_crash(sealed, anchored, line):
    anchored.write_bytes(line + b"\n" + anchored.read_bytes())
    assert {code for _, _, code in breaks(anchored)} == {"anchor_invalid"}


def test_an_anchor_of_another_checkpoint_with_this_position_shows(sealed, anchored):
    """Somebody with the signing key made the last checkpoint again."""
    Checkpoint.objects.filter(seq=2).update(at=NOW)
    again = Checkpoint.objects.get(seq=2)
    again.digest = seal.checkpoint_digest(
        seq=2, at=NOW, streams=again.streams, entries=again.entries, root=again.root, previous=again.previous
    )
    again.public_key, again.signature = signing.sign(signing.CHECKPOINT, bytes.fromhex(again.digest))
    again.save()
    assert breaks() == []
    assert breaks(anchored) == [(CHECKPOINTS, 2, "anchor_differs")]
    assert make_checkpoint(now=NOW).refused == [Break(CHECKPOINTS, 2, "anchor_differs")]


def test_an_anchor_says_all_that_was_signed(sealed, anchored):
    for line, checkpoint in zip(anchors.read(anchored), Checkpoint.objects.order_by("seq"), strict=True):
        assert anchors.checkpoint_of(line) == checkpoint.seq
        assert set(json.loads(line)) == {"checkpoint", *CHECKPOINT_EDITS} - {"seq"}


# --- At once ---
@pytest.mark.django_db(transaction=True)
def test_of_two_checkpoints_at_once_one_wins_and_nobody_fails(anchored):
    for number in range(5):
        tell(f"office:clinic-{number}", "a.opened")
        results = at_once([lambda: make_checkpoint(now=NOW)] * 8, connections=8)
        assert [each.refused for each in results] == [[]] * 8
        assert sum(each.checkpoint is not None for each in results) == 1
    assert Checkpoint.objects.count() == 5
    assert verify_trail(anchors=anchored).breaks == []


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_sixteen_writers_never_fork_a_stream_while_checkpoints_are_made(anchored):
    streams, entries = [f"office:clinic-{number}" for number in range(3)], 300

    def write(number: int):
        return lambda: tell(streams[number % 3], "x.changed")

    calls = []
    for number in range(entries):
        calls.append(write(number))
        if number % 5 == 0:
            calls.append(lambda: make_checkpoint(now=NOW).refused)
    results = at_once(calls, connections=16)

    assert [each for each in results if each not in (None, [])] == []
    make_checkpoint(now=NOW)
    found = verify_trail(anchors=anchored)
    assert (found.entries, found.breaks) == (entries, [])
    assert found.checkpoints > 10
    assert sum(StreamHead.objects.values_list("seq", flat=True)) == entries == Checkpoint.objects.last().entries

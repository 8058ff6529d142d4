"""Verify the chains: each entry against its hash, its seal and the one before it, then each head against its chain.

Memory grows with the number of streams, not with the number of entries.
"""

import hmac
from collections import defaultdict
from collections.abc import Sequence

from audit import seal
from audit.breaks import Break
from audit.instant_text import InstantText
from audit.models import GENESIS, AuditEntry, StreamHead

_CHUNK = 5000  # rows held at once
_COLUMNS = ("stream", "seq", InstantText("at"), "actor", "action", "payload", "previous", "digest", "mac_key", "mac")

_Row = tuple[str, int, str, str, str, str, str, str, str, str]


def check_chains(streams: Sequence[str] | None) -> tuple[int, list[Break]]:
    """Return (entries read, breaks found) over all streams or the named ones."""
    entries, heads = AuditEntry.objects.order_by("stream", "seq"), StreamHead.objects.order_by("stream")
    if streams is not None:
        entries, heads = entries.filter(stream__in=streams), heads.filter(stream__in=streams)
    check = _Verifier()
    # Rows, not objects: making a million objects takes longer than hashing them.
    for row in entries.values_list(*_COLUMNS).iterator(chunk_size=_CHUNK):
        check.entry(row)
    for head in heads.iterator(chunk_size=_CHUNK):
        check.head(head)
    return check.count, check.finish()


class _Verifier:
    """Walks entries ordered by (stream, seq), then the heads."""

    def __init__(self) -> None:
        self.count = 0
        self.breaks: list[Break] = []
        self._keys: dict[str, bytes | None] = {}
        self._tails: dict[str, tuple[int, str]] = defaultdict(lambda: (0, GENESIS))

    def entry(self, row: _Row) -> None:
        stream, seq, at, actor, action, payload, previous, digest, mac_key, mac = row
        self.count += 1
        last_seq, last_digest = self._tails[stream]
        if seq != last_seq + 1:
            self._report(stream, seq, "position_missing")
        elif previous != last_digest:
            self._report(stream, seq, "chain_broken")
        try:
            as_hashed = digest == seal.digest_as_told(stream, seq, at, actor, action, payload, previous)
        except ValueError:  # `previous` is no hexadecimal text any more
            as_hashed = False
        if not as_hashed:
            self._report(stream, seq, "entry_edited")
        elif (key := self._key(mac_key)) is None:
            self._report(stream, seq, "key_unknown")
        elif not _same(seal.entry_mac(key, digest), mac):
            self._report(stream, seq, "seal_invalid")
        self._tails[stream] = (seq, digest)

    def _key(self, key_id: str) -> bytes | None:
        """Return the key with this id; the keys of one verification do not change, so each is looked up once."""
        if key_id not in self._keys:
            self._keys = {key_id: seal.reading_key(key_id)}
        return self._keys[key_id]

    def head(self, head: StreamHead) -> None:
        tail = self._tails.pop(head.stream, (0, GENESIS))
        if (head.seq, head.digest) != tail:
            self._report(head.stream, head.seq, "head_differs_from_last_entry")
        elif head.seq and not head_is_sealed(head):
            self._report(head.stream, head.seq, "head_seal_invalid")

    def finish(self) -> list[Break]:
        for stream in self._tails:
            self._report(stream, 0, "head_missing")
        return self.breaks

    def _report(self, stream: str, seq: int, code: str) -> None:
        self.breaks.append(Break(stream, seq, code))


def head_is_sealed(head: StreamHead) -> bool:
    """Return whether a holder of AUDIT_KEYS wrote this head."""
    key = seal.reading_key(head.mac_key)
    return key is not None and _same(seal.head_mac(key, stream=head.stream, seq=head.seq, digest=head.digest), head.mac)


def _same(seal_made: str, seal_found: str) -> bool:
    # As bytes: compare_digest raises for text beyond ASCII, and what was tampered with may hold any.
    return hmac.compare_digest(seal_made.encode(), seal_found.encode())

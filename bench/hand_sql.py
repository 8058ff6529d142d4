"""The month by hand: the SQL a person would write for it, one set of statements for each chunk of 500 offices.

It makes the same rows under the same constraints and triggers as `billing.billing_run`, audit entries with their HMAC
chain included. It leaves out what only the product promises: adjustments, waived cycles, safety bounds, parking, caps.
"""

import json
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from psycopg import Connection

from audit import seal
from bench import hand_statements as sql
from bench.scenario import ACTOR, CHUNK
from offices.encryption import field_keys

Fact = tuple[str, str, dict[str, seal.PayloadValue]]


def run(connection: Connection[Any], as_of: datetime, *, mailbox: str) -> None:
    """Bring every office up to `as_of`, one transaction for each chunk."""
    values: dict[str, Any] = {
        "as_of": as_of,
        "now": as_of,
        "mailbox": json.dumps(mailbox),
        "empty_note": field_keys().encrypt("", context="billing.invoice.internal_note"),
    }
    for chunk in _chunks(connection):
        with connection.transaction():
            connection.execute(sql.LOCK, {"offices": chunk})
            _bill(connection, {**values, "offices": chunk})


def _chunks(connection: Connection[Any]) -> Iterator[list[Any]]:
    offices = [row[0] for row in connection.execute(sql.OFFICES).fetchall()]
    for start in range(0, len(offices), CHUNK):
        yield offices[start : start + CHUNK]


def _bill(connection: Connection[Any], values: dict[str, Any]) -> None:
    opened = connection.execute(sql.OPEN_CYCLES, values).fetchall()
    _record(connection, _opened_facts(opened), values["now"])
    due = [row[0] for row in connection.execute(sql.DUE_CYCLES, values).fetchall()]
    if due:
        _close(connection, {**values, "cycles": due})
    fresh = [row[0] for row in connection.execute(sql.CYCLES_TO_CARRY_OVER, values).fetchall()]
    connection.execute(sql.INSERT_LINES, {**values, "cycles": fresh})
    connection.execute(sql.MARK_CARRIED_OVER, {**values, "cycles": fresh})


def _close(connection: Connection[Any], values: dict[str, Any]) -> None:
    connection.execute(sql.INSERT_LINES, values)
    closed = connection.execute(sql.FREEZE_INVOICES, values).fetchall()
    connection.execute(sql.QUEUE_INVOICES, values)
    connection.execute(sql.QUEUE_CUSTOMERS, values)
    cycles = connection.execute(sql.CLOSE_CYCLES, values).fetchall()
    _record(connection, [*_closed_facts(closed), *_closed_cycle_facts(cycles)], values["now"])


def _opened_facts(rows: Iterable[Any]) -> Iterator[Fact]:
    for reference, key, index, start_at, end_at, zone, status, plan, cents, draft in rows:
        terms = {
            "cycle": key, "index": index, "start_at": seal.instant(start_at), "end_at": seal.instant(end_at),
            "zone": zone, "status": status, "plan": plan, "unit_price_cents": cents, "invoice": str(draft),
            "origin": "live",
        }  # fmt: skip
        yield f"office:{reference}", "cycle.opened", terms


def _closed_facts(rows: Iterable[Any]) -> Iterator[Fact]:
    for reference, invoice, key, total, currency, reason, lines in rows:
        facts = {
            "invoice": str(invoice), "type": "monthly", "cycle": key, "total_cents": total, "currency": currency,
            "lines": lines,
        }  # fmt: skip
        yield f"office:{reference}", "invoice.closed", facts
        if reason:
            moved = {"invoice": str(invoice), "from": "draft", "to": "paid", "reason": reason}
            yield f"office:{reference}", "invoice.status_changed", moved


def _closed_cycle_facts(rows: Iterable[Any]) -> Iterator[Fact]:
    for reference, key, patients, last_period in rows:
        payload = {"cycle": key, "patients": patients, "last_period": last_period}
        yield f"office:{reference}", "cycle.closed", payload


def _record(connection: Connection[Any], facts: Iterable[Fact], now: datetime) -> None:
    """Seal in Python as the product does, insert with COPY."""
    facts = list(facts)
    streams = sorted({stream for stream, _action, _payload in facts})
    heads = dict.fromkeys(streams, (0, "0" * 64))
    for stream, seq, digest in connection.execute(sql.LOCK_HEADS, {"streams": streams}).fetchall():
        heads[stream] = (seq, digest)
    key_id, key = seal.writing_key()
    with connection.cursor() as cursor, cursor.copy(sql.COPY_ENTRIES) as copy:
        for stream, action, payload in facts:
            seq, previous = heads[stream]
            text = seal.canonical(payload)
            digest = seal.entry_digest(
                stream=stream, seq=seq + 1, at=now, actor=ACTOR, action=action, payload=text, previous=previous
            )
            mac = seal.entry_mac(key, digest)
            copy.write_row((stream, seq + 1, now, ACTOR, action, text, previous, digest, key_id, mac))
            heads[stream] = (seq + 1, digest)
    sealed = [
        (stream, seq, digest, seal.head_mac(key, stream=stream, seq=seq, digest=digest))
        for stream, (seq, digest) in heads.items()
    ]
    names = ("streams", "seqs", "digests", "macs")
    columns = dict(zip(names, map(list, zip(*sealed, strict=True)), strict=True)) if sealed else {}
    if columns:
        connection.execute(sql.MOVE_HEADS, {**columns, "key": key_id})

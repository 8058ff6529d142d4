"""No customer id of Stripe stands at rest in clear, and the evidence of what left cannot be changed by hand.

What is encrypted may change in one way only: to a text under another key, as `rotate_field_keys` writes it. Whether it
still says the same, the digest over the clear text tells (`evidence_report`).
"""

from collections.abc import Callable

from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.state import StateApps

import offices.encryption
from audit.database_rules import database_rule
from offices.encryption import FORMAT, blind_index, field_keys

_REQUEST, _STEP, _MESSAGE = "billing_outboundrequest", "billing_outboxstep", "billing_outboxmessage"
_EVENT = "billing_stripeevent"
_SEALED = ((_REQUEST, "path"), (_REQUEST, "query"), (_REQUEST, "body"))
_CUSTOMER_CONTEXT = "offices.officestripeaccount.customer_id"
_BATCH = 500


def _seal(_apps: StateApps, editor: BaseDatabaseSchemaEditor) -> None:
    for table, column in _SEALED:
        context = _context(table, column)
        _rewrite(editor, table, column, lambda text, context=context: field_keys().encrypt(text, context=context))
    with editor.connection.cursor() as cursor:
        cursor.execute(f"SELECT id, stripe_object_id FROM {_STEP} WHERE substr(stripe_object_id, 1, 4) = 'cus_'")
        for pk, customer_id in cursor.fetchall():
            sealed = field_keys().encrypt(customer_id, context=_context(_STEP, "customer_id"))
            cursor.execute(f"UPDATE {_STEP} SET stripe_object_id = '', customer_id = %s WHERE id = %s", [sealed, pk])
        cursor.execute(f"SELECT event_id, object_id FROM {_EVENT} WHERE substr(object_id, 1, 4) = 'cus_'")
        for event_id, customer_id in cursor.fetchall():
            index = blind_index(customer_id, context=_CUSTOMER_CONTEXT)
            sealed = field_keys().encrypt(customer_id, context=_context(_EVENT, "customer_id"))
            cursor.execute(
                f"UPDATE {_EVENT} SET object_id = '', customer_id = %s, customer_index = %s, "
                "customer_index_key = %s WHERE event_id = %s",
                [sealed, index.digest, index.key_id, event_id],
            )
    _check_now(editor)


def _open(_apps: StateApps, editor: BaseDatabaseSchemaEditor) -> None:
    for table, column in _SEALED:
        context = _context(table, column)
        _rewrite(editor, table, column, lambda text, context=context: field_keys().decrypt(text, context=context))
    with editor.connection.cursor() as cursor:
        cursor.execute(f"SELECT id, customer_id FROM {_STEP} WHERE customer_id IS NOT NULL")
        for pk, sealed in cursor.fetchall():
            clear = field_keys().decrypt(sealed, context=_context(_STEP, "customer_id"))
            cursor.execute(f"UPDATE {_STEP} SET stripe_object_id = %s WHERE id = %s", [clear, pk])
        cursor.execute(f"SELECT event_id, customer_id FROM {_EVENT} WHERE customer_id IS NOT NULL")
        for event_id, sealed in cursor.fetchall():
            clear = field_keys().decrypt(sealed, context=_context(_EVENT, "customer_id"))
            cursor.execute(f"UPDATE {_EVENT} SET object_id = %s WHERE event_id = %s", [clear, event_id])
    _check_now(editor)


def _check_now(editor: BaseDatabaseSchemaEditor) -> None:
    # PostgreSQL alters no table while checks of foreign keys wait for the end of the transaction.
    if editor.connection.vendor == "postgresql":
        editor.execute("SET CONSTRAINTS ALL IMMEDIATE")


def _context(table: str, column: str) -> str:
    return f"{table.replace('_', '.', 1)}.{column}"


def _rewrite(editor: BaseDatabaseSchemaEditor, table: str, column: str, change: Callable[[str], str]) -> None:
    last = 0
    with editor.connection.cursor() as cursor:
        while True:
            cursor.execute(
                f"SELECT id, {column} FROM {table} WHERE id > %s ORDER BY id LIMIT {_BATCH}",
                [last],
            )
            rows = cursor.fetchall()
            if not rows:
                return
            cursor.executemany(
                f"UPDATE {table} SET {column} = %s WHERE id = %s",
                [(change(text), pk) for pk, text in rows],
            )
            last = rows[-1][0]


# --- Rules: table, name, columns that never change, encrypted ones that change to another key only, since when ---
_FROZEN = (
    (
        _REQUEST,
        "outbound_request_frozen",
        ("id", "message_id", "sent_at", "operation", "method", "digest", "idempotency_key", "policy_version", "status",
         "error_code", "replayed"),
        ("path", "query", "body"),
        "TRUE",
    ),
    (
        _STEP,
        "outbox_step_frozen_when_done",
        ("id", "message_id", "position", "operation", "idempotency_key", "key_version", "first_sent_at", "done_at",
         "answered_with_error", "stripe_object_id"),
        ("customer_id",),
        "OLD.done_at IS NOT NULL",
    ),
)  # fmt: skip
_ABORT = "BEGIN SELECT RAISE(ABORT, '{rule}'); END"
_KEY_NAME = f"{FORMAT}:{'_' * 12}:"  # as a pattern of LIKE


def _changed(columns: tuple[str, ...], sealed: tuple[str, ...], differs: str) -> str:
    plain = [f'OLD."{column}" {differs} NEW."{column}"' for column in columns]
    length = len(_KEY_NAME)
    under_another_key = [  # a comparison with NULL is no: what was not there does not come, what was there does not go
        f'(OLD."{column}" {differs} NEW."{column}" AND NOT COALESCE(NEW."{column}" LIKE \'{_KEY_NAME}%\' '
        f'AND substr(NEW."{column}", 1, {length}) <> substr(OLD."{column}", 1, {length}), FALSE))'
        for column in sealed
    ]
    return " OR ".join([*plain, *under_another_key])


_FROZEN_POSTGRESQL = [
    f"CREATE TRIGGER {rule} BEFORE UPDATE ON {table} FOR EACH ROW "
    f"WHEN ({since} AND ({_changed(columns, sealed, 'IS DISTINCT FROM')})) EXECUTE FUNCTION refuse_change('{rule}')"
    for table, rule, columns, sealed, since in _FROZEN
]
_FROZEN_SQLITE = [
    f"CREATE TRIGGER {rule} BEFORE UPDATE ON {table} WHEN {since} AND ({_changed(columns, sealed, 'IS NOT')}) "
    + _ABORT.format(rule=rule)
    for table, rule, columns, sealed, since in _FROZEN
]
_KEPT = ((_MESSAGE, "outbox_message_kept"), (_REQUEST, "outbound_request_kept"), (_STEP, "outbox_step_kept"))
_STEP_KEPT = f"CREATE TRIGGER outbox_step_kept BEFORE DELETE ON {_STEP} "
# ALWAYS: also when session_replication_role is set to skip triggers.
_ALWAYS = (*_KEPT, (_MESSAGE, "outbox_payload_frozen"), *((table, rule) for table, rule, *_more in _FROZEN))
_POSTGRESQL = [
    *_FROZEN_POSTGRESQL,
    _STEP_KEPT + "FOR EACH ROW EXECUTE FUNCTION refuse_change('outbox_step_kept')",
    *(
        f"CREATE TRIGGER {rule}_truncate BEFORE TRUNCATE ON {table} "
        f"FOR EACH STATEMENT EXECUTE FUNCTION refuse_change('{rule}')"
        for table, rule in _KEPT
    ),
    *(f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {rule}" for table, rule in _ALWAYS),
    *(f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {rule}_truncate" for table, rule in _KEPT),
]
_UNDO_POSTGRESQL = [
    *(f"DROP TRIGGER {rule}_truncate ON {table}" for table, rule in _KEPT),
    f"DROP TRIGGER outbox_step_kept ON {_STEP}",
    *(f"DROP TRIGGER {rule} ON {table}" for table, rule, *_more in _FROZEN),
    *(f"ALTER TABLE {table} ENABLE TRIGGER {rule}" for table, rule in _ALWAYS if rule.startswith("outbox_payload")),
]
# Altering the table has rebuilt it, and dropped what 0002 installed (see `audit.database_rules`).
_REQUEST_KEPT_SQLITE = (
    f"CREATE TRIGGER outbound_request_kept BEFORE DELETE ON {_REQUEST} WHEN OLD.sent_at IS NOT NULL "
    + _ABORT.format(rule="outbound_request_kept")
)
_SQLITE = [*_FROZEN_SQLITE, _STEP_KEPT + _ABORT.format(rule="outbox_step_kept"), _REQUEST_KEPT_SQLITE]
_UNDO_SQLITE = [
    "DROP TRIGGER outbox_step_kept",
    "DROP TRIGGER outbound_request_kept",
    *(f"DROP TRIGGER {rule}" for _table, rule, *_more in _FROZEN),
]


class Migration(migrations.Migration):
    dependencies = [("billing", "0009_ways_out"), ("audit", "0002_append_only")]

    operations = [
        # Backwards this comes last, when the table has its old shape again.
        database_rule(postgresql=[], undo_postgresql=[], sqlite=[], undo_sqlite=[_REQUEST_KEPT_SQLITE]),
        migrations.AlterField("outboundrequest", "path", offices.encryption.EncryptedTextField()),
        migrations.AlterField("outboundrequest", "query", offices.encryption.EncryptedTextField(blank=True)),
        migrations.AlterField("outboundrequest", "body", offices.encryption.EncryptedTextField(blank=True)),
        migrations.AddField("outboxstep", "customer_id", offices.encryption.EncryptedTextField(blank=True, null=True)),
        migrations.AlterField("stripeevent", "object_id", models.CharField(blank=True, max_length=80)),
        migrations.AddField("stripeevent", "customer_id", offices.encryption.EncryptedTextField(blank=True, null=True)),
        migrations.AddField("stripeevent", "customer_index", models.CharField(blank=True, max_length=64, null=True)),
        migrations.AddField(
            "stripeevent", "customer_index_key", models.CharField(blank=True, max_length=12, null=True)
        ),
        migrations.AddIndex(
            "stripeevent",
            models.Index(
                condition=models.Q(("customer_index__isnull", False)),
                fields=["customer_index"],
                name="stripe_event_by_customer",
            ),
        ),
        migrations.AddIndex("outboundrequest", models.Index(fields=["digest"], name="outbound_request_by_digest")),
        migrations.RunPython(_seal, _open),
        database_rule(
            postgresql=_POSTGRESQL, undo_postgresql=_UNDO_POSTGRESQL, sqlite=_SQLITE, undo_sqlite=_UNDO_SQLITE
        ),
    ]

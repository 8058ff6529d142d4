"""Everything the stand-in knows: tables of JSON documents in creation order, in memory and optionally in a file."""

from collections.abc import Iterator
from pathlib import Path

from sandbox.stripe_standin.documents import Json
from sandbox.stripe_standin.storage import Storage

# Fields that are looked up often enough to deserve an index; a scan would make 10,000 invoices quadratic.
INDEXED_FIELDS: dict[str, tuple[str, ...]] = {
    "invoice": ("customer",),
    "invoiceitem": ("invoice", "customer"),
    "line_item": ("invoice",),
    "invoice_payment": ("invoice", "payment_intent"),
    "charge": ("payment_intent",),
    "refund": ("charge", "payment_intent"),
    "credit_note": ("invoice",),
}
KINDS = (
    *("customer", "product", "invoice", "invoiceitem", "line_item", "invoice_payment", "payment_intent"),
    *("charge", "refund", "dispute", "credit_note", "event", "delivery", "idempotency_key", "setting"),
)


class Table:
    """The documents of one kind by id, oldest first, with indexes on some fields."""

    def __init__(self, kind: str) -> None:
        self._rows: dict[str, Json] = {}
        self._indexes: dict[str, dict[str, dict[str, None]]] = {name: {} for name in INDEXED_FIELDS.get(kind, ())}
        self._placed: dict[tuple[str, str], str] = {}

    def __len__(self) -> int:
        return len(self._rows)

    def get(self, object_id: str) -> Json | None:
        """Return one document, or None."""
        return self._rows.get(object_id)

    def put(self, document: Json) -> None:
        """Insert a document, or index again one that changed."""
        object_id: str = document["id"]
        self._rows[object_id] = document
        for field, index in self._indexes.items():
            self._leave_index(field, object_id)
            value = _indexed_value(document, field)
            if value is not None:
                index.setdefault(value, {})[object_id] = None
                self._placed[field, object_id] = value

    def remove(self, object_id: str) -> None:
        """Forget a document."""
        for field in self._indexes:
            self._leave_index(field, object_id)
        self._rows.pop(object_id, None)

    def clear(self) -> None:
        """Forget all documents."""
        for object_id in list(self._rows):
            self.remove(object_id)

    def where(self, field: str, value: str) -> list[Json]:
        """Return the documents whose indexed field has this value, oldest first."""
        return [self._rows[object_id] for object_id in self._indexes[field].get(value, {})]

    def has_index(self, field: str) -> bool:
        """Tell whether `where` may be asked for this field."""
        return field in self._indexes

    def oldest_first(self) -> Iterator[Json]:
        """Walk the documents in the order they were created."""
        return iter(self._rows.values())

    def newest_first(self) -> Iterator[Json]:
        """Walk the documents from the newest, the order of Stripe's lists."""
        return reversed(self._rows.values())

    def _leave_index(self, field: str, object_id: str) -> None:
        value = self._placed.pop((field, object_id), None)
        if value is not None:
            self._indexes[field][value].pop(object_id, None)


class State:
    """All tables; `save` and `remove` are the only ways to change what is kept."""

    def __init__(self, path: Path | None = None) -> None:
        self.tables = {kind: Table(kind) for kind in KINDS}
        self._storage = Storage(path) if path else None
        self._changed: dict[tuple[str, str], None] = {}
        if self._storage:
            for kind, document in self._storage.load():
                self.tables[kind].put(document)

    def save(self, kind: str, document: Json) -> Json:
        """Keep a new or changed document."""
        self.tables[kind].put(document)
        self._note(kind, document["id"])
        return document

    def remove(self, kind: str, object_id: str) -> None:
        """Forget a document."""
        self.tables[kind].remove(object_id)
        self._note(kind, object_id)

    def clear(self, kind: str) -> None:
        """Forget all documents of a kind."""
        for document in list(self.tables[kind].oldest_first()):
            self.remove(kind, document["id"])

    def commit(self) -> None:
        """Write what changed to the file, in one transaction; without a file there is nothing to do."""
        if self._storage and self._changed:
            self._storage.write((kind, key, self.tables[kind].get(key)) for kind, key in self._changed)
            self._changed.clear()

    def close(self) -> None:
        """Write the last changes and let go of the file."""
        self.commit()
        if self._storage:
            self._storage.close()

    def _note(self, kind: str, object_id: str) -> None:
        if self._storage:
            self._changed[kind, object_id] = None


def _indexed_value(document: Json, field: str) -> str | None:
    # An invoice payment names its intent one level deeper, under `payment`.
    source = document.get("payment", document) if field == "payment_intent" else document
    value = source.get(field)
    return value if isinstance(value, str) else None

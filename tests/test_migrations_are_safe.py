"""A later release migrates while the one before still serves: nothing it uses goes away, nothing waits long."""

import importlib
import pkgutil
from types import ModuleType

import pytest
from django.contrib.postgres.operations import AddConstraintNotValid, AddIndexConcurrently
from django.db import models
from django.db.migrations import operations as op
from django.db.migrations.operations.base import Operation

# The last migrations before the first release: until then all tables are empty.
BEFORE_THE_FIRST_RELEASE = {"audit": "0019", "offices": "0019", "patients": "0019", "billing": "0039"}
# Rows grow with every month, request or event; small tables are locked for milliseconds.
LARGE = {
    "auditentry", "sealedhead", "patient", "activityperiod", "patientidentity", "patienttoken", "invoice", "lineitem",
    "billingcycle", "outboxmessage", "outboxstep", "outboundrequest", "stripeevent", "expectedevent", "payment",
    "stripeinvoicecopy", "stripemoneycopy", "idempotentanswer",
}  # fmt: skip
TAKES_AWAY = (op.RemoveField, op.RenameField, op.DeleteModel, op.RenameModel, op.AlterModelTable)
UNDER_A_LOCK = (op.AddIndex, op.AddConstraint, op.AlterUniqueTogether, op.AlterField)


def unsafe(module: ModuleType) -> list[str]:
    """Return what this migration does that must not happen while the older release serves."""
    migration = module.Migration
    because = getattr(module, "SAFE_BECAUSE", {})
    found = []
    for operation in migration.operations:
        about = getattr(operation, "model_name", getattr(operation, "name", ""))
        subject = f"{type(operation).__name__} {about}".lower()
        large = getattr(operation, "model_name_lower", "") in LARGE
        if (
            isinstance(operation, TAKES_AWAY)
            or (large and isinstance(operation, UNDER_A_LOCK) and not _is_quick(operation))
            or (isinstance(operation, op.AddField) and _would_break_the_older_release(operation))
            or (isinstance(operation, AddIndexConcurrently) and migration.atomic)
        ):
            found.append(subject)
    return [subject for subject in found if not because.get(subject)]


def _is_quick(operation: Operation) -> bool:
    return isinstance(operation, AddIndexConcurrently | AddConstraintNotValid)


def _would_break_the_older_release(operation: op.AddField) -> bool:
    """The older release inserts rows without the column: it needs NULL or a default that the database knows."""
    field = operation.field
    return not (field.null or field.has_db_default() or field.many_to_many)


def modules() -> list[ModuleType]:
    found = []
    for app, last in BEFORE_THE_FIRST_RELEASE.items():
        package = importlib.import_module(f"{app}.migrations")
        names = [each.name for each in pkgutil.iter_modules(package.__path__)]
        found += [importlib.import_module(f"{app}.migrations.{name}") for name in names if name[:4] > last]
    return found


def test_no_migration_since_the_first_release_is_unsafe():
    assert {module.__name__: unsafe(module) for module in modules() if unsafe(module)} == {}


def migration(*operations: Operation, atomic: bool = True, **attributes: object) -> ModuleType:
    module = ModuleType("made_here")
    module.Migration = type("Migration", (), {"operations": list(operations), "atomic": atomic})
    for name, value in attributes.items():
        setattr(module, name, value)
    return module


INDEX = models.Index(fields=["created_at"], name="x")
CHECK = models.CheckConstraint(condition=models.Q(quantity__gte=1), name="y")


@pytest.mark.parametrize(
    "operation",
    [
        op.RemoveField("Office", "name"),
        op.RenameField("Office", "name", "title"),
        op.DeleteModel("Office"),
        op.AddIndex("LineItem", INDEX),
        op.AddConstraint("LineItem", CHECK),
        op.AlterField("Invoice", "total_cents", models.DecimalField()),
        op.AddField("Office", "color", models.CharField(max_length=5)),
        op.AddField("Office", "color", models.CharField(max_length=5, default="red")),
        AddIndexConcurrently("LineItem", INDEX),
    ],
    ids=lambda operation: operation.describe(),
)
def test_what_the_older_release_would_notice_is_found(operation):
    assert unsafe(migration(operation)) != []


@pytest.mark.parametrize(
    ("operation", "atomic"),
    [
        (op.AddField("Office", "color", models.CharField(max_length=5, null=True)), True),
        (op.AddField("Office", "color", models.CharField(max_length=5, db_default="red")), True),
        (op.AddIndex("Office", INDEX), True),
        (AddIndexConcurrently("LineItem", INDEX), False),
        (AddConstraintNotValid("LineItem", CHECK), True),
        (op.CreateModel("Color", fields=[]), True),
    ],
)
def test_what_it_cannot_notice_is_let_through(operation, atomic):
    assert unsafe(migration(operation, atomic=atomic)) == []


def test_an_exception_needs_its_reason():
    operation = op.RemoveField("Office", "name")
    assert unsafe(migration(operation, SAFE_BECAUSE={"removefield office": ""})) == ["removefield office"]
    assert unsafe(migration(operation, SAFE_BECAUSE={"removefield office": "unused since the last release"})) == []

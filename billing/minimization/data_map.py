"""Render `docs/compliance/data-map.md` from the inventory, so that the page cannot differ from the program."""

from collections.abc import Iterator
from pathlib import Path

from django.apps import apps

from billing.minimization.classification import CLASSIFICATION, OUR_APPS, DataClass, stored_fields
from offices.encryption import EncryptedTextField

DATA_MAP = Path(__file__).resolve().parents[2] / "docs/compliance/data-map.md"

_HEAD = """# Data map

Every stored field and its class. Made from `billing/minimization/classification.py` by
`billing.minimization.data_map.write_data_map`; a test fails when this page or a model differs from it.

| class | may go |
|---|---|
| `safe_for_external` | into a request to Stripe, as it is |
| `aggregate_only` | out as a sum or a count over an office, never row by row |
| `internal_only` | nowhere but to the vendor and the office it is about |
| `ephi` | nowhere; within the program it needs a scope or a permission of its own |

A patient's reference together with a time is pseudonymous ePHI, though neither tells who the person is. "Sealed" is
encrypted under a key of the row's own, "encrypted" under `FIELD_ENCRYPTION_KEYS`, "keyed" a fingerprint under
`BLIND_INDEX_KEYS`.
"""

# What is encrypted or fingerprinted by the code around the field, not by its type.
_KEPT = {
    ("patients.PatientIdentity", "sealed"): "sealed",
    ("patients.PatientIdentity", "data_key"): "encrypted",
    ("patients.PatientIdentity", "external_id_index"): "keyed",
    ("patients.PatientToken", "digest"): "keyed",
    ("offices.OfficeStripeAccount", "customer_index"): "keyed",
    ("offices.OfficeStripeAccount", "subscription_index"): "keyed",
    ("billing.OfficeApiKey", "hashed_key"): "hashed",
}


def render_data_map() -> str:
    """Return the page."""
    return "\n".join([_HEAD, *_summary(), *_models()])


def write_data_map() -> None:
    """Write the page: run it in `manage.py shell` after a change of the inventory."""
    DATA_MAP.write_text(render_data_map(), encoding="utf-8")


def _summary() -> Iterator[str]:
    yield "| app | " + " | ".join(f"`{each.value}`" for each in DataClass) + " |"
    yield "|---|" + "---:|" * len(DataClass)
    for app in OUR_APPS:
        classes = [
            each for model, fields in CLASSIFICATION.items() if model.startswith(f"{app}.") for each in fields.values()
        ]
        yield f"| {app} | " + " | ".join(str(classes.count(each)) for each in DataClass) + " |"


def _models() -> Iterator[str]:
    stored = stored_fields()
    for model, fields in CLASSIFICATION.items():
        words = (apps.get_model(model).__doc__ or "").partition("\n")[0]
        yield f"\n## {model}\n\n{words}\n\n| field | class | kept |\n|---|---|---|"
        for name, field in stored[model].items():
            kept = "encrypted" if isinstance(field, EncryptedTextField) else _KEPT.get((model, name), "")
            yield f"| `{name}` | `{fields[name].value}` | {kept} |"
    yield ""

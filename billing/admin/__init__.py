"""The console. Django imports this package to find the pages, so it names every module that registers some."""

from billing.admin import (
    api_keys,
    customers,
    cycles,
    events,
    incidents,
    invoices,
    lines,
    offices,
    outbox,
    patients,
    payments,
    runs,
    staff,
    terms,
)

__all__ = [
    "api_keys",
    "customers",
    "cycles",
    "events",
    "incidents",
    "invoices",
    "lines",
    "offices",
    "outbox",
    "patients",
    "payments",
    "runs",
    "staff",
    "terms",
]

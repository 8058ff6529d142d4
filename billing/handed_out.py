"""What staff carried out of the program: every export and every evidence report leaves an entry, without any value."""

from collections.abc import Mapping
from datetime import datetime

from django.db import transaction

from audit.chain import Fact, record
from audit.seal import PayloadValue

HANDED_OUT_STREAM = "handed_out"  # belongs to no office: an export may span all of them


@transaction.atomic
def record_handed_out(action: str, payload: Mapping[str, PayloadValue], *, actor: str, now: datetime) -> None:
    """Record who took what, in codes and counts."""
    record(Fact(HANDED_OUT_STREAM, action, payload), actor=actor, now=now)

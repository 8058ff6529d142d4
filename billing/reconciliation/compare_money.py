"""What became of an invoice there and here: one finding at most, the one that explains the rest. Pure.

One event at Stripe changes several things: a credit note over all that is due also marks the invoice as paid. So the
rules stand in order, and the first that fits is told. What Stripe decided is pulled; the rest is for people.
"""

from collections.abc import Callable

from billing.models import ALLOWED_MOVES, DiscrepancyKind, InvoiceStatus, RepairKind
from billing.reconciliation.sides import Moves, Ours, Theirs

Verdict = tuple[DiscrepancyKind, RepairKind]
Rule = Callable[[Ours, Theirs], Verdict | None]
Kind = DiscrepancyKind

_GONE_BACK = ("pending", "requires_action", "succeeded")
# Of refunds, disputes and credit notes: what `payment_rows` never leaves again.
_ENDS = frozenset({"failed", "canceled", "won", "lost", "warning_closed", "prevented", "void"})


def settle(ours: Ours, theirs: Theirs) -> Verdict | None:
    """Return what differs and what to do about it, None when both sides tell the same."""
    for rule in _RULES:
        verdict = rule(ours, theirs)
        if verdict is not None:
            return verdict
    return None


def target_of(theirs: Theirs) -> InvoiceStatus | None:
    """Return our status for theirs, as `payment_status.status_of` has it; None for a draft."""
    if theirs.status == "open":
        return InvoiceStatus.FAILED if theirs.attempt_count > 0 else InvoiceStatus.SENT
    return _STATUS_OF.get(theirs.status)


_STATUS_OF = {
    "paid": InvoiceStatus.PAID,
    "void": InvoiceStatus.CANCELED,
    "uncollectible": InvoiceStatus.FAILED,
}


def _pull_or_look(ours: Ours, theirs: Theirs) -> RepairKind:
    """Stripe decides whether it is paid, where a move leads there; from an end of ours none does."""
    target, present = target_of(theirs), InvoiceStatus(ours.status)
    if target is None or theirs.total_cents != ours.total_cents:
        return RepairKind.LOOK
    walks = present == InvoiceStatus.DRAFT and target in {InvoiceStatus.PAID, InvoiceStatus.FAILED}
    reachable = target == present or target in ALLOWED_MOVES[present] or walks
    return RepairKind.PULL if reachable else RepairKind.LOOK


def _canceled_here(ours: Ours, theirs: Theirs) -> Verdict | None:
    if ours.status != InvoiceStatus.CANCELED or theirs.status == "void":
        return None
    if theirs.status == "paid":
        kept = theirs.paid_cents + theirs.overpaid_cents - gone_back(theirs.money.refunds)
        return (Kind.PAID_AFTER_CANCEL, RepairKind.CREDIT) if kept > 0 else None
    return Kind.CANCELED_HERE, RepairKind.CANCEL


def _late(ours: Ours, theirs: Theirs) -> Verdict | None:
    return (Kind.LATE_EVENT, _pull_or_look(ours, theirs)) if ours.is_late else None


def _stuck(ours: Ours, theirs: Theirs) -> Verdict | None:
    if theirs.status not in {"draft", "open"}:
        return None
    if theirs.finalization_failed:
        return Kind.FINALIZATION_FAILED, RepairKind.LOOK
    # Our own delivery builds drafts: one is stuck when the delivery is over, or takes too long.
    is_stuck = theirs.status == "draft" and (not ours.is_waiting or theirs.is_old)
    return (Kind.STUCK_DRAFT, RepairKind.SEND) if is_stuck else None


def is_under_way(ours: Ours, theirs: Theirs) -> bool:
    """Say whether our own delivery is still at it: its next try finds what it needs to know by itself."""
    return ours.is_waiting and not theirs.is_old


def _voided_there(ours: Ours, theirs: Theirs) -> Verdict | None:
    if theirs.status != "void" or ours.status == InvoiceStatus.CANCELED:
        return None
    return Kind.CANCELED_THERE, _pull_or_look(ours, theirs)


def _credit_notes(ours: Ours, theirs: Theirs) -> Verdict | None:
    differ = ours.money.credit_notes != theirs.money.credit_notes
    return (Kind.CREDIT_NOTE, _money_repair(ours, theirs)) if differ else None


def _disputes(ours: Ours, theirs: Theirs) -> Verdict | None:
    differ = ours.money.disputes != theirs.money.disputes
    return (Kind.DISPUTE, _money_repair(ours, theirs)) if differ else None


def _refunds(ours: Ours, theirs: Theirs) -> Verdict | None:
    if ours.money.refunds == theirs.money.refunds:
        return None
    received = theirs.paid_cents + theirs.overpaid_cents
    # A refund that failed has come back: what it was is what we thought had gone.
    whole = max(gone_back(theirs.money.refunds), gone_back(ours.money.refunds)) >= received > 0
    return (Kind.REFUND if whole else Kind.PARTIAL_REFUND), _money_repair(ours, theirs)


def gone_back(refunds: Moves) -> int:
    """Add up the refunds whose money is gone or on its way."""
    return sum(cents for status, cents in refunds.values() if status in _GONE_BACK)


def _money_repair(ours: Ours, theirs: Theirs) -> RepairKind:
    pairs = (
        (ours.money.credit_notes, theirs.money.credit_notes),
        (ours.money.disputes, theirs.money.disputes),
        (ours.money.refunds, theirs.money.refunds),
    )
    return _pull_or_look(ours, theirs) if all(_may_follow(*pair) for pair in pairs) else RepairKind.LOOK


def _may_follow(mine: Moves, yours: Moves) -> bool:
    """Say whether Stripe's news can explain it: what only we have, other cents, or a way back from an end cannot."""
    for stripe_id, (status, cents) in mine.items():
        their_status, their_cents = yours.get(stripe_id, ("", cents))
        if not their_status or their_cents != cents or (status in _ENDS and their_status != status):
            return False
    return True


def _overpaid(ours: Ours, theirs: Theirs) -> Verdict | None:
    if theirs.overpaid_cents > ours.overpaid_cents:
        return Kind.OVERPAID, _pull_or_look(ours, theirs)
    return (Kind.OVERPAID, RepairKind.LOOK) if theirs.overpaid_cents < ours.overpaid_cents else None


def _paid_there(ours: Ours, theirs: Theirs) -> Verdict | None:
    if theirs.status != "paid":
        return None
    if theirs.out_of_band_cents != ours.out_of_band_cents:
        known = ours.out_of_band_cents > 0
        return Kind.OUT_OF_BAND_PAYMENT, RepairKind.LOOK if known else _pull_or_look(ours, theirs)
    if ours.status not in {InvoiceStatus.PAID, InvoiceStatus.CANCELED}:
        return Kind.PAID_THERE, _pull_or_look(ours, theirs)
    return None


def _paid_here(ours: Ours, theirs: Theirs) -> Verdict | None:
    is_paid_here = ours.status == InvoiceStatus.PAID and theirs.status != "paid"
    return (Kind.PAID_HERE, RepairKind.LOOK) if is_paid_here else None


def _payments(ours: Ours, theirs: Theirs) -> Verdict | None:
    mine, yours = ours.money, theirs.money
    if mine.payments == yours.payments:
        return None
    # A paid payment never changes, so one of ours that Stripe has otherwise, or not at all, is no news.
    explained = all(yours.payments.get(stripe_id) == cents for stripe_id, cents in mine.payments.items())
    repair = _pull_or_look(ours, theirs) if explained else RepairKind.LOOK
    unpaid = theirs.status in {"open", "uncollectible"}
    return (Kind.UNDERPAID if unpaid and yours.paid > mine.paid else Kind.PAYMENT_MISSING), repair


def _written_off(ours: Ours, theirs: Theirs) -> Verdict | None:
    if theirs.status != "uncollectible":
        return None
    known = ours.is_written_off and ours.status == InvoiceStatus.FAILED
    return None if known else (Kind.WRITTEN_OFF_THERE, _pull_or_look(ours, theirs))


def _open_there(ours: Ours, theirs: Theirs) -> Verdict | None:
    target = target_of(theirs)
    if theirs.status != "open" or target is None:
        return None
    if ours.is_written_off:
        return Kind.SENT_THERE, RepairKind.LOOK
    if ours.status == target:
        return None
    return (Kind.FAILED_THERE if target == InvoiceStatus.FAILED else Kind.SENT_THERE), _pull_or_look(ours, theirs)


# The order of precedence; docs/reconciliation.md tells it in words.
_RULES: tuple[Rule, ...] = (
    _canceled_here,
    _late,
    _stuck,
    _voided_there,
    _credit_notes,
    _disputes,
    _refunds,
    _overpaid,
    _paid_there,
    _paid_here,
    _payments,
    _written_off,
    _open_there,
)

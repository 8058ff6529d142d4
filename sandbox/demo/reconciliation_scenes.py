"""Scenes in which our books and Stripe's are compared, and made equal again."""

from billing.models import DiscrepancyKind, Invoice, InvoiceStatus
from billing.reconciliation.run import Summary, reconcile
from sandbox.demo.stage import Stage

ACTOR = "demo:beat"


def lost_webhook_is_found(stage: Stage) -> None:
    """The nightly comparison finds the payment nobody told us of, and takes what Stripe decided."""
    stage.hear()
    (stripe_id,) = stage.lost_invoices
    found = _compare(stage)
    repaired = _compare(stage, repair=True)
    again = _compare(stage, repair=True)
    stage.lost_invoices.clear()
    paid = Invoice.objects.filter(stripe_invoice_id=stripe_id, status=InvoiceStatus.PAID).exists()
    stage.tell("Reconciliation finds the one invoice that is paid at Stripe only, and takes the payment over.")
    stage.expect(
        "a lost webhook is found by reconciliation and made good",
        holds=found.kinds[DiscrepancyKind.PAID_THERE] == 1 and paid,
    )
    stage.expect(
        "a second repair finds nothing to do",
        holds=repaired.repaired.pulled == 1 and not again.repaired.pulled,
    )


def books_agree(stage: Stage) -> None:
    """At the end both books say the same."""
    stage.hear()
    left = _compare(stage)
    stage.tell(f"Reconciliation of all {left.run.invoices_seen} invoices at Stripe: {left.open} differences are open.")
    stage.expect("our books and Stripe's agree at the end", holds=not left.open and not left.stopped)


def _compare(stage: Stage, *, repair: bool = False) -> Summary:
    return reconcile(actor=ACTOR, clock=stage.clock, repair=repair)

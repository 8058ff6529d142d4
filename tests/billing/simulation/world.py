"""People at Stripe: offices that pay in every way, banks that refuse, staff that correct in Stripe's dashboard."""

import random
from collections.abc import Callable, Iterator
from typing import Any

from sandbox.stripe_standin import StripeStandIn
from sandbox.stripe_standin.errors import StripeFailure

Act = Callable[[str], Any]


class World:
    """Does one random thing at a time; what Stripe refuses (a refund of nothing) simply does not happen."""

    def __init__(self, stripe: StripeStandIn, source: random.Random) -> None:
        self._stripe, self._source = stripe, source

    def act(self) -> str:
        """Do something to some invoice and return what."""
        invoices = [row for row in self._stripe.objects("invoice") if row["status"] not in {"draft", "void"}]
        if not invoices:
            return "nothing to do"
        invoice = self._source.choice(invoices)
        name, act = self._source.choice([*self._acts(invoice), ("wait", lambda _of: None)])
        try:
            act(invoice["id"])
        except StripeFailure:
            return f"{name} refused"
        return name

    def _acts(self, invoice: dict[str, Any]) -> Iterator[tuple[str, Act]]:
        do, draw = self._stripe.dashboard, self._source
        remaining = invoice["amount_remaining"]
        if invoice["status"] in {"open", "uncollectible"}:
            yield "pay", do.pay_invoice
            yield "pay a part", lambda of: do.pay_invoice(of, draw.randint(1, max(remaining - 1, 1)))
            yield "pay too much", lambda of: do.pay_invoice(of, remaining + draw.randint(1, 500))
            yield "pay by check", do.pay_out_of_band
            yield "decline", do.decline
            yield "start a debit", do.start_processing
            yield "void", do.void
            yield "write off", do.mark_uncollectible
            yield "credit", lambda of: do.credit(of, draw.randint(1, remaining))
            yield "credit all", lambda of: do.credit(of, remaining)
            yield "void a credit note", lambda of: do.void_credit(self._some("credit_note", "invoice", of))
        if invoice["amount_paid"]:
            yield "refund", do.refund
            yield "refund a part", lambda of: do.refund(of, draw.randint(1, invoice["amount_paid"]))
            yield "dispute", do.dispute
            yield (
                "refuse a refund",
                lambda of: do.fail_refund(self._some("refund", "payment_intent", self._intents(of))),
            )
            yield (
                "decide a dispute",
                lambda of: do.close_dispute(
                    self._some("dispute", "payment_intent", self._intents(of)), won=draw.random() < 0.5
                ),
            )
        if invoice["status"] == "paid" and invoice["amount_paid"]:
            yield "credit and refund", lambda of: self._give_back(of, "refund_amount")
            yield "credit out of band", lambda of: self._give_back(of, "out_of_band_amount")

    def _give_back(self, invoice_id: str, part: str) -> None:
        invoice = self._stripe.get("invoice", invoice_id)
        left = invoice["amount_paid"] - invoice["post_payment_credit_notes_amount"]
        amount = self._source.randint(1, max(left, 1))
        self._stripe.dashboard.credit(invoice_id, amount, **{part: amount})

    def _intents(self, invoice_id: str) -> set[str]:
        payments = self._stripe.objects("invoice_payment")
        return {row["payment"]["payment_intent"] for row in payments if row["invoice"] == invoice_id}

    def _some(self, kind: str, field: str, of: str | set[str]) -> str:
        wanted = {of} if isinstance(of, str) else of
        found = [row["id"] for row in self._stripe.objects(kind) if row[field] in wanted]
        return self._source.choice(found) if found else f"{kind}_nothing"

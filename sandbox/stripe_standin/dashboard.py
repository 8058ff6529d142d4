"""What people do at Stripe: the customer on the hosted page, the bank, and staff in the Dashboard."""

import threading
from datetime import datetime

from sandbox.stripe_standin import collection, credit_notes, customers, payments, refunds
from sandbox.stripe_standin.account import Account
from sandbox.stripe_standin.documents import Json
from sandbox.stripe_standin.events import change
from sandbox.stripe_standin.idempotency import KeyRing


class UnknownCard(ValueError):
    """A card behaviour that is none of `collection.CARDS`."""


class Dashboard:
    """Every method is one action of a person, emits the events Stripe would, and returns the object it changed."""

    def __init__(self, account: Account, lock: threading.RLock, keys: KeyRing) -> None:
        self._account, self._lock, self._keys = account, lock, keys

    def pay_invoice(self, invoice_id: str, amount: int | None = None) -> Json:
        """The customer pays on the hosted page; `amount` in cents for a part or too much."""
        with self._lock:
            invoice = self._open_invoice(invoice_id)
            payments.receive(self._account, invoice, invoice["amount_remaining"] if amount is None else amount)
            return self._done(invoice)

    def pay_out_of_band(self, invoice_id: str) -> Json:
        """Staff mark an invoice as paid by check or wire."""
        with self._lock:
            return self._done(collection.pay_invoice(self._account, {"paid_out_of_band": True}, invoice_id))

    def decline(self, invoice_id: str) -> Json:
        """A payment attempt fails; also ends one that was processing."""
        with self._lock:
            invoice = self._open_invoice(invoice_id)
            payments.record_attempt(self._account, invoice, "declined")
            return self._done(invoice)

    def start_processing(self, invoice_id: str) -> Json:
        """The customer starts a bank debit: settled later by `pay_invoice` or `decline`."""
        with self._lock:
            invoice = self._open_invoice(invoice_id)
            payments.record_attempt(self._account, invoice, "processing")
            return self._done(invoice)

    def refund(self, invoice_id: str, amount: int | None = None) -> Json:
        """Staff refund the latest payment of an invoice, in full or in part; returns the refund."""
        with self._lock:
            params = {"charge": self._charge_of(invoice_id), **({} if amount is None else {"amount": amount})}
            return self._done(refunds.create_refund(self._account, params, ""))

    def fail_refund(self, refund_id: str) -> Json:
        """The bank refuses a refund."""
        with self._lock:
            return self._done(refunds.fail_refund(self._account, refund_id))

    def dispute(self, invoice_id: str, reason: str = "fraudulent") -> Json:
        """The cardholder disputes the payment of an invoice; returns the dispute."""
        with self._lock:
            return self._done(refunds.open_dispute(self._account, self._charge_of(invoice_id), reason))

    def close_dispute(self, dispute_id: str, *, won: bool) -> Json:
        """The bank decides a dispute."""
        with self._lock:
            return self._done(refunds.close_dispute(self._account, dispute_id, won=won))

    def void(self, invoice_id: str) -> Json:
        """Staff void an open invoice."""
        with self._lock:
            return self._done(collection.void_invoice(self._account, {}, invoice_id))

    def mark_uncollectible(self, invoice_id: str) -> Json:
        """Staff write an open invoice off."""
        with self._lock:
            return self._done(collection.mark_uncollectible(self._account, {}, invoice_id))

    def credit(self, invoice_id: str, amount: int, **parts: int) -> Json:
        """Staff issue a credit note; `refund_amount`, `credit_amount`, `out_of_band_amount` for a paid invoice."""
        with self._lock:
            params = {"invoice": invoice_id, "amount": amount, **parts}
            return self._done(credit_notes.create_credit_note(self._account, params, ""))

    def void_credit(self, credit_note_id: str) -> Json:
        """Staff void a credit note of an open invoice."""
        with self._lock:
            return self._done(credit_notes.void_credit_note(self._account, {}, credit_note_id))

    def edit(self, kind: str, object_id: str, **fields: object) -> Json:
        """Staff change fields of an object, such as `description` or `metadata`, whatever its status."""
        with self._lock:
            return self._done(change(self._account, self._account.find(kind, object_id), dict(fields)))

    def tamper(self, kind: str, object_id: str, **fields: object) -> Json:
        """Change stored fields without an event: Stripe's books lie from now on."""
        with self._lock:
            document = self._account.find(kind, object_id)
            document.update(fields)
            return self._done(self._account.save(document))

    def forget(self, kind: str, object_id: str) -> None:
        """Make an object vanish without an event, as a wrong account or a lost write would look."""
        with self._lock:
            self._account.state.remove(kind, object_id)
            self._account.state.commit()

    def delete_customer(self, customer_id: str) -> Json:
        """Staff delete a customer."""
        with self._lock:
            return self._done(customers.delete_customer(self._account, {}, customer_id))

    def set_card(self, card: str, customer_id: str | None = None) -> None:
        """Decide how the default card behaves, for one customer or for all: a word of `collection.CARDS`."""
        if card not in collection.CARDS:
            raise UnknownCard(f"{card!r} is none of {sorted(collection.CARDS)}")
        with self._lock:
            self._account.set_setting(f"card:{customer_id}" if customer_id else "card", card)
            self._account.state.commit()

    def set_clock(self, instant: datetime | int | None) -> list[Json]:
        """Stand still at an instant (None: the wall clock); returns the drafts that finalized themselves meanwhile."""
        with self._lock:
            self._account.clock.set(instant)
            return self._after_time_passed()

    def advance_clock(self, seconds: int) -> list[Json]:
        """Move the clock on; returns the drafts that finalized themselves meanwhile."""
        with self._lock:
            self._account.clock.advance(seconds)
            return self._after_time_passed()

    def prune_idempotency_keys(self) -> int:
        """Let Stripe forget every key; returns how many there were."""
        with self._lock:
            count = self._keys.prune()
            self._account.state.commit()
            return count

    def _after_time_passed(self) -> list[Json]:
        finalized = collection.finalize_due_drafts(self._account)
        fixed = self._account.clock.fixed
        self._account.set_setting("clock", "" if fixed is None else str(fixed))
        self._account.state.commit()
        return finalized

    def _open_invoice(self, invoice_id: str) -> Json:
        invoice = self._account.find("invoice", invoice_id)
        collection.require_status(invoice, ("open", "uncollectible"), "pay")
        return invoice

    def _charge_of(self, invoice_id: str) -> str:
        charge = credit_notes.charge_of(self._account, self._account.find("invoice", invoice_id))
        return str(charge["id"])

    def _done(self, document: Json) -> Json:
        self._account.state.commit()
        return dict(document)

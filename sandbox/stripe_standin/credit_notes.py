"""Credit notes: less owed on an open invoice, or money and credit given back on a paid one."""

from sandbox.stripe_standin.account import Account
from sandbox.stripe_standin.customers import merged_metadata
from sandbox.stripe_standin.documents import Json
from sandbox.stripe_standin.errors import invalid_parameter, invalid_request
from sandbox.stripe_standin.events import change, emit
from sandbox.stripe_standin.listing import page
from sandbox.stripe_standin.payments import cancel_payment, mark_paid
from sandbox.stripe_standin.refunds import record_refund

# What no credit note of the stand-in has: no tax, no discounts, no shipping.
_ALWAYS_EMPTY = ("customer_account", "customer_balance_transaction", "shipping_cost", "voided_at")
_ALWAYS_NO_ROWS = ("discount_amounts", "pretax_credit_amounts", "refunds", "total_taxes")


def create_credit_note(account: Account, params: Json, _object_id: str) -> Json:
    """POST /v1/credit_notes: for open and paid invoices."""
    invoice = account.named("invoice", params["invoice"], "invoice")
    if invoice["status"] not in ("open", "paid", "uncollectible"):
        raise invalid_request("You can only create credit notes for open or paid invoices.", param="invoice")
    amount = _amount(account, params, invoice)
    note = _note(account, params, invoice, amount)
    if invoice["status"] == "paid":
        note["refunds"] = _give_back(account, params, invoice, amount)
    account.save(note)
    emit(account, "credit_note.created", note)
    _lower_debt(account, invoice, amount)
    return note


def void_credit_note(account: Account, _params: Json, note_id: str) -> Json:
    """POST /v1/credit_notes/{id}/void: only one that lowered an open invoice."""
    note = account.find("credit_note", note_id)
    invoice = account.find("invoice", note["invoice"])
    if note["status"] == "void" or note["type"] == "post_payment" or invoice["status"] != "open":
        raise invalid_request("You can only void a credit note of an open invoice.")
    note.update(status="void", voided_at=account.now())
    account.save(note)
    _shift_debt(account, invoice, -note["amount"])
    emit(account, "credit_note.voided", note)
    return note


def retrieve_credit_note(account: Account, _params: Json, note_id: str) -> Json:
    """GET /v1/credit_notes/{id}."""
    return account.find("credit_note", note_id)


def list_credit_notes(account: Account, params: Json, _object_id: str) -> Json:
    """GET /v1/credit_notes."""
    return page(account, "credit_note", params, "/v1/credit_notes")


def _amount(account: Account, params: Json, invoice: Json) -> int:
    given = params.get("amount")
    rows = [_row_amount(account, row, index) for index, row in enumerate(params.get("lines", []))]
    if (given is None) == (not rows):
        message = "You must specify either `amount` or `lines`."
        raise invalid_parameter(message, param="amount", code="parameter_missing")
    amount: int = given if given is not None else sum(rows)
    paid = invoice["status"] == "paid"
    credited = invoice["post_payment_credit_notes_amount"] if paid else 0
    greatest = invoice["amount_paid"] - credited if paid else invoice["amount_remaining"]
    if not 0 < amount <= greatest:
        message = f"The credit note amount must be positive and at most {greatest}."
        raise invalid_request(message, param="amount")
    return amount


def _row_amount(account: Account, row: Json, index: int) -> int:
    if "amount" in row:
        amount: int = row["amount"]
        return amount
    if row["type"] == "invoice_line_item" and "invoice_line_item" in row:
        line = account.named("line_item", row["invoice_line_item"], f"lines[{index}][invoice_line_item]")
        if "quantity" not in row:
            return int(line["amount"])
        return int(float(line["pricing"]["unit_amount_decimal"]) * row["quantity"])
    unit = row.get("unit_amount", row.get("unit_amount_decimal", 0))
    return int(unit * row.get("quantity", 1))


def _note(account: Account, params: Json, invoice: Json, amount: int) -> Json:
    note_id = account.new_id("credit_note")
    paid = invoice["status"] == "paid"
    count = len(account.state.tables["credit_note"].where("invoice", invoice["id"])) + 1
    return {
        "id": note_id,
        "object": "credit_note",
        **{name: [] for name in _ALWAYS_NO_ROWS},
        **dict.fromkeys(_ALWAYS_EMPTY),
        **dict.fromkeys(("amount", "subtotal", "subtotal_excluding_tax", "total", "total_excluding_tax"), amount),
        **dict.fromkeys(("amount_shipping", "discount_amount"), 0),
        "created": account.now(),
        "currency": invoice["currency"],
        "customer": invoice["customer"],
        "effective_at": params.get("effective_at", account.now()),
        "invoice": invoice["id"],
        "lines": {"object": "list", "data": [], "has_more": False, "url": f"/v1/credit_notes/{note_id}/lines"},
        "livemode": False,
        "memo": params.get("memo"),
        "metadata": merged_metadata({}, params),
        "number": f"{invoice['number']}-CN-{count:02d}",
        "out_of_band_amount": params.get("out_of_band_amount"),
        "pdf": f"{account.base_url}/_hosted/{note_id}",
        "post_payment_amount": amount if paid else 0,
        "pre_payment_amount": 0 if paid else amount,
        "reason": params.get("reason"),
        "status": "issued",
        "type": "post_payment" if paid else "pre_payment",
    }


def _give_back(account: Account, params: Json, invoice: Json, amount: int) -> list[Json]:
    """Return money or credit; the parts must make up the whole, as Stripe demands of a paid invoice."""
    refunded, credited = params.get("refund_amount", 0), params.get("credit_amount", 0)
    named = params.get("refunds", [])
    linked = sum(
        row.get("amount_refunded", account.named("refund", row["refund"], "refunds")["amount"]) for row in named
    )
    if refunded + credited + params.get("out_of_band_amount", 0) + linked != amount:
        message = (
            "The sum of credit amount, refund amount and out of band amount must equal the credit note amount "
            f"({amount}) for a paid invoice."
        )
        raise invalid_request(message)
    rows = [{"amount_refunded": row.get("amount_refunded", linked), "refund": row["refund"]} for row in named]
    if refunded:
        refund = record_refund(account, charge_of(account, invoice), refunded, {})
        rows.append({"amount_refunded": refunded, "refund": refund["id"], "type": "refund"})
    if credited:
        customer = account.named("customer", invoice["customer"], "customer")
        change(account, customer, {"balance": customer["balance"] - credited})
    return rows


def charge_of(account: Account, invoice: Json) -> Json:
    """Return the charge that paid an invoice."""
    for payment in reversed(account.state.tables["invoice_payment"].where("invoice", invoice["id"])):
        if payment["status"] == "paid":
            intent = account.find("payment_intent", payment["payment"]["payment_intent"])
            return account.find("charge", intent["latest_charge"])
    raise invalid_request("This invoice has no charge to refund.", param="refund_amount")


def _lower_debt(account: Account, invoice: Json, amount: int) -> None:
    if invoice["status"] == "paid":
        credited = invoice["post_payment_credit_notes_amount"] + amount
        change(account, invoice, {"post_payment_credit_notes_amount": credited})
        return
    _shift_debt(account, invoice, amount)
    if not invoice["amount_remaining"]:
        cancel_payment(account, invoice)
        mark_paid(account, invoice)


def _shift_debt(account: Account, invoice: Json, amount: int) -> None:
    changes = {
        "pre_payment_credit_notes_amount": invoice["pre_payment_credit_notes_amount"] + amount,
        "amount_due": invoice["amount_due"] - amount,
        "amount_remaining": invoice["amount_remaining"] - amount,
    }
    change(account, invoice, changes)

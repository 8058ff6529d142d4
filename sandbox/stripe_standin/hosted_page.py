"""The hosted invoice page: what the customer sees behind `hosted_invoice_url`, with a button that pays."""

from html import escape

from sandbox.stripe_standin.account import Account
from sandbox.stripe_standin.api import Reply
from sandbox.stripe_standin.dashboard import Dashboard
from sandbox.stripe_standin.documents import Json
from sandbox.stripe_standin.recorder import RawRequest

PREFIX = "/_hosted/"
_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Invoice {number}</title>
<body style="font: 16px/1.5 sans-serif; max-width: 40rem; margin: 3rem auto">
<p>Stripe stand-in: no money moves here.</p><h1>Invoice {number}</h1><table>{rows}</table>
<p><b>Due: {due} {currency}</b> (status: {status})</p>{button}</body></html>"""
_BUTTON = '<form method="post"><button>Pay</button></form>'


def answer_hosted_page(account: Account, dashboard: Dashboard, request: RawRequest) -> Reply:
    """Show an invoice, or pay it when the button was pressed."""
    invoice_id = request.path.removeprefix(PREFIX)
    invoice = account.state.tables["invoice"].get(invoice_id)
    if invoice is None or invoice["hosted_invoice_url"] is None:
        return Reply(404, b"No such invoice.", {"Content-Type": "text/plain"})
    if request.method == "POST":
        if invoice["status"] in ("open", "uncollectible"):
            dashboard.pay_invoice(invoice_id)
        return Reply(303, b"", {"Location": request.path})
    return Reply(200, _render(invoice).encode(), {"Content-Type": "text/html; charset=utf-8"})


def _render(invoice: Json) -> str:
    rows = "".join(
        f"<tr><td>{escape(line['description'] or '')}<td>{line['quantity_decimal']}<td>{_money(line['amount'])}"
        for line in invoice["lines"]["data"]
    )
    return _PAGE.format(
        number=escape(invoice["number"] or ""),
        rows=rows,
        due=_money(invoice["amount_remaining"]),
        currency=invoice["currency"].upper(),
        status=invoice["status"],
        button=_BUTTON if invoice["status"] in ("open", "uncollectible") else "",
    )


def _money(cents: int) -> str:
    sign = "-" if cents < 0 else ""
    return f"{sign}{abs(cents) // 100}.{abs(cents) % 100:02d}"

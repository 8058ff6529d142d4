"""What the office agreed to, recorded as dated rows, and charges outside the monthly billing."""

from tests.oracle.commands import ChangeAnchor, ChangeStatus, ChangeZone, OneOff, SetOverride, SetPrice, SetupFee
from tests.oracle.office import Invoice, Line, Office


def change_status(office: Office, command: ChangeStatus) -> str:
    if office.status_at(command.at) == command.status:
        return "unchanged"
    office.statuses.append((command.at, command.status))
    return "changed"


def change_zone(office: Office, command: ChangeZone) -> str:
    if office.zone_at(command.at) == command.zone:
        return "unchanged"
    office.zones.append((command.at, command.zone))
    return "changed"


def change_anchor(office: Office, command: ChangeAnchor) -> str:
    if command.anchor == office.anchor:
        return "unchanged"
    if office.cycles:
        return "refused:anchor_fixed"
    office.anchor = command.anchor
    return "changed"


def set_price(office: Office, command: SetPrice) -> str:
    if command.effective_from in office.versions:
        return "refused:version_exists"
    office.versions[command.effective_from] = command.price
    return "changed"


def set_override(office: Office, command: SetOverride) -> str:
    if command.end <= command.start:
        return "refused:empty_override"
    if any(max(start, command.start) < min(end, command.end) for start, end, _ in office.overrides):
        return "refused:overlapping_override"
    office.overrides.append((command.start, command.end, command.price))
    return "changed"


def charge_setup_fee(office: Office, command: SetupFee) -> str:
    if office.status_at(command.at) == "trialing":
        return "refused:trialing"
    if any(invoice.kind == "setup_fee" for invoice in office.invoices):
        return "refused:setup_fee_exists"
    add_closed_invoice(office, "setup_fee", office.setup_fee)
    return "changed"


def charge_one_off(office: Office, command: OneOff) -> str:
    if office.status_at(command.at) == "trialing":
        return "refused:trialing"
    add_closed_invoice(office, "one_off", command.amount)
    return "changed"


def add_closed_invoice(office: Office, kind: str, amount: int) -> None:
    """Its own invoice, closed at once, with one line."""
    invoice = Invoice(kind, None, closed=True)
    office.invoices.append(invoice)
    office.lines.append(Line(invoice, kind, None, None, amount))

"""The tables of billing, one idea per file; import from here."""

from billing.models.api_key import OfficeApiKey, Scope
from billing.models.cycle import BillingCycle
from billing.models.incident import CanaryRun, Incident
from billing.models.invoice import (
    ALLOWED_MOVES,
    LINE_TOTAL,
    ChargeReason,
    HostedInvoicePage,
    Invoice,
    InvoiceOrigin,
    InvoiceStatus,
    InvoiceType,
    ItemType,
    LineItem,
    NewUUID,
    SettlementReason,
)
from billing.models.office_profile import OfficeProfile
from billing.models.outbox import MessageKind, MessageStatus, OutboundRequest, OutboxMessage, OutboxStep
from billing.models.payment import Payment, PaymentStatus
from billing.models.run import BillingRun, ParkedOffice, ParkingCode, RunStatus
from billing.models.stripe_event import EventStatus, StripeEvent

__all__ = [
    "ALLOWED_MOVES",
    "LINE_TOTAL",
    "BillingCycle",
    "BillingRun",
    "CanaryRun",
    "ChargeReason",
    "EventStatus",
    "HostedInvoicePage",
    "Incident",
    "Invoice",
    "InvoiceOrigin",
    "InvoiceStatus",
    "InvoiceType",
    "ItemType",
    "LineItem",
    "MessageKind",
    "MessageStatus",
    "NewUUID",
    "OfficeApiKey",
    "OfficeProfile",
    "OutboundRequest",
    "OutboxMessage",
    "OutboxStep",
    "ParkedOffice",
    "ParkingCode",
    "Payment",
    "PaymentStatus",
    "RunStatus",
    "Scope",
    "SettlementReason",
    "StripeEvent",
]

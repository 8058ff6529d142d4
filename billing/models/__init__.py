"""The tables of billing, one idea per file; import from here."""

from billing.models.api_key import OfficeApiKey, PlatformApiKey, PlatformKeyOffice, Scope
from billing.models.correction import (
    NEEDS_SECOND_PERSON,
    OPEN_CORRECTIONS,
    Correction,
    CorrectionKind,
    CorrectionReason,
    CorrectionStatus,
    DroppedLine,
    PaybackChannel,
)
from billing.models.cycle import BillingCycle
from billing.models.event_replay import EventReplay
from billing.models.expected_event import ExpectedEvent
from billing.models.idempotency import IdempotentAnswer
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
from billing.models.money_back import (
    DISPUTES_OPEN,
    REFUNDS_OUT,
    CreditNote,
    CreditNoteStatus,
    Dispute,
    DisputeStatus,
    Refund,
    RefundStatus,
)
from billing.models.month_close import MonthClose
from billing.models.office_profile import OfficeProfile, ProfileRejection
from billing.models.outbox import MessageKind, MessageStatus, OutboundRequest, OutboxMessage, OutboxStep
from billing.models.payment import Payment, PaymentChannel, PaymentStatus
from billing.models.reconciliation import (
    Discrepancy,
    DiscrepancyKind,
    DiscrepancyStatus,
    ReconciliationPhase,
    ReconciliationRun,
    RepairKind,
)
from billing.models.run import BillingRun, ParkedOffice, ParkingCode, RunStatus
from billing.models.staff import EmergencyOpening, Role, StaffDevice
from billing.models.stripe_copy import CopyKind, StripeCustomerCopy, StripeInvoiceCopy, StripeMoneyCopy
from billing.models.stripe_event import EventStatus, EventTrouble, StripeEvent

__all__ = [
    "ALLOWED_MOVES",
    "DISPUTES_OPEN",
    "LINE_TOTAL",
    "NEEDS_SECOND_PERSON",
    "OPEN_CORRECTIONS",
    "REFUNDS_OUT",
    "BillingCycle",
    "BillingRun",
    "CanaryRun",
    "ChargeReason",
    "CopyKind",
    "Correction",
    "CorrectionKind",
    "CorrectionReason",
    "CorrectionStatus",
    "CreditNote",
    "CreditNoteStatus",
    "Discrepancy",
    "DiscrepancyKind",
    "DiscrepancyStatus",
    "Dispute",
    "DisputeStatus",
    "DroppedLine",
    "EmergencyOpening",
    "EventReplay",
    "EventStatus",
    "EventTrouble",
    "ExpectedEvent",
    "HostedInvoicePage",
    "IdempotentAnswer",
    "Incident",
    "Invoice",
    "InvoiceOrigin",
    "InvoiceStatus",
    "InvoiceType",
    "ItemType",
    "LineItem",
    "MessageKind",
    "MessageStatus",
    "MonthClose",
    "NewUUID",
    "OfficeApiKey",
    "OfficeProfile",
    "OutboundRequest",
    "OutboxMessage",
    "OutboxStep",
    "ParkedOffice",
    "ParkingCode",
    "PaybackChannel",
    "Payment",
    "PaymentChannel",
    "PaymentStatus",
    "PlatformApiKey",
    "PlatformKeyOffice",
    "ProfileRejection",
    "ReconciliationPhase",
    "ReconciliationRun",
    "Refund",
    "RefundStatus",
    "RepairKind",
    "Role",
    "RunStatus",
    "Scope",
    "SettlementReason",
    "StaffDevice",
    "StripeCustomerCopy",
    "StripeEvent",
    "StripeInvoiceCopy",
    "StripeMoneyCopy",
]

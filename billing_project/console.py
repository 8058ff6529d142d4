"""The console's frame: its name, its badge, and what its sidebar leads to."""

from collections.abc import Callable
from functools import cache
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.urls import reverse_lazy

from billing_project.environment import STRIPE_API_BASE


def environment(request: HttpRequest) -> list[str]:  # noqa: ARG001
    """Return the badge beside the name: whether money is real here."""
    if settings.STRIPE_API_BASE != STRIPE_API_BASE:
        return ["Stripe stand-in", "info"]
    if "_live_" in settings.STRIPE_API_KEY:
        return ["Live", "danger"]
    return ["Test mode", "warning"]


def _may_view(model: str) -> Callable[[HttpRequest], bool]:
    """Return unfold's question: show this entry to this user?"""
    app, _, name = model.partition("_")

    def allowed(request: HttpRequest) -> bool:
        return request.user.has_perm(f"{app}.view_{name}")

    return allowed


def _entry(title: str, icon: str, model: str, page: str = "changelist") -> dict[str, Any]:
    """Return an entry for the list of a model, or for another page of it."""
    link = reverse_lazy(f"admin:{model}_{page}")
    return {
        "title": title,
        "icon": icon,
        "link": link,
        "permission": _may_view(model),
        "active": lambda request: _nearest(request.path) == str(link),
    }


def _nearest(path: str) -> str:
    """Return the one entry that a page stands below: of two addresses that it begins with, the longer one."""
    return max((link for link in _links() if path.startswith(link)), key=len, default="")


@cache
def _links() -> list[str]:
    """Return where all entries lead; resolved once, as each of them asks on every page."""
    return [str(entry["link"]) for group in NAVIGATION for entry in group["items"]]


def _group(title: str, *entries: dict[str, Any], collapsible: bool = False) -> dict[str, Any]:
    return {"title": title, "separator": True, "collapsible": collapsible, "items": list(entries)}


NAVIGATION: list[dict[str, Any]] = [
    {"items": [{"title": "Overview", "icon": "dashboard", "link": reverse_lazy("admin:index")}]},
    _group(
        "Billing",
        _entry("Invoices", "receipt_long", "billing_invoice"),
        _entry("Line items", "list_alt", "billing_lineitem"),
        _entry("Payments", "payments", "billing_payment"),
        _entry("Refunds", "undo", "billing_refund"),
        _entry("Disputes", "gavel", "billing_dispute"),
        _entry("Credit notes", "note_stack", "billing_creditnote"),
        _entry("Corrections", "rule", "billing_correction"),
        _entry("Cycles", "calendar_month", "billing_billingcycle"),
        _entry("Runs", "play_circle", "billing_billingrun"),
        _entry("Parked offices", "pause_circle", "billing_parkedoffice"),
        _entry("Close a month", "lock_open", "billing_monthclose", "month"),
        _entry("Signed months", "lock_clock", "billing_monthclose"),
    ),
    _group(
        "Reconciliation",
        _entry("Desk", "fact_check", "billing_reconciliationrun", "desk"),
        _entry("Discrepancies", "difference", "billing_discrepancy"),
        _entry("Balance of the month", "balance", "billing_discrepancy", "balance"),
        _entry("Comparisons", "compare_arrows", "billing_reconciliationrun"),
        _entry("Invoices at Stripe", "content_copy", "billing_stripeinvoicecopy"),
        _entry("Money at Stripe", "account_balance", "billing_stripemoneycopy"),
        _entry("Customers at Stripe", "groups", "billing_stripecustomercopy"),
    ),
    _group(
        "Clinics",
        _entry("Offices", "home_health", "offices_office"),
        _entry("Patient accounts", "badge", "patients_patient"),
        _entry("API keys", "key", "billing_officeapikey"),
        _entry("Platform keys", "hub", "billing_platformapikey"),
    ),
    _group(
        "Stripe",
        _entry("Outbox", "outbox", "billing_outboxmessage"),
        _entry("Requests that left", "upload", "billing_outboundrequest"),
        _entry("Events received", "inbox", "billing_stripeevent"),
        _entry("News expected", "notifications", "billing_expectedevent"),
        _entry("News asked for again", "history", "billing_eventreplay"),
        _entry("Customers", "link", "offices_officestripeaccount"),
        _entry("Payable links", "open_in_new", "billing_hostedinvoicepage"),
        _entry("Approved profiles", "verified_user", "billing_officeprofile"),
        _entry("Rejected profiles", "block", "billing_profilerejection"),
        _entry("Blocked attempts", "gpp_bad", "billing_incident"),
        _entry("Canary", "pest_control", "billing_canaryrun"),
        _entry("Delivery steps", "conversion_path", "billing_outboxstep"),
        _entry("Lines left out", "playlist_remove", "billing_droppedline"),
    ),
    _group(
        "Terms",
        _entry("Plans", "sell", "offices_plan"),
        _entry("Price versions", "price_change", "offices_planprice"),
        _entry("Prices of offices", "percent", "offices_priceoverride"),
        _entry("Statuses", "flag", "offices_officestatuschange"),
        _entry("Plans of offices", "assignment", "offices_officeplan"),
        _entry("Zones", "schedule", "offices_officezone"),
        collapsible=True,
    ),
    _group(
        "Proof",
        {
            "title": "Evidence report",
            "icon": "summarize",
            "link": reverse_lazy("admin:billing_evidence"),
            "permission": lambda request: request.user.has_perm("billing.take_evidence"),
        },
        _entry("Audit entries", "history", "audit_auditentry"),
        _entry("Streams", "account_tree", "audit_streamhead"),
        _entry("Checkpoints", "approval", "audit_checkpoint"),
        _entry("Sealed ends", "lock_clock", "audit_sealedhead"),
        _entry("Activity periods", "date_range", "patients_activityperiod"),
        _entry("Identities on record", "lock", "patients_patientidentity"),
        _entry("Offices of platform keys", "account_tree", "billing_platformkeyoffice"),
        _entry("Answers kept for the API", "replay", "billing_idempotentanswer"),
        _entry("Staff", "group", "auth_user"),
        _entry("Second factors", "phonelink_lock", "billing_staffdevice"),
        _entry("Roles", "groups", "auth_group"),
        _entry("Emergency access", "emergency", "billing_emergencyopening"),
        collapsible=True,
    ),
]

# A browser asks for one; this is a file less to serve.
FAVICON = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 8 8'%3E"
    "%3Crect width='8' height='8' rx='2' fill='%23980ffa'/%3E"
    "%3Cpath d='M2 3h4M2 5h3' stroke='%23fff'/%3E%3C/svg%3E"
)

UNFOLD: dict[str, Any] = {
    "SITE_TITLE": "Clinic billing",
    "SITE_HEADER": "Clinic billing",
    "SITE_SUBHEADER": "All times are UTC",
    "SITE_SYMBOL": "receipt_long",
    "SITE_URL": None,  # there is no other site to return to
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": lambda _request: FAVICON}],
    "SHOW_HISTORY": False,
    "SHOW_VIEW_ON_SITE": False,
    "SHOW_BACK_BUTTON": True,
    "ENVIRONMENT": "billing_project.console.environment",
    "DASHBOARD_CALLBACK": "billing.admin.overview.dashboard",
    "SIDEBAR": {"show_search": False, "show_all_applications": False, "navigation": NAVIGATION},
}

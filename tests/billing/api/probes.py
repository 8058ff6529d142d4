"""Cross-tenant probes: calls that reach, in every way the API takes an id, for what belongs to another office."""

import base64
import json
import random
import uuid
from dataclasses import dataclass
from typing import Any

from billing.billing_run import run_due
from billing.charges import Charge, charge_office
from billing.models import ChargeReason, HostedInvoicePage, Invoice, InvoiceStatus, InvoiceType, LineItem
from patients.models import ActivityPeriod, Patient
from patients.registration import register_patient
from tests.billing.api.conftest import NOW
from tests.builders import ACTOR, make_office, make_patient, utc


@dataclass
class Books:
    """An office with a closed and an open month, a one-off, accounts and an identity: what a probe reaches for."""

    office: Any

    @classmethod
    def made(cls) -> "Books":
        office = make_office()
        make_patient(office, (utc("2026-02-20"), None))
        make_patient(office)
        run_due(as_of=utc("2026-02-21"), actor=ACTOR, now=utc("2026-02-21"))
        run_due(as_of=utc("2026-03-16"), actor=ACTOR, now=utc("2026-03-16"))
        charge = Charge(ChargeReason.HARDWARE, amount_cents=500)
        invoice = charge_office(office_id=office.pk, charge=charge, actor=ACTOR, now=NOW)
        HostedInvoicePage.objects.create(invoice=invoice, url="https://pay.example/1", updated_at=NOW)
        nobody = {"first_name": "", "last_name": "", "date_of_birth": None, "email": "", "phone": ""}
        register_patient(office_id=office.pk, external_id="MRN-1", actor=ACTOR, now=NOW, **nobody)
        return cls(office)

    def invoices(self) -> list[str]:
        return [
            str(pk) for pk in Invoice.objects.filter(office=self.office).order_by("pk").values_list("pk", flat=True)
        ]

    def patients(self) -> list[str]:
        return [
            str(pk) for pk in Patient.objects.filter(office=self.office).order_by("pk").values_list("pk", flat=True)
        ]

    def ids(self) -> set[str]:
        """Everything of this office that an answer to another must not hold."""
        lines = LineItem.objects.filter(invoice__office=self.office).values_list("pk", flat=True)
        return {str(self.office.pk), *self.invoices(), *self.patients(), *map(str, lines)}

    def rows(self) -> list[Any]:
        """What a probe must not change."""
        mine = {"office": self.office}
        return [
            list(Invoice.objects.filter(**mine).order_by("pk").values()),
            list(LineItem.objects.filter(invoice__office=self.office).order_by("pk").values()),
            list(Patient.objects.filter(**mine).order_by("pk").values()),
            list(ActivityPeriod.objects.filter(**mine).order_by("pk").values()),
        ]


def _keys(model: Any, office: Any) -> list[str]:
    return [str(pk) for pk in model.objects.filter(office=office).order_by("pk").values_list("pk", flat=True)]


@dataclass(frozen=True)
class Probe:
    """One call; `allowed` are the statuses that deny it, 200 meaning an empty list."""

    method: str
    path: str
    query: dict[str, str]
    body: dict[str, Any] | None = None

    def sent_by(self, client: Any) -> Any:
        query = "&".join(f"{name}={value}" for name, value in self.query.items())
        if self.body is None:
            return client.generic(self.method, f"/api/{self.path}", QUERY_STRING=query)
        return client.post(f"/api/{self.path}", json.dumps(self.body), "application/json")


class Prober:
    """Draws probes against `theirs`, from the standpoint of `mine`."""

    def __init__(self, seed: int, mine: Books, theirs: Books) -> None:
        self._random = random.Random(seed)
        self._office, self._other = str(mine.office.pk), str(theirs.office.pk)
        self._invoices, self._patients = theirs.invoices(), theirs.patients()
        self._kinds = [
            self._invoice_list, self._invoice, self._payment_status, self._summary, self._patient_list, self._activity,
            self._monthly, self._charge, self._registration, self._own_list,
        ]  # fmt: skip

    def draw(self) -> Probe:
        return self._random.choice(self._kinds)()

    def _invoice_list(self) -> Probe:
        return Probe("GET", f"billing/invoices/{self._other}", self._filters())

    def _own_list(self) -> Probe:
        """The own list with a cursor made of the other's place in the order."""
        place = base64.b64encode(f"p={self._random.choice(['2099-01-01', NOW.date()])}T00%3A00%3A00%2B00%3A00".encode())
        return Probe("GET", f"billing/invoices/{self._office}", self._filters() | {"cursor": place.decode()})

    def _invoice(self) -> Probe:
        office = self._random.choice([self._office, self._other, str(uuid.UUID(int=self._random.getrandbits(128)))])
        return Probe("GET", f"billing/invoices/{office}/{self._random.choice(self._invoices)}", {})

    def _payment_status(self) -> Probe:
        return Probe("GET", f"billing/payment-status/{self._random.choice(self._invoices)}", {})

    def _summary(self) -> Probe:
        return Probe("GET", f"billing/offices/{self._other}/summary", {})

    def _patient_list(self) -> Probe:
        query = {"office_id": self._other, "page_size": str(self._random.randint(1, 200))}
        if self._random.random() < 0.5:
            place = base64.b64encode(f"p={self._random.choice(self._patients)}".encode()).decode()
            query = {"cursor": place} | self._random.choice([{}, {"office_id": self._other}])
        return Probe("GET", "patients", query)

    def _activity(self) -> Probe:
        action, name = self._random.choice([("activate", "activated_at"), ("deactivate", "deactivated_at")])
        body = self._random.choice([{}, {name: None}, {name: "2026-02-25T00:00:00Z"}, {name: "2026-03-19T00:00:00Z"}])
        return Probe("POST", f"billing/patients/{self._random.choice(self._patients)}/{action}", {}, body)

    def _monthly(self) -> Probe:
        return Probe("POST", "billing/invoices", {}, {"office_id": self._other, "invoice_type": "monthly"})

    def _charge(self) -> Probe:
        body = {"office_id": self._other, "reason": self._random.choice(list(ChargeReason)), "amount": "1.00"}
        note = self._random.choice([{}, {"note": "a scanner"}])
        if self._random.random() < 0.5:
            return Probe("POST", "billing/charges/one-off", {}, body | note)
        kind = InvoiceType.SETUP_FEE if body["reason"] == ChargeReason.SETUP_FEE else InvoiceType.ONE_OFF
        return Probe("POST", "billing/invoices", {}, body | note | {"invoice_type": kind})

    def _registration(self) -> Probe:
        number = self._random.choice(["MRN-1", "MRN-2"])
        return Probe("POST", "patients", {}, {"office_id": self._other, "external_id": number})

    def _filters(self) -> dict[str, str]:
        possible = {
            "status": self._random.choice(list(InvoiceStatus)),
            "invoice_type": self._random.choice(list(InvoiceType)),
            "cycle": self._random.choice(["2026-02", "2026-03"]),
            "page_size": str(self._random.randint(1, 200)),
        }
        return {name: value for name, value in possible.items() if self._random.random() < 0.4}

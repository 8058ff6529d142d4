"""A month of the product with synthetic patients: import, API, console, run, delivery with faults, events, failures."""

import json
from collections.abc import Sequence
from pathlib import Path
from uuid import uuid4

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import IntegrityError, transaction
from django.http import HttpResponse
from django.test import Client
from django.utils import timezone

from billing.activation import activate_patient
from billing.alerts import send_alerts
from billing.api_keys import issue_api_key
from billing.billing_run import run_due
from billing.models import Scope
from billing.stripe_events import process_due
from offices.models import Office
from patients.identity import PatientIdentity
from patients.models import Patient
from sandbox.stripe_standin import StripeStandIn, sign
from tests.billing.scenes import CLOSED_AT, OPENED_AT, SharedClock, drain
from tests.builders import ACTOR, make_office
from tests.canary.console import Console
from tests.canary.people import Marked, write_csv
from tests.canary.sinks import Sinks

OFFICES = 3
LATE = 3  # the last people are registered by the API, not imported


class Month:
    """Lives through it once; what it does is said by the names of its methods."""

    def __init__(self, crowd: Sequence[Marked], sinks: Sinks, stripe: StripeStandIn, inputs: Path) -> None:
        self.crowd, self.sinks, self.stripe, self.inputs = crowd, sinks, stripe, inputs
        self.offices = [make_office(reference=f"canary-{number}") for number in range(OFFICES)]
        self.clock = SharedClock(CLOSED_AT, stripe)

    def live(self) -> None:
        self.import_patients()
        run_due(as_of=OPENED_AT, actor=ACTOR, now=OPENED_AT)
        self.import_what_cannot_be_imported()
        self.use_the_api()
        self.activate_late()
        self.close_and_deliver()
        self.hear_events()
        self.force_a_database_error()
        Console(self.crowd, self.sinks).use()
        self.run_every_report()
        send_alerts(now=timezone.now())

    def command(self, *arguments: object) -> None:
        """Run a command as a shell would, with and without `--json`."""
        for more in ((), ("--json",)):
            try:
                call_command(*map(str, arguments), *more)
            except SystemExit:
                continue
            except CommandError as error:
                print(error)  # noqa: T201 - what manage.py prints of it

    def keep(self, answer: HttpResponse) -> HttpResponse:
        return self.sinks.keep_answer(answer)

    def import_patients(self) -> None:
        names = [office.reference for office in self.offices]
        path = write_csv(self.inputs / "patients.csv", self.crowd[:-LATE], names)
        self.command("import_patients", path)
        assert Patient.objects.count() == len(self.crowd) - LATE

    def import_what_cannot_be_imported(self) -> None:
        person, names = self.crowd[0], [office.reference for office in self.offices]
        for column, cell in (
            ("date_of_birth", person.text("d")),
            ("activated_at", person.text("a")),
            ("office_reference", person.text("o")),
            ("email", person.text("e")),
            ("first_name", person.text("f") * 40),
            ("external_id", ""),
            ("deactivated_at", "2026-01-05T00:00:00Z"),
        ):
            self.command("import_patients", write_csv(self.inputs / "bad.csv", self.crowd[:5], names, **{column: cell}))
        (self.inputs / "header.csv").write_text(f"{person.text('h')},{person.text('i')}\n")
        (self.inputs / "quotes.csv").write_text(f'office_reference\n"{person.text("q")}\n')
        for name in ("header.csv", "quotes.csv", "absent.csv"):
            self.command("import_patients", self.inputs / name)
            self.command("import_offices", self.inputs / name)

    def use_the_api(self) -> None:
        _row, key = issue_api_key(
            office_id=self.offices[0].pk, name="portal", scopes=frozenset(Scope), actor=ACTOR, now=timezone.now(),
            expires_at=None,
        )  # fmt: skip
        self.portal = Client(headers={"Authorization": f"Api-Key {key}"}, raise_request_exception=False)
        for person in self.crowd[-LATE:]:
            body = {"office_id": str(self.offices[0].pk), **person.identity()}
            assert self._post("patients", body).status_code == 201
            self._post("patients", body)
            self._post("patients", body | {"first_name": person.text("z")})
            for name in body:
                self._post("patients", body | {name: [person.text("n")]})
                self._post("patients", body | {name: person.text("n") * 60})
            self._post("patients", body | {person.text("k"): person.text("v")})
            self._post(f"billing/patients/{uuid4()}/activate", {"activated_at": person.text("t")})
            self.keep(self.portal.get(f"/api/billing/invoices/{person.text('u')}", {person.text("q"): "1"}))
            self.keep(self.portal.post("/api/patients", person.text("b"), "application/json"))
            self.keep(self.portal.post("/api/patients", person.text("b"), person.text("c")))
            self.keep(self.portal.generic(person.text("m").upper(), "/api/patients"))
            for path in ("billing/charges/one-off", "billing/invoices"):
                for name in ("office_id", "reason", "amount", "invoice_type"):
                    body = {"office_id": str(self.offices[0].pk), "invoice_type": "monthly", "reason": "training"}
                    self._post(path, body | {name: person.text("w")})
            self.keep(Client(headers={"Authorization": f"Api-Key {person.text('k')}"}).get("/api/patients"))
        for address in ("/api/schema/", "/api/docs/", "/api/patients", "/healthz", "/readyz"):
            self.keep(self.portal.get(address))

    def _post(self, path: str, body: object) -> HttpResponse:
        return self.keep(self.portal.post(f"/api/{path}", json.dumps(body), "application/json"))

    def activate_late(self) -> None:
        for patient in Patient.objects.filter(office=self.offices[0]).order_by("pk"):
            if not patient.periods.exists():
                activate_patient(
                    office_id=patient.office_id, patient_id=patient.pk, activated_at=None, actor=ACTOR, now=CLOSED_AT
                )

    def close_and_deliver(self) -> None:
        run_due(as_of=CLOSED_AT, actor=ACTOR, now=CLOSED_AT)
        drain(self.clock)
        self.command("run_billing_cycle", "--dry-run")
        self.command("deliver_outbox")

    def hear_events(self) -> None:
        """Events reach the real address, with a body in which somebody at Stripe typed a patient's name."""
        secret, name = settings.STRIPE_WEBHOOK_SECRETS[0], self.crowd[0].text("f")
        for event in self.stripe.objects("event"):
            event["data"]["object"]["customer_name"] = name
            body, at = json.dumps(event).encode(), int(timezone.now().timestamp())
            for signature in (sign(body, secret, at), name):
                headers = {"Stripe-Signature": signature}
                self.keep(Client().post("/webhooks/stripe/", body, content_type="application/json", headers=headers))
        process_due(clock=timezone.now)
        self.command("process_stripe_events")

    def force_a_database_error(self) -> None:
        """A record number twice: PostgreSQL's own text prints the row."""
        known = PatientIdentity.objects.order_by("pk").first()
        other = Patient.objects.exclude(pk=known.pk).filter(office_id=known.office_id).first()
        try:
            with transaction.atomic():
                PatientIdentity.seal(patient_id=other.pk, office_id=known.office_id, identity=known.open()).save(
                    force_insert=True
                )
        except IntegrityError as error:
            self.force_an_error_page(IntegrityError(f"{error} DETAIL: ({self.crowd[0].text('f')}) already exists"))

    def force_an_error_page(self, error: Exception) -> None:
        from billing.api import patients

        def fail(**_values: object) -> None:
            person = self.crowd[0].identity()  # a local variable that an error reporter would print
            raise error from ValueError(person)

        kept, patients.register_patient = patients.register_patient, fail
        try:
            body = {"office_id": str(self.offices[0].pk), **self.crowd[1].identity()}
            assert self._post("patients", body).status_code == 500
        finally:
            patients.register_patient = kept

    def run_every_report(self) -> None:
        self.command("run_canary")
        self.command("verify_audit_chain")
        self.command("export_audit", "--out", self.sinks.folder / "audit-export")
        month = f"{timezone.now():%Y-%m}"
        self.command("evidence_report", "--month", month)
        self.command("evidence_report", "--month", month, "--out", self.sinks.folder / "evidence")
        self.command("unpark_office", Office.objects.first().reference, "--reason", "looked into")

"""A member of staff with every permission goes through the console, takes along what can be taken, and reveals one."""

import re
import zipfile
from collections.abc import Sequence
from datetime import timedelta
from io import BytesIO

from django.conf import settings
from django.contrib import admin
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from billing.admin.exports import ExportingPage
from billing.models import Incident, ParkedOffice
from patients import reveal_pages
from patients.identity import PatientIdentity
from patients.reveal_grant import RevealGrant
from tests.canary.people import STEM, Marked
from tests.canary.sinks import Sinks
from tests.staff import logged_in, member

METRICS_TOKEN = "a-token-for-metrics-of-enough-length-01"


class Console:
    """What is done is said by the names of its methods; `person` is the only one who may be seen, on one page."""

    def __init__(self, crowd: Sequence[Marked], sinks: Sinks) -> None:
        self.crowd, self.sinks = crowd, sinks
        self.staff = self._log_in("canary")
        identity = PatientIdentity.objects.order_by("pk").first()
        self.account = identity.patient_id
        self.person = next(each for each in crowd if each.text("f") == identity.open().first_name)

    def use(self) -> None:
        self.visit_every_page()
        self.ask_what_cannot_be_answered()
        self.close_and_release()
        self.export_every_list()
        self.take_the_evidence()
        self.read_the_metrics()
        self.reveal()

    def _log_in(self, name: str) -> Client:
        return logged_in(member(name, superuser=True), raise_request_exception=False)

    def _get(self, address: str, **query: str) -> HttpResponse:
        return self.sinks.keep_answer(self.staff.get(address, query))

    def _post(self, address: str, **form: str) -> HttpResponse:
        return self.sinks.keep_answer(self.staff.post(address, form, follow=True))

    def visit_every_page(self) -> None:
        self._get("/admin/")
        for model in admin.site._registry:
            address = f"/admin/{model._meta.app_label}/{model._meta.model_name}/"
            self._get(address)
            # The page repeats what was typed; the log must not.
            self.staff.get(address, {"q": self.person.text("f")})
            self.staff.get(address, {self.person.text("p"): self.person.text("v")})
            self.staff.get(f"{address}{self.person.text('u')}/change/")
            for row in model._default_manager.all()[:2]:
                self._get(f"{address}{row.pk}/change/")
                self._get(f"{address}{row.pk}/history/")

    def ask_what_cannot_be_answered(self) -> None:
        """Autocomplete would list rows by their text; the script catalogue and the password pages are Django's own."""
        for name in ("patient", "patientidentity", "office"):
            self._get("/admin/autocomplete/", app_label="patients", model_name=name, field_name="patient", term="Q")
        for address in ("/admin/jsi18n/", "/admin/password_change/", "/admin/nothing/", "/admin/patients/"):
            self._get(address)

    def close_and_release(self) -> None:
        for incident in Incident.objects.filter(disposed_at__isnull=True)[:2]:
            address = reverse("admin:billing_incident_dispose", args=[incident.pk])
            self._get(address)
            self._post(address, finding="drill", note="looked into")
        for parking in ParkedOffice.objects.filter(unparked_at__isnull=True)[:2]:
            address = reverse("admin:billing_parkedoffice_unpark", args=[parking.pk])
            self._get(address)
            self._post(address, reason="looked into")

    def export_every_list(self) -> None:
        for model, page in admin.site._registry.items():
            if not isinstance(page, ExportingPage):
                continue
            address = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_export")
            self._get(address)
            self._post(address, format="")
            for number, kind in enumerate(("csv", "xlsx")):
                answer = self.staff.post(address, {"format": str(number)})
                self.sinks.keep(f"export {kind}", _unpacked(b"".join(answer.streaming_content)))
                self.sinks.keep("answer", f"{answer.status_code} {answer.headers}")

    def take_the_evidence(self) -> None:
        address, month = reverse("admin:billing_evidence"), f"{timezone.now():%Y-%m}"
        self._get(address, month=month)
        for kind in ("md", "json"):
            answer = self._post(address, month=month, kind=kind)
            assert answer.status_code == 200
            self.sinks.keep("evidence", answer.content)

    def read_the_metrics(self) -> None:
        settings.METRICS_TOKEN = METRICS_TOKEN
        answer = Client().get("/metrics", headers={"Authorization": f"Bearer {METRICS_TOKEN}"})
        assert answer.status_code == 200
        self.sinks.keep("metrics", answer.content)
        self.sinks.keep_answer(Client().get("/metrics", headers={"Authorization": f"Bearer {self.person.text('k')}"}))

    def reveal(self) -> None:
        """One person is seen: on this page alone, by who asked; all that is around the page is searched."""
        ask = reverse("admin:patients_revealgrant_ask", args=[self.account])
        self._get(ask)
        asked = self.sinks.keep_answer(self.staff.post(ask, {"reason": f"{self.person.text('f')} calls"}))
        shown = self.staff.get(asked["Location"])
        self.sinks.revealed = shown.content.decode()
        self.sinks.keep_frame(shown)
        self.sinks.keep_answer(self._log_in("other").get(asked["Location"]))
        self.break_the_page(asked["Location"])
        RevealGrant.objects.update(granted_at=timezone.now() - timedelta(hours=1), expires_at=timezone.now())
        self._get(asked["Location"])
        assert self.sinks.revealed.count(STEM) >= 3

    def break_the_page(self, address: str) -> None:
        """The page fails while it holds the identity, in a local variable and in the exception's text."""

        def fail(_grant: object, identity: object) -> None:
            raise ValueError(self.person.identity()) from LookupError(identity.first_name)

        kept, reveal_pages._facts = reveal_pages._facts, fail
        try:
            assert self._get(address).status_code == 500
        finally:
            reveal_pages._facts = kept


def _unpacked(content: bytes) -> bytes:
    """A spreadsheet is a zip: its parts, as text, in place of bytes in which nothing could be found."""
    if not content.startswith(b"PK"):
        return content
    with zipfile.ZipFile(BytesIO(content)) as parts:
        return b"\n".join(parts.read(name) for name in parts.namelist())


def numbers_seen(page: str) -> set[str]:
    """Return the endings of the markers on the page: each is the number of one person."""
    return {found.lower() for found in re.findall(rf"{STEM}[a-z]([a-j]{{5}})", page, re.IGNORECASE)}

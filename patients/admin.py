"""Identities in the console: that there is one, and of which account; who it is only by a grant (reveal_pages.py)."""

from functools import partial
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import URLPattern, path

from audit.columns import link, text, when
from audit.read_only import ReadOnlyPage
from patients.identity import PatientIdentity
from patients.reveal_grant import RevealGrant
from patients.reveal_pages import AskToReveal, show_identity


@admin.register(PatientIdentity)
class PatientIdentityPage(ReadOnlyPage):
    """Which accounts have an identity on record."""

    details = [
        text("pk", title="patient account"),
        link("office_id", "offices_office"),
        text("external_id_index_key", title="index key"),
    ]
    ordering = ["pk"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Read the references alone: the sealed text and its key stay in the database."""
        return super().get_queryset(request).only("patient_id", "office_id", "external_id_index_key")


@admin.register(RevealGrant)
class RevealGrantPage(ReadOnlyPage):
    """Who was given leave to see an identity, and until when. Why stays encrypted."""

    details = [
        link("patient_id", "patients_patient", title="patient account"),
        text("actor", title="given to"),
        when("granted_at"),
        when("expires_at"),
    ]
    ordering = ["-granted_at"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Leave the reason in the database: people write about patients there."""
        return super().get_queryset(request).defer("reason")

    def get_urls(self) -> list[URLPattern]:
        """Add the page that asks for a reason, and the one that shows who it is."""
        ask = self.admin_site.admin_view(AskToReveal.as_view(page=self))
        show = self.admin_site.admin_view(partial(show_identity, page=self))
        return [
            path("ask/<uuid:patient_id>/", ask, name="patients_revealgrant_ask"),
            path("<uuid:grant_id>/identity/", show, name="patients_revealgrant_identity"),
            *super().get_urls(),
        ]

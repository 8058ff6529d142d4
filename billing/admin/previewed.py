"""Forms that act only on what was seen: first they show what would come of it, then they ask to confirm just that.

What was shown is remembered as a digest in the form; when it would come out otherwise by then, the new outcome is
shown and nothing is done.
"""

import hashlib
from collections.abc import Iterable
from typing import Any, ClassVar

from django import forms
from django.http import HttpResponse

from audit.staff_forms import CONFLICT, StaffForm

Consequences = list[tuple[str, str]]


class SeenForm(forms.Form):
    """A form with room for what was seen."""

    seen = forms.CharField(required=False, widget=forms.HiddenInput)


class PreviewedForm(StaffForm):
    """Subclasses tell the consequences of a filled-in form; of the empty one too when `at_once`."""

    template_name = "admin/previewed_form.html"
    look: ClassVar[str] = "Show what comes of it"
    at_once: ClassVar[bool] = False
    _shown: Consequences | None = None
    _refusal = ""

    def consequences(self, form: Any) -> Iterable[tuple[str, str]]:
        """Return what would come of it; `form` is None before anything is filled in. Raises what `act` raises."""
        raise NotImplementedError

    def form_valid(self, form: Any) -> HttpResponse:
        """Show what would come of it, or act on what was shown."""
        try:
            found = list(self.consequences(form))
        except self.expected as error:
            form.add_error(None, str(error))
            return self.render_to_response(self.get_context_data(form=form), status=CONFLICT)
        if form.cleaned_data["seen"] == digest(found):
            return super().form_valid(form)
        return self.show(form, found, digest(found))

    def show(self, form: Any, found: Consequences, seen: str) -> HttpResponse:
        """Show what would come of it, and remember in the form that it was seen."""
        self._shown = found
        form.data = form.data.copy()
        form.data["seen"] = seen
        return self.render_to_response(self.get_context_data(form=form))

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Add what was found; the button says what it will do."""
        form = kwargs.get("form")
        if form is None and self.at_once and self.request.method == "GET":
            self._look_at_once()
            form = kwargs["form"] = self.get_form()
        context = super().get_context_data(**kwargs)
        return context | {"consequences": self._shown or [], "verb": self.submit if self._shown else self.look}

    def _look_at_once(self) -> None:
        try:
            self._shown = list(self.consequences(None))
            self.initial = {**self.initial, "seen": digest(self._shown)}
        except self.expected as error:
            self._refusal = str(error)

    def facts(self) -> list[tuple[str, str]]:
        """Say at once what stands in the way."""
        return [("Not possible now", f"{self._refusal}.")] if self._refusal else []


def digest(found: Consequences) -> str:
    """Return what a form remembers of what it showed."""
    return hashlib.sha256("\n".join(f"{name}\t{value}" for name, value in found).encode()).hexdigest()[:32]

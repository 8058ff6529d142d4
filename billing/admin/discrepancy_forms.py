"""What people do about a difference to Stripe: take it on, write a note, leave it for a reason, or let it be mended."""

import json
from typing import Any, ClassVar

from django import forms
from django.contrib.auth.models import User
from django.utils import timezone
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextareaWidget

from audit.columns import coloured
from audit.read_only import RelatedTable
from audit.staff_forms import StaffForm, staff_actor
from billing import money
from billing.models import Discrepancy
from billing.reconciliation.repair import NotRepaired, NotToPull, pull_one, pulled_with
from billing.reconciliation.staff import (
    DiscrepancyEnded,
    NoteLooksLikePatientData,
    ReasonMissing,
    accept,
    assign,
    write_note,
)
from offices.locking import OfficeBusy

PERMISSION = "billing.resolve_discrepancy"
LONGEST = 500


def side_by_side(found: Discrepancy) -> RelatedTable:
    """Return what either side says, with a mark on each line in which they differ."""
    ours, theirs = json.loads(found.ours), json.loads(found.theirs)
    differing = _differing(ours, theirs)
    rows = [
        [
            name.removesuffix("_cents").replace("_", " ").capitalize(),
            _words(name, ours.get(name)),
            _words(name, theirs.get(name)),
            coloured("differs", "danger") if name in differing else "",
        ]
        for name in dict.fromkeys([*ours, *theirs])
    ]
    return RelatedTable("Side by side", ["field", "our books", "Stripe", ""], rows)


def _differing(ours: dict[str, Any], theirs: dict[str, Any]) -> set[str]:
    """Return what both sides tell, and not alike; where there is no such thing, what only one of them knows of."""
    unlike = {name for name in ours.keys() & theirs.keys() if ours[name] != theirs[name]}
    return unlike or theirs.keys() - ours.keys() or ours.keys() - theirs.keys()


def what_changes(found: Discrepancy) -> list[str]:
    """Return in words what a repair would take over, field by field."""
    kind = found.get_kind_display().capitalize()
    return [
        f"{kind}: {field.lower()} {ours} becomes {theirs}"
        for field, ours, theirs, differs in side_by_side(found).rows
        if differs
    ]


def _words(name: str, value: Any) -> str:
    if name.endswith("_cents") and isinstance(value, int):
        return money.to_text(value)
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "-"
    return "-" if value in (None, "") else str(value)


class _Words(forms.Form):
    """Words of a person."""

    words = forms.CharField(
        max_length=LONGEST,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3, "autofocus": True}),
        help_text="Stays here, encrypted; write no patient's name.",
    )


class Settle(StaffForm):
    """Something that is done about a discrepancy."""

    permission = PERMISSION
    form_class: Any = forms.Form
    expected: ClassVar = (
        DiscrepancyEnded, NoteLooksLikePatientData, ReasonMissing, OfficeBusy, NotToPull, NotRepaired
    )  # fmt: skip

    def facts(self) -> list[tuple[str, str]]:
        """Show which difference it is."""
        found: Discrepancy = self.row
        return [
            ("Kind", found.get_kind_display().capitalize()),
            ("About", found.subject),
            ("Office", found.office.reference if found.office else "none of ours"),
            ("Owner", found.owner or "nobody"),
            ("Proposed", found.get_repair_display().capitalize()),
        ]

    def act(self, form: Any) -> str:
        """Do it, and go back to the discrepancy."""
        self.settle(
            form.cleaned_data.get("words", ""), {"discrepancy_id": self.row.pk, "actor": staff_actor(self.request)}
        )
        return self.back()

    def settle(self, words: str, about: dict[str, Any]) -> None:
        """Make the one call."""
        raise NotImplementedError


class TakeOn(Settle):
    """Become the owner."""

    title = "Take a difference on"
    lead = "You become its owner, and others see that you look into it."
    submit = "Take it on"
    done = "It is yours."

    def settle(self, words: str, about: dict[str, Any]) -> None:  # noqa: ARG002
        """Assign it to whoever asks."""
        assign(owner=about["actor"], now=timezone.now(), **about)


class _Owner(forms.Form):
    """Who it is given to."""

    owner = forms.ChoiceField(required=False, widget=UnfoldAdminSelectWidget)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        able = User.objects.with_perm(PERMISSION, backend="django.contrib.auth.backends.ModelBackend")
        names = able.order_by("username").values_list("username", flat=True).distinct()
        owners = [(f"staff:{name}", name) for name in names]
        self.fields["owner"].choices = [("", "Nobody"), *owners]  # type: ignore[attr-defined]


class Assign(Settle):
    """Give it to somebody who may settle it, or take it away from everybody."""

    form_class = _Owner
    title = "Give a difference to somebody"
    lead = "Whoever is chosen becomes its owner, and others see that."
    submit = "Assign it"
    done = "Assigned."

    def get_initial(self) -> dict[str, Any]:
        """Show whose it is."""
        return super().get_initial() | {"owner": self.row.owner}

    def act(self, form: Any) -> str:
        """Assign it."""
        actor = staff_actor(self.request)
        assign(discrepancy_id=self.row.pk, owner=form.cleaned_data["owner"], actor=actor, now=timezone.now())
        return self.back()


class WriteNote(Settle):
    """Keep what was found out."""

    form_class = _Words
    title = "Write a note on a difference"
    lead = "What was found out so far. It takes the place of the note before."
    submit = "Keep the note"
    done = "Kept."

    def get_initial(self) -> dict[str, Any]:
        """Go on from the note before."""
        return super().get_initial() | {"words": self.row.note}

    def settle(self, words: str, about: dict[str, Any]) -> None:
        """Keep it."""
        write_note(note=words, now=timezone.now(), **about)


class Accept(Settle):
    """Leave it as it is."""

    form_class = _Words
    title = "Accept a difference"
    lead = "It is left as it is, and blocks no month. It is told again as soon as one side says something else."
    submit = "Accept it"
    done = "Accepted."

    def settle(self, words: str, about: dict[str, Any]) -> None:
        """Accept it."""
        accept(reason=words, now=timezone.now(), **about)


class Repair(Settle):
    """Take what Stripe has decided already; what would be done is shown first."""

    title = "Repair a difference"
    lead = "The invoice is fetched from Stripe once, and our books take what Stripe says. Nothing is written at Stripe."
    submit = "Repair it"
    done = "Fetched. What agrees now is marked as repaired."

    def facts(self) -> list[tuple[str, str]]:
        """Add the dry run: every difference that one look would mend, and from what to what."""
        facts = super().facts()
        for found in pulled_with(self.row).defer("note").order_by("found_at"):
            facts += [("Would change", words) for words in what_changes(found)]
        return facts

    def settle(self, words: str, about: dict[str, Any]) -> None:  # noqa: ARG002
        """Fetch and apply."""
        pull_one(clock=timezone.now, **about)

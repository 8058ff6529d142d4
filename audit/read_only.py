"""Pages that only show: nothing that money or proof hangs on is added, changed or deleted by hand, by nobody.

They lie in the lowest app because the pages of every app above are made of them.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from django.contrib import messages
from django.contrib.admin import ShowFacets
from django.contrib.admin.options import IncorrectLookupParameters
from django.core.paginator import Paginator
from django.db import DatabaseError
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.http import urlencode

from audit.columns import Column

if TYPE_CHECKING:
    from django.contrib.admin import ModelAdmin
    from django.contrib.admin.views.main import ChangeList

    _ModelAdmin = ModelAdmin[Any]
    _Paginator = Paginator[Any]
else:
    from unfold.admin import ModelAdmin as _ModelAdmin
    from unfold.views import ChangeList

    _Paginator = Paginator

# A list says "10,001" for anything longer: counting a million rows takes longer than showing fifty of them.
LONGEST_COUNT = 10_001
# How many related rows a detail page shows before it links to the list of all.
RELATED_ROWS = 20


class BoundedPaginator(_Paginator):
    """Counts no further than anybody turns pages; whoever looks for an older row filters or searches."""

    template_name = "admin/bounded_pagination.html"

    @cached_property
    def count(self) -> int:
        """Return the number of rows, at most LONGEST_COUNT."""
        rows: Any = self.object_list
        return int(rows.order_by().values("pk")[:LONGEST_COUNT].count())

    @property
    def cut(self) -> bool:
        """Tell whether there are more rows than were counted."""
        return self.count == LONGEST_COUNT


class PlainList(ChangeList):
    """Offers to show all rows only where a filter or a search hides some."""

    def get_results(self, request: HttpRequest) -> None:
        """Read the page of rows; raise IncorrectLookupParameters for what only the database finds wrong.

        Anybody can write a year of eleven digits or half an expression into the address of a list.
        """
        try:
            super().get_results(request)
        except (DatabaseError, OverflowError, ValueError) as error:
            if not self.params:
                raise
            raise IncorrectLookupParameters from error
        if not (self.query or self.has_active_filters):
            self.full_result_count = self.result_count


@dataclass(frozen=True, slots=True)
class RelatedTable:
    """Rows that belong to the object of a detail page. `more` is the address of the list of all of them."""

    title: str
    headers: Sequence[str]
    rows: Sequence[Sequence[str]]
    more: str = ""
    cut: bool = False


def related(
    title: str, columns: Sequence[Column], rows: QuerySet[Any] | Iterable[Any], *, more: str = ""
) -> RelatedTable:
    """Return a table of the first RELATED_ROWS rows, with a link to all of them when it was cut."""
    first = list(rows[: RELATED_ROWS + 1] if isinstance(rows, QuerySet) else rows)
    shown = first[:RELATED_ROWS]
    return RelatedTable(
        title,
        [column.short_description for column in columns],
        [[column(row) or "-" for column in columns] for row in shown],
        more=more,
        cut=len(first) > len(shown),
    )


def list_of(page: str, **filters: Any) -> str:
    """Return the address of the list `app_model`, filtered."""
    return f"{reverse(f'admin:{page}_changelist')}?{urlencode(filters)}"


def may_view(request: HttpRequest, model: type[Model]) -> bool:
    """Tell whether the user may look at rows of this model."""
    return request.user.has_perm(f"{model._meta.app_label}.view_{model._meta.model_name}")


class ReadOnlyPage(_ModelAdmin):
    """A list and a detail page that whoever has the view permission may look at.

    `details` are the columns of the detail page, and of the list unless `list_display` chooses among them.
    """

    list_display: Any = ()
    details: Sequence[Column] = ()
    actions: Any = None
    list_per_page = 50
    list_max_show_all = 0
    paginator = BoundedPaginator
    show_full_result_count = False
    show_facets = ShowFacets.NEVER
    change_form_outer_after_template = "admin/related_tables.html"

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        """Refuse, whoever asks."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        """Refuse, whoever asks."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        """Refuse, whoever asks."""
        return False

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        """Ask for the permission to view: the permission to change means nothing here."""
        return may_view(request, self.model)

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:  # noqa: ARG002
        """Return what reads the list."""
        return PlainList

    def get_list_display(self, request: HttpRequest) -> Any:  # noqa: ARG002
        """Show the details when the page chooses nothing else."""
        return self.list_display or self.details

    def details_for(self, request: HttpRequest) -> Sequence[Column]:  # noqa: ARG002
        """Return what this person may see of a row."""
        return self.details

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:  # noqa: ARG002
        """Show the details and nothing besides, two in a line."""
        shown = self.details_for(request)
        return [tuple(shown[first : first + 2]) for first in range(0, len(shown), 2)]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:  # noqa: ARG002
        """Let no detail be a form field."""
        return self.details

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        """Read the row once in a request: the page asks for it, and so do its actions."""
        read: dict[Any, Any] = request.__dict__.setdefault("rows_read", {})
        asked = (self.model, str(object_id), from_field)
        if asked not in read:
            read[asked] = super().get_object(request, object_id, from_field)
        return read[asked]

    def offers(self, request: HttpRequest, row: Any) -> bool:  # noqa: ARG002
        """Tell whether the page of this row offers its actions; each of them asks again for itself."""
        return True

    def offers_action(self, request: HttpRequest, row: Any, path: str) -> bool:  # noqa: ARG002
        """Tell the same of the action at this path alone, where a page has several."""
        return self.offers(request, row)

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        """Leave out what makes no sense for the row or the person."""
        actions: list[Any] = super().get_actions_detail(request, object_id)  # type: ignore[misc]
        if not actions:
            return actions
        row = self.get_object(request, str(object_id))
        return [each for each in actions if self.offers_action(request, row, each.path)] if row is not None else []

    def _get_obj_does_not_exist_redirect(self, request: HttpRequest, opts: Any, object_id: str) -> HttpResponse:
        """Say that the row is gone; Django's own message repeats what was typed, and a cookie keeps it."""
        del opts, object_id
        messages.warning(request, "There is no such row (any more).")
        return HttpResponseRedirect(reverse("admin:index", current_app=self.admin_site.name))

    def related_tables(self, request: HttpRequest, obj: Any) -> Iterable[RelatedTable]:  # noqa: ARG002
        """Return the tables below the details, each only for who may view its rows."""
        return ()

    def render_change_form(
        self,
        request: HttpRequest,
        context: dict[str, Any],
        add: bool = False,  # noqa: FBT001, FBT002 - Django's signature
        change: bool = False,  # noqa: FBT001, FBT002
        form_url: str = "",
        obj: Any = None,
    ) -> HttpResponse:
        """Add the related tables."""
        context["related_tables"] = list(self.related_tables(request, obj)) if obj is not None else []
        return super().render_change_form(request, context, add, change, form_url, obj)

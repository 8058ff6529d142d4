"""Lists that can be exported: django-import-export's page and its reading of filters, our columns, files and record."""

from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib.admin import ModelAdmin
from django.contrib.admin.options import IncorrectLookupParameters
from django.http import FileResponse, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from import_export.admin import ExportMixin
from unfold.contrib.import_export.forms import ExportForm

from audit.staff_forms import refusal_page, staff_actor
from billing.admin.pages import BillingPage
from billing.exports.export_rows import ExportTooLong, export_rows
from billing.exports.formats import FORMATS
from billing.exports.sheet import Sheet

if TYPE_CHECKING:
    _ModelAdmin = ModelAdmin[Any]
else:
    _ModelAdmin = ModelAdmin


class _ExportModelAdmin(ExportMixin, _ModelAdmin):  # type: ignore[misc]
    """The library's export side alone: nothing is ever imported through the console."""


class ExportingPage(BillingPage, _ExportModelAdmin):
    """A list with a way to take it along, for who may view it and has the permission to export besides."""

    sheet: ClassVar[type[Sheet]]
    export_form_class = ExportForm
    formats = export_formats = FORMATS

    def get_export_resource_classes(self, request: HttpRequest) -> list[type[Sheet]]:  # noqa: ARG002
        """Return the one sheet of this list."""
        return [self.sheet]

    def has_export_permission(self, request: HttpRequest) -> bool:
        """Ask for both permissions."""
        return bool(self.has_view_permission(request) and super().has_export_permission(request))

    def export_action(self, request: HttpRequest) -> HttpResponseBase:
        """Show the form, or hand out the file of the rows that the list shows under its filters."""
        if not self.has_export_permission(request):
            return self._refuse(request)
        try:
            queryset = self.get_export_queryset(request)
        except IncorrectLookupParameters:
            return redirect(reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_changelist") + "?e=1")
        form = self.export_form_class(self.get_export_formats(), [self.sheet], data=request.POST or None)
        if form.is_valid():
            try:
                return self._file(request, queryset, FORMATS[int(form.cleaned_data["format"])]())
            except ExportTooLong as error:
                form.add_error(None, str(error))
        context = self.init_request_context_data(request, form) | {"title": f"Export {self.sheet.name}"}
        return TemplateResponse(request, [self.export_template_name], context)

    def _file(self, request: HttpRequest, queryset: Any, file_format: Any) -> FileResponse:
        now = timezone.now()
        exported = export_rows(
            sheet=self.sheet(), queryset=queryset, file_format=file_format, filters=self._filters(request),
            actor=staff_actor(request), now=now,
        )  # fmt: skip
        name = f"{self.sheet.name}-{now:%Y-%m-%d}.{file_format.get_extension()}"
        return FileResponse(exported.file, as_attachment=True, filename=name, content_type=file_format.CONTENT_TYPE)

    def _filters(self, request: HttpRequest) -> list[str]:
        """Name the filters in force: only words of ours, for the address of a page could hold any."""
        ours = {field.name for field in self.opts.concrete_fields} | {"cycle"}
        ours |= {getattr(each, "parameter_name", "") for each in self.list_filter}
        names = {name.partition("__")[0] for name in request.GET}
        return sorted(names & ours) + (["search"] if request.GET.get("q") else [])

    def _refuse(self, request: HttpRequest) -> HttpResponse:
        viewing = "view" if not self.has_view_permission(request) else "export"
        return refusal_page(request, self, f"{self.opts.app_label}.{viewing}_{self.opts.model_name}")

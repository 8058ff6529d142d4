"""Pages of the console on which a person does one thing: a form, one use case behind it, and a clear refusal.

They lie in the lowest app because pages of every app above are made of them. Titles, messages and addresses are
constants and ids: browsers, histories and logs keep them.
"""

from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib import messages
from django.contrib.auth.models import Permission
from django.forms import Form
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.views.generic import FormView

from audit.read_only import ReadOnlyPage

if TYPE_CHECKING:
    _FormView = FormView[Form]
else:
    _FormView = FormView

CONFLICT = 409  # the form was right, but what it asks for is not possible as things stand


def staff_actor(request: HttpRequest) -> str:
    """Return how the audit trail names whoever is logged in."""
    return f"staff:{request.user.get_username()}"


def refusal_page(request: HttpRequest, page: ReadOnlyPage, permission: str) -> HttpResponse:
    """Return a page, status 403, that says which permission is missing, in words and as administrators grant it."""
    app, _, codename = permission.partition(".")
    found = Permission.objects.filter(content_type__app_label=app, codename=codename).first()
    context = page.admin_site.each_context(request) | {
        "title": "Not permitted",
        "permission": permission,
        "words": found.name if found else "",
    }
    return render(request, "admin/not_permitted.html", context, status=403)


class StaffForm(_FormView):
    """A form for whoever has `permission`. Subclasses name the words, the expected facts, and implement `act`.

    `expected` are the exceptions by which the use case says that it did nothing; their text is shown at the form, so it
    must hold no value.
    """

    page: ReadOnlyPage | None = None  # given by `as_view`, which takes only what the class has
    permission: ClassVar[str]
    title: ClassVar[str]
    lead: ClassVar[str]  # what will come of it
    submit: ClassVar[str]
    done: ClassVar[str] = ""  # the message afterwards
    expected: ClassVar[tuple[type[Exception], ...]] = ()
    template_name = "admin/staff_form.html"
    row: Any = None

    def act(self, form: Any) -> str:
        """Make the one call, and return the address to go on to."""
        raise NotImplementedError

    def facts(self) -> list[tuple[str, str]]:
        """Return what the person must see of the row before deciding."""
        return []

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        """Refuse whoever lacks the permission; find the row."""
        if not self.is_permitted():
            return self.refuse()
        if "object_id" in kwargs:
            self.row = self.of_page.get_object(request, kwargs["object_id"])
            if self.row is None:
                raise Http404
        return super().dispatch(request, *args, **kwargs)

    def is_permitted(self) -> bool:
        """Tell whether this person may do it."""
        return bool(self.request.user.has_perm(self.permission))

    def refuse(self) -> HttpResponse:
        """Say what is missing."""
        return refusal_page(self.request, self.of_page, self.permission)

    def form_valid(self, form: Any) -> HttpResponse:
        """Act, and go on; an expected fact is shown at the form."""
        try:
            address = self.act(form)
        except self.expected as error:
            form.add_error(None, str(error))
            return self.render_to_response(self.get_context_data(form=form), status=CONFLICT)
        if self.done:
            messages.success(self.request, self.done)
        return HttpResponseRedirect(address)

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Add the frame of the console and our words."""
        words = {"title": self.title, "lead": self.lead, "verb": self.submit, "facts": self.facts()}
        frame = self.of_page.admin_site.each_context(self.request)
        return super().get_context_data(**kwargs) | frame | words | {"back": self.back()}

    def back(self) -> str:
        """Return the address of the row's page, or of the list."""
        name = f"admin:{self.of_page.opts.app_label}_{self.of_page.opts.model_name}"
        return reverse(f"{name}_change", args=[self.row.pk]) if self.row else reverse(f"{name}_changelist")

    @property
    def of_page(self) -> ReadOnlyPage:
        """The page of the admin that this one belongs to."""
        if self.page is None:
            raise TypeError("as_view() needs the page")
        return self.page

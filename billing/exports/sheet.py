"""The columns of an export, and the rule which columns there may be: none of class `ephi`, none that is encrypted.

Rows are read as plain values: a column of another table is joined, never looked up row by row, and nothing is
decrypted.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, ClassVar

from django.db.models import Field, Model, QuerySet
from import_export.fields import Field as LibraryField
from import_export.resources import Resource
from import_export.widgets import Widget

from billing.minimization.classification import DataClass, class_of
from offices.encryption import EncryptedTextField

Cell = str | int | Decimal | date | datetime | None

AT_ONCE = 2_000  # rows fetched at a time

if TYPE_CHECKING:
    _Field = Any
else:
    _Field = LibraryField


class ColumnNotAllowed(ValueError):
    """The inventory of fields forbids that this column leaves."""


class _Plain(Widget):  # type: ignore[misc]
    """A value as it is: text stays text, a number stays a number, an instant becomes one in UTC."""

    def render(self, value: Any, _row: object = None, **_more: object) -> Cell:
        if isinstance(value, datetime):
            # Spreadsheets know no zones; the column says UTC.
            return value.astimezone(UTC).replace(tzinfo=None, microsecond=0)
        if isinstance(value, bool):
            return "yes" if value else "no"
        return value if value is None or isinstance(value, int | date) else str(value)


class _Money(Widget):  # type: ignore[misc]
    """Cents, as a decimal number: the only place of an export where money is no integer."""

    def render(self, cents: int | None, _row: object = None, **_more: object) -> Cell:
        return None if cents is None else Decimal(cents).scaleb(-2)


class Column(LibraryField):  # type: ignore[misc]
    """One column: the path of its field from the sheet's model, or the fields that an annotation is made `of`."""

    def __init__(self, path: str, title: str = "", *, of: Sequence[str] = (), widget: Any = None) -> None:
        super().__init__(path, title or path.rpartition("__")[2], widget or _Plain(), readonly=True)
        self.sources = of or (path,)


def money(path: str, title: str, *, of: Sequence[str] = ()) -> Column:
    """Return a column of cents, shown as a decimal number."""
    return Column(path, title, of=of, widget=_Money())


class Sheet(Resource):  # type: ignore[misc]
    """What an export of one model holds. Subclasses name the model and the file, and declare the columns."""

    model: ClassVar[type[Model]]
    name: ClassVar[str]

    @classmethod
    def get_display_name(cls) -> str:
        """Return what the page calls it."""
        return cls.name

    def columns(self) -> list[Column]:
        """Return the columns in their order; raise ColumnNotAllowed for one that must not leave."""
        columns = [self.fields[name] for name in self.get_export_order()]
        for column in columns:
            for source in column.sources:
                _refuse_forbidden(self.model, source)
        return columns

    def headers(self) -> list[Cell]:
        """Return the first line."""
        return [column.column_name for column in self.columns()]

    def rows(self, queryset: QuerySet[Any]) -> Iterator[list[Cell]]:
        """Yield the cells of each row; memory does not grow with their number."""
        columns = self.columns()
        renderers = [column.widget.render for column in columns]
        for values in queryset.values_list(*(column.attribute for column in columns)).iterator(chunk_size=AT_ONCE):
            yield [render(value) for render, value in zip(renderers, values, strict=True)]


def _refuse_forbidden(model: type[Model], path: str) -> None:
    """Walk along the path: each field on it counts, the keys too."""
    for name in path.split("__"):
        field: Field[Any, Any] = model._meta.get_field(name)  # type: ignore[assignment]
        if class_of(model, name) is DataClass.EPHI or isinstance(field, EncryptedTextField):
            raise ColumnNotAllowed(f"{model._meta.label}.{name} must not be exported")
        model = field.related_model or model

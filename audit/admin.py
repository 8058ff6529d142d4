"""The audit trail in the console: to read, and nothing else."""

from collections.abc import Iterable, Sequence
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from audit.columns import Column, code, link, text, when
from audit.models import AuditEntry, Checkpoint, SealedHead, StreamHead
from audit.read_only import ReadOnlyPage, RelatedTable, list_of, may_view, related

ENTRY_COLUMNS: list[Column] = [when("at"), text("action"), text("actor"), code("payload")]


def audit_trail(request: HttpRequest, stream: str, *, without: Sequence[str] = ()) -> Iterable[RelatedTable]:
    """Yield the last entries of a stream, for who may read the trail; `without` actions that begin like these."""
    if may_view(request, AuditEntry):
        entries = AuditEntry.objects.filter(stream=stream).order_by("-seq")
        for beginning in without:
            entries = entries.exclude(action__startswith=beginning)
        yield related("Audit trail", ENTRY_COLUMNS, entries, more=list_of("audit_auditentry", stream__exact=stream))


class StreamPage(ReadOnlyPage):
    """Finds a stream by its whole name."""

    search_fields = ("stream__exact",)
    search_help_text = "office:<reference> (exact)"

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Compare the whole term: an index answers that, whatever the number of entries."""
        del request
        term = search_term.strip()
        return (queryset.filter(stream=term) if term else queryset), False


@admin.register(AuditEntry)
class AuditEntryPage(StreamPage):
    """Who did what when."""

    list_display = [text("seq", title="position"), text("stream"), when("at"), text("actor"), text("action")]
    ordering = ["-pk"]
    details = [
        link("stream", "audit_streamhead"),
        text("seq", title="position"),
        when("at"),
        text("actor"),
        text("action"),
        code("payload"),
        code("previous", title="previous digest"),
        code("digest"),
        text("mac_key", title="key of the MAC"),
    ]


@admin.register(StreamHead)
class StreamHeadPage(StreamPage):
    """Where each stream ends."""

    list_display = [text("stream"), text("seq", title="entries")]
    ordering = ["stream"]
    details = [text("stream"), text("seq", title="entries"), code("digest"), text("mac_key", title="key of the MAC")]

    def related_tables(self, request: HttpRequest, obj: StreamHead) -> Iterable[RelatedTable]:
        """Show the end of the stream."""
        return audit_trail(request, obj.stream)


SEALED_COLUMNS: list[Column] = [link("stream", "audit_streamhead", caption="stream"), text("seq", title="position")]


@admin.register(Checkpoint)
class CheckpointPage(ReadOnlyPage):
    """What was sealed when, and the signature that says so."""

    list_display = [text("seq", title="checkpoint"), when("at"), text("streams"), text("entries"), code("root")]
    ordering = ["-pk"]
    details = [
        text("seq", title="checkpoint"),
        when("at"),
        text("streams"),
        text("entries"),
        code("root", title="Merkle root"),
        code("previous", title="previous digest"),
        code("digest"),
        code("public_key"),
        code("signature"),
    ]

    def related_tables(self, request: HttpRequest, obj: Checkpoint) -> Iterable[RelatedTable]:
        """Show which streams had gone on since the checkpoint before."""
        if may_view(request, SealedHead):
            heads = obj.heads.order_by("place")
            yield related("Streams sealed", [*SEALED_COLUMNS, code("digest")], heads)


@admin.register(SealedHead)
class SealedHeadPage(StreamPage):
    """Up to where each checkpoint sealed a stream."""

    list_display = [*SEALED_COLUMNS, text("checkpoint_id", title="checkpoint")]
    ordering = ["-pk"]
    details = [
        link("stream", "audit_streamhead", caption="stream"),
        text("seq", title="position"),
        link("checkpoint_id", "audit_checkpoint", title="checkpoint"),
        text("place", title="leaf of the tree"),
        code("digest"),
    ]

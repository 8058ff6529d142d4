"""What Stripe saw of patients: the scan of everything that was sent, and the proof that the scan sees."""

from collections.abc import Iterator
from dataclasses import dataclass

from django.conf import settings

from billing.models import Invoice, OutboundRequest
from billing.stripe_gateway.outbound_values import CATALOGUE
from offices.models import Office
from patients.models import Patient
from sandbox.demo.identifiers import needles_of
from sandbox.demo.leak_scan import Proof, Scanner, ScanResult, prove
from sandbox.demo.stage import Stage

PLANTED_PEOPLE = 12  # the awkward ones first: every script, accent and length of name


@dataclass(frozen=True, slots=True)
class PrivacyFindings:
    """What the scan found, and whether it can be believed."""

    scan: ScanResult
    proof: Proof


def search(stage: Stage) -> PrivacyFindings:
    """Scan everything that Stripe recorded, then plant identifiers in a copy and see that they are found."""
    requests = stage.standin.requests
    references = Patient.objects.values_list("pk", flat=True)
    needles = needles_of(stage.people, references, constants=constants())
    scanner = Scanner(needles, own_ids=_own_ids(stage))
    awkward = [person for person in stage.people if not (person.first_name + person.last_name).isascii()]
    sample = [*awkward, *stage.people][:PLANTED_PEOPLE]
    return PrivacyFindings(scanner.scan(requests), prove(scanner, sample, requests[0]))


def constants() -> list[str]:
    """Return the words of our own that are sent on purpose."""
    return [*CATALOGUE, settings.BILLING_FALLBACK_EMAIL]


def _own_ids(stage: Stage) -> Iterator[str]:
    """Yield every random id that is ours or Stripe's own; none of them comes from a person."""
    yield settings.STRIPE_API_KEY
    for kind in ("customer", "invoice", "invoiceitem", "line_item", "payment_intent", "charge", "event"):
        yield from (row["id"] for row in stage.standin.objects(kind))
    for office_id, opaque_name in Office.objects.values_list("pk", "opaque_name"):
        yield str(office_id)
        yield opaque_name.rpartition(" ")[2]
    yield from map(str, Invoice.objects.values_list("pk", flat=True))
    keys = OutboundRequest.objects.filter(idempotency_key__isnull=False)
    yield from map(str, keys.values_list("idempotency_key", flat=True))

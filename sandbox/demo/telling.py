"""Tell the story from an empty database to the last check, and sum it up for people and for machines."""

from dataclasses import dataclass

from billing.models import Invoice
from sandbox.demo import account as accounts
from sandbox.demo import privacy, story
from sandbox.demo.account import Account
from sandbox.demo.findings import Check, checks_of, row_counts
from sandbox.demo.privacy import PrivacyFindings
from sandbox.demo.stage import Stage
from sandbox.stripe_standin import StripeStandIn


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a story: every check, counts by name, and the cents that were billed."""

    checks: tuple[Check, ...]
    counts: dict[str, int]
    billed_cents: int

    @property
    def failed(self) -> list[Check]:
        """Return the sentences that do not hold."""
        return [check for check in self.checks if not check.holds]


def tell(standin: StripeStandIn, account: Account, progress: story.Progress) -> Outcome:
    """Live through the story on an empty, migrated database, print the account, and return what came of it."""
    account.headline("Three months of a clinic network: the real product, a local Stripe, a simulated clock")
    stage = Stage(standin, story.FIRST_DAY, account.event)
    imported = story.import_files(stage.now)
    rows = row_counts()
    again = story.import_files(stage.now)
    first = [
        Check("row_refused", "every row of both files was imported", imported.is_complete and not imported.is_empty),
        Check(
            "second_import_changed_something",
            "importing both files again adds no row",
            again.is_complete and row_counts() == rows,
        ),
    ]
    story.live_through(stage, imported, progress=progress)
    found = privacy.search(stage)
    checks, comparison = checks_of(stage, found)
    outcome = _outcome([*first, *checks], stage, found, imported, comparison.compared)
    _print(account, stage, found, outcome)
    return outcome


def _outcome(
    checks: list[Check], stage: Stage, found: PrivacyFindings, imported: story.Imported, compared: int
) -> Outcome:
    months = accounts.months()
    names = ("activations", "deactivations", "reactivations", "cycles_opened", "cycles_closed", "invoices_closed")
    counts = {
        "offices": imported.offices.counts["offices_created"],
        "patients": imported.patients.counts["patients_created"],
        **{name: stage.counts[name] for name in names},
        "months": len(months),
        "webhooks_delivered": stage.counts["webhooks_delivered"],
        "webhooks_lost": stage.counts["webhooks_lost"],
        "stripe_requests": len(stage.standin.requests),
        "stripe_customers": len(stage.standin.objects("customer")),
        "stripe_invoices": len(stage.standin.objects("invoice")),
        "distinct_descriptions": len(stage.standin.distinct_descriptions()),
        "invoices_compared": compared,
        "identifiers_searched": found.scan.needles,
        "identifiers_found": found.scan.found.total(),
        "checks": len(checks),
        "checks_failed": sum(not check.holds for check in checks),
    }
    billed = sum(row[3] for row in accounts.invoices_by_status())
    return Outcome(tuple(checks), counts, billed)


def _print(account: Account, stage: Stage, found: PrivacyFindings, outcome: Outcome) -> None:
    account.months(accounts.months())
    account.statuses(accounts.invoices_by_status(), Invoice.objects.filter(closed_at__isnull=True).count())
    standin = stage.standin
    account.stripe(
        standin.counts(),
        [
            ("customers", f"{len(standin.objects('customer')):,}"),
            ("invoices", f"{len(standin.objects('invoice')):,}"),
        ],
        sorted(standin.distinct_descriptions()),
    )
    account.privacy(found)
    account.checks(outcome.checks)

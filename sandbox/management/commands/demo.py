"""Three months of a demo clinic network, end to end, on this machine alone; `--serve` then opens the console."""

from argparse import ArgumentParser
from contextlib import ExitStack
from io import StringIO
from typing import Any

from django.core.management import call_command
from rich.console import Console

from billing.management.reporting import Problem, Report, ReportingCommand, UsageError
from sandbox.demo import premises, serving
from sandbox.demo.account import PIPE_WIDTH, Account
from sandbox.demo.people import read_people
from sandbox.demo.premises import DatabaseInUse
from sandbox.demo.stage import open_standin
from sandbox.demo.story import PATIENTS
from sandbox.demo.telling import Outcome, tell
from sandbox.stripe_standin import StripeStandIn

DEFAULT_PORT = 8000


class Command(ReportingCommand):
    """`demo [--serve [--keep] [--port N]] [--dry-run] [--json]`."""

    help = __doc__

    def add_own_arguments(self, parser: ArgumentParser) -> None:
        """Add what comes after the story."""
        parser.add_argument("--serve", action="store_true", help="then open the console and the API on loopback")
        parser.add_argument("--keep", action="store_true", help="with --serve: go on with what an earlier demo left")
        parser.add_argument(
            "--port", type=int, default=DEFAULT_PORT, metavar="N", help="serve there or on the next free port (8000)"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Tell the story, exit 1 unless all of it is true, then serve if asked to."""
        with ExitStack() as self._open:
            super().handle(*args, **options)
            if options["serve"] and not options["dry_run"]:
                self._serve(options["port"])

    def report(self, **options: Any) -> Report:
        """Make the database ready, live through the story, and sum it up."""
        try:
            if options["dry_run"]:
                premises.check_usable()
                return Report(counts={"patients": len(read_people(PATIENTS))}, headline="Three months of a demo.")
            self._open.enter_context(premises.alone())
            if options["serve"] and options["keep"] and premises.is_told():
                call_command("migrate", verbosity=0, interactive=False)
                self._standin = self._start_standin()
                return Report(headline="Going on with what an earlier demo left; `bin/demo` tells a new story.")
            had_to_go = premises.make_ready()
        except DatabaseInUse as error:
            raise UsageError(str(error)) from None
        return self._told(has_replaced=had_to_go, as_json=options["json"])

    def _told(self, *, has_replaced: bool, as_json: bool) -> Report:
        self._standin = self._start_standin()
        account = self._account(as_json=as_json)
        if has_replaced:
            account.line("What an earlier demo left in its own database is replaced.")
        if as_json:
            with self.progress("Living through three months") as progress:
                outcome = tell(self._standin, account, progress)
        else:
            outcome = tell(self._standin, account, lambda _done, _total: None)
        mark = premises.story_mark()
        if mark is not None and not outcome.failed:
            mark.touch()
        return _report(outcome, as_json=as_json)

    def _start_standin(self) -> StripeStandIn:
        path = premises.stripe_file()
        return self._open.enter_context(open_standin(str(path) if path else None))

    def _account(self, *, as_json: bool) -> Account:
        """Return where the account is printed: nowhere when a machine reads."""
        if as_json:
            return Account(Console(file=StringIO()))
        # Django's wrapper passes on all that a console asks of a file.
        return Account(Console(file=self.stdout, width=None if self.stdout.isatty() else PIPE_WIDTH))  # type: ignore[arg-type]

    def _serve(self, port: int) -> None:
        try:
            server = serving.listen(port)
        except serving.NoPortFree as error:
            raise UsageError(str(error)) from None
        access = serving.grant_access()
        with serving.running(server, self._standin) as address:
            self.stdout.write(_invitation(address, access, self._standin.base_url))
            self.stdout.flush()
            serving.wait_for_the_end()
        self.stdout.write("Stopped.")


def _report(outcome: Outcome, *, as_json: bool) -> Report:
    failed = outcome.failed
    problems = [Problem(check.code, check.sentence) for check in failed]
    whole = (
        f"\nAll {len(outcome.checks)} sentences are true." if not failed else f"\n{len(failed)} sentences are NOT true."
    )
    if as_json:
        return Report(outcome.counts, {"USD": outcome.billed_cents}, problems, bool(failed))
    return Report(problems=problems, needs_attention=bool(failed), headline=whole)


def _invitation(address: str, access: serving.Access, stripe: str) -> str:
    lines = [
        "",
        f"Console:       {address}/admin/",
        *_log_in(*access.people),
        "  more codes:  python manage.py demo_code (each opens once; --user for the other account)",
        f"API:           {address}/api/docs/",
    ]
    if access.api_key:
        header = f"Authorization: Api-Key {access.api_key}"
        lines += [
            f"  office:      {access.office_id} ({serving.OFFICE})",
            f"  API key:     {access.api_key}",
            f"  for example: curl -H '{header}' {address}/api/billing/offices/{access.office_id}/summary",
        ]
    return "\n".join(
        [*lines, f"Local Stripe:  {stripe} (an invoice is paid at {stripe}/_hosted/<its Stripe id>)", "Ctrl-C stops."]
    )


def _log_in(first: serving.DemoPerson, second: serving.DemoPerson) -> list[str]:
    return [
        f"  user name:   {first.username}",
        f"  password:    {first.password}",
        f"  code now:    {first.code} (or add {first.secret} to an app for codes)",
        f"  and another: {second.username}, {second.password}, {second.code} (to decide what the first asks for)",
    ]

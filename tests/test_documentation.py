"""The documentation is true: its worked examples come out to the cent, and whatever it names is there."""

import ast
import importlib.util
import json
import re
import shlex
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from functools import cache
from pathlib import Path
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest
from celery.bin.celery import celery as celery_program
from django.core.management import call_command, get_commands, load_command_class
from django.core.management.base import BaseCommand, CommandError
from django.urls import resolve
from django.utils import timezone
from gunicorn.config import Config

from audit.standalone.verify_export import arguments_parser
from billing import correction_delivery, correction_rules, corrections
from billing.api_keys import issue_api_key
from billing.billed_usage import MEANINGS
from billing.management.reporting import EXIT_ATTENTION, EXIT_DONE, EXIT_USAGE, Problem
from billing.models import (
    BillingCycle,
    ChargeReason,
    EventStatus,
    Invoice,
    InvoiceStatus,
    LineItem,
    MessageStatus,
    ParkingCode,
    SettlementReason,
)
from billing.money import to_cents, to_text
from billing.rebuilt_books.findings import HandMade
from billing.stripe_gateway.refusal import RefusalReason
from billing_project.celery import app
from offices.import_findings import ProblemCode
from offices.models import Office, Plan
from offices.office_rows import COLUMNS as OFFICE_COLUMNS
from patients.import_rows import COLUMNS as PATIENT_COLUMNS
from sandbox.stripe_standin import StripeStandIn
from tests.billing.product_driver import ProductDriver
from tests.builders import make_office, make_patient
from tests.faults.__main__ import arguments_parser as faults_parser
from tests.oracle import commands as c
from tests.oracle.driver import drive, first_difference

PROJECT = Path(__file__).resolve().parent.parent
README = PROJECT / "README.md"
PAYMENT_PLAN, OPERATORS = PROJECT / "docs/payment-plan.md", PROJECT / "docs/operators.md"
ARCHITECTURE, REASON_CODES = PROJECT / "docs/architecture.md", PROJECT / "docs/compliance/reason-codes.md"
DOCUMENTS = [README, PROJECT / "CHANGELOG.md", *sorted((PROJECT / "docs").rglob("*.md"))]
OUR_APPS = ("billing", "sandbox")  # the apps that have commands
NOT_THERE_YET = "Not there yet"


# --- Markdown, as far as it is needed ---
@cache
def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def blocks(path: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text_of(path), re.MULTILINE | re.DOTALL)


def section(path: Path, title: str) -> str:
    """Return what stands between a heading and the next one."""
    found = re.search(rf"^#+ {re.escape(title)}\n(.*?)(?=^#+ |\Z)", text_of(path), re.MULTILINE | re.DOTALL)
    assert found, f"{path.name} has no heading {title!r}"
    return found[1]


def rows(text: str) -> list[list[str]]:
    """Return the cells of every table row below the heads."""
    below = re.sub(r"^\|.*\|\n\|[-|]+\|\n", "", text, flags=re.MULTILINE)
    return [[cell.strip() for cell in row.split("|")] for row in re.findall(r"^\|(.*)\|$", below, re.MULTILINE)]


def codes(text: str) -> list[str]:
    return re.findall(r"`([^`\n]+)`", text)


def first_codes(path: Path, title: str) -> list[str]:
    return [codes(row[0])[0] for row in rows(section(path, title))]


# --- Worked examples: an office, what happens, and the books that must come of it ---
BEFORE = datetime(2025, 1, 1, tzinfo=UTC)
STATES = {InvoiceStatus.DRAFT: "closed", InvoiceStatus.PAID: "settled"}


class ExampleUnreadable(ValueError):
    """A line of an example says nothing that this test understands."""


@dataclass
class Example:
    """The acts as the oracle's commands, what the page says each answers, and the books it expects."""

    zone: str = ""
    acts: list[c.Command] = field(default_factory=list)
    outcomes: list[str] = field(default_factory=list)
    patients: set[str] = field(default_factory=set)
    cycles: list[str] = field(default_factory=list)
    invoices: list[tuple[str, ...]] = field(default_factory=list)

    def moment(self, text: str | None) -> datetime | None:
        """Read `2026-01-20 09:00`, in the office's first zone."""
        return text and datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(self.zone)).astimezone(UTC)

    def add(self, command: c.Command, outcome: str = "changed") -> None:
        self.acts.append(command)
        self.outcomes.append(outcome)


def read_example(text: str) -> Example:
    example = Example()
    for line in text.splitlines():
        words = line.replace(",", " ").split()
        if not words:
            continue
        if words[0] == "office":
            read_office(example, words[1:])
        elif line.startswith("  "):
            example.invoices[-1] = (*example.invoices[-1], " ".join(words))
        elif words[0] == "cycle":
            example.cycles.append(" ".join(words))
        elif words[0] == "invoice":
            example.invoices.append((" ".join(words),))
        else:
            read_act(example, line)
    return example


def read_office(example: Example, words: list[str]) -> None:
    told = dict(zip(words[::2], words[1::2], strict=True))
    standard = Plan.objects.get(code="standard")
    example.zone = told.pop("zone")
    office = c.CreateOffice(
        BEFORE,
        zone=example.zone,
        anchor=date.fromisoformat(told.pop("anchor")),
        status=told.pop("status", "active"),
        price=standard.prices.get().unit_price_cents,
        setup_fee=standard.setup_fee_cents,
    )
    assert not told, f"unknown words about the office: {told}"
    example.add(office)


OUTCOME = re.compile(r"nothing changed|refused \((\w+)\)")


def read_act(example: Example, line: str) -> None:
    act, _, answer = line.partition(" -> ")
    outcome = "changed"
    if answer:
        read = OUTCOME.fullmatch(answer.strip())
        if read is None:
            raise ExampleUnreadable(line)
        outcome = f"refused:{read[1]}" if read[1] else "unchanged"
    moment, _, text = act.partition("  ")
    command = read_command(example, example.moment(moment), text.strip())
    if isinstance(command, c.Activate | c.ImportPeriods):
        register(example, command.at, command.patient)
    example.add(command, outcome)


MOMENT = r"(\S+ \S+)"
ACTS = {
    r"run": lambda at, _: c.Run(at),
    rf"activate (\w+)(?: since {MOMENT})?": lambda at, example, patient, since: c.Activate(
        at, patient, example.moment(since)
    ),
    rf"deactivate (\w+)(?: since {MOMENT})?": lambda at, example, patient, since: c.Deactivate(
        at, patient, example.moment(since)
    ),
    rf"import (\w+) from {MOMENT}(?: until {MOMENT})?": lambda at, example, patient, start, end: c.ImportPeriods(
        at, patient, ((example.moment(start), example.moment(end)),)
    ),
    r"status (\w+)": lambda at, _, status: c.ChangeStatus(at, status),
    r"zone (\S+)": lambda at, _, zone: c.ChangeZone(at, zone),
    r"anchor (\S+)": lambda at, _, day: c.ChangeAnchor(at, date.fromisoformat(day)),
    r"price (\S+) from (\S+)": lambda at, _, amount, day: c.SetPrice(at, date.fromisoformat(day), to_cents(amount)),
    r"override (\S+) from (\S+) until (\S+)": lambda at, _, amount, start, end: c.SetOverride(
        at, date.fromisoformat(start), date.fromisoformat(end), to_cents(amount)
    ),
    r"setup fee": lambda at, _: c.SetupFee(at),
    r"one-off (\S+)": lambda at, _, amount: c.OneOff(at, to_cents(amount)),
}


def read_command(example: Example, at: datetime, text: str) -> c.Command:
    for pattern, make in ACTS.items():
        if found := re.fullmatch(pattern, text):
            return make(at, example, *found.groups())
    raise ExampleUnreadable(text)


def register(example: Example, at: datetime, patient: str) -> None:
    if patient not in example.patients:
        example.patients.add(patient)
        example.add(c.RegisterPatient(at, patient))


def invoices_told(driver: ProductDriver) -> list[tuple[str, ...]]:
    """Write the product's invoices as the page does."""
    names = {patient.pk: name for name, patient in driver.patients.items()}
    return [
        (
            told_invoice(invoice, lines := list(LineItem.objects.filter(invoice=invoice, live=True))),
            *sorted(
                f"{line.item_type} {names.get(line.patient_reference, '-')} {line.cycle_key or '-'} "
                f"{to_text(line.quantity * line.unit_price_cents)}"
                for line in lines
            ),
        )
        for invoice in Invoice.objects.filter(office=driver.office).select_related("cycle")
    ]


def told_invoice(invoice: Invoice, lines: list[LineItem]) -> str:
    total = sum(line.quantity * line.unit_price_cents for line in lines)
    if invoice.closed_at is None:
        state = "open"
    else:
        assert invoice.total_cents == total
        state = STATES[InvoiceStatus(invoice.status)]
        state += f" ({invoice.settlement_reason})" if invoice.settlement_reason else ""
    return f"invoice {invoice.cycle.key if invoice.cycle else invoice.invoice_type} {state} {to_text(total)}"


def cycles_told(driver: ProductDriver) -> list[str]:
    """Write each cycle as the page does, with and without its instants."""
    told = []
    for cycle in BillingCycle.objects.filter(office=driver.office):
        told.append(f"cycle {cycle.key} {cycle.start_date} to {cycle.end_date}")
        told.append(f"{told[-1]} {cycle.start_at:%Y-%m-%dT%H:%MZ} to {cycle.end_at:%Y-%m-%dT%H:%MZ}")
    return told


def examples() -> list[pytest.param]:
    heading, number, found_examples = "", 0, []
    for found in re.finditer(r"^## ([^\n]*)$|^```example\n(.*?)^```$", text_of(PAYMENT_PLAN), re.MULTILINE | re.DOTALL):
        if found[1]:
            heading, number = found[1], 0
        else:
            number += 1
            found_examples.append(pytest.param(found[2], id=f"{heading} {number}"))
    return found_examples


@pytest.mark.django_db
@pytest.mark.parametrize("text", examples())
def test_a_worked_example_comes_out_to_the_cent(text):
    example = read_example(text)
    driver = ProductDriver()

    answered = [drive(driver, act) for act in example.acts]

    assert list(zip(example.acts, answered, strict=True)) == list(zip(example.acts, example.outcomes, strict=True))
    expected = sorted((invoice, *sorted(lines)) for invoice, *lines in example.invoices)
    assert sorted(invoices_told(driver)) == expected
    assert set(example.cycles) <= set(cycles_told(driver))


@pytest.mark.django_db
@pytest.mark.parametrize("text", examples())
def test_a_worked_example_follows_from_the_rules_alone(text):
    assert first_difference(read_example(text).acts, ProductDriver()) == ""


@pytest.mark.django_db
def test_the_plan_that_the_examples_use_is_the_one_described():
    plan = Plan.objects.get(code="standard")
    assert (plan.prices.get().unit_price_cents, plan.setup_fee_cents) == (200, 25_000)
    assert "2.00 USD" in text_of(PAYMENT_PLAN)
    assert "250.00" in text_of(PAYMENT_PLAN)


@pytest.mark.django_db
def test_a_wrong_total_in_an_example_would_be_found():
    """The test of this page can fail: one cent more, a missing line, a state too many."""
    right = examples()[0].values[0]
    for wrong in (right.replace("4.00", "4.01"), right.replace("  patient_activation  B  2026-01  2.00\n", "")):
        assert wrong != right
        with pytest.raises(AssertionError):
            test_a_worked_example_comes_out_to_the_cent(wrong)


# --- Commands and programs ---
def our_commands() -> set[str]:
    return {name for name, application in get_commands().items() if application in OUR_APPS}


def command(name: str) -> BaseCommand:
    application = get_commands()[name]
    return load_command_class(application, name) if isinstance(application, str) else application


def named_commands() -> set[str]:
    return {name for path in DOCUMENTS for name in re.findall(r"manage\.py ([a-z_]+)", text_of(path))}


def test_every_command_named_is_there_and_helps():
    named = named_commands() | set(first_codes_of_commands())
    assert named <= set(get_commands())
    for name in sorted(named):
        assert command(name).create_parser("manage.py", name).format_help()


def first_codes_of_commands() -> list[str]:
    return [first.split()[0] for first in first_codes(README, "Commands")]


def options(of: BaseCommand) -> set[str]:
    return {option for action in of.create_parser("manage.py", "")._actions for option in action.option_strings}


def test_the_readme_lists_every_command_of_ours_with_its_own_options():
    listed = {first.split()[0]: first for first in first_codes(README, "Commands")}
    assert set(listed) == our_commands()
    common = {"--json", "--dry-run"}
    for name, usage in listed.items():
        own = options(command(name)) - options(BaseCommand()) - common
        assert set(re.findall(r"--[a-z-]+", usage)) == own, name


def test_what_is_not_there_yet_is_not_there():
    absent = {word.split()[0] for word in codes(section(README, NOT_THERE_YET))}
    assert not absent & set(get_commands())
    assert not [word for word in absent if "/" in word and (PROJECT / word.strip("/")).exists()]


def shell_lines() -> list[pytest.param]:
    found = []
    for path in DOCUMENTS:
        for block in blocks(path, "sh"):
            for line in block.replace("\\\n", " ").splitlines():
                words = shlex.split(line, comments=True)
                while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
                    words.pop(0)
                if words:
                    found.append(pytest.param(words, id=" ".join(words)[:60]))
    return found


@pytest.mark.parametrize("words", shell_lines())
def test_every_documented_shell_line_names_a_known_program_with_known_options(words):
    program, *arguments = words
    if program == "python":
        check_python(arguments)
    elif program.startswith(("bin/", ".ci/")):
        check_own_program(program, arguments)
    elif program == "celery":
        check_celery(arguments)
    elif program == "gunicorn":
        Config().parser().parse_args(arguments)
        module = next(word for word in arguments if ":" in word and not word.startswith("-")).partition(":")[0]
        assert importlib.util.find_spec(module)
    else:
        # tests/billing/api/test_api_guide.py runs the page with curl and export as it stands.
        assert program in {"git", "cd", "set", ".", "curl", "export"}, "say in this test how to check that program"


def check_python(arguments: list[str]) -> None:
    if arguments[0] == "-m":
        assert importlib.util.find_spec(arguments[1])
        return
    if arguments[0] == "verify_export.py":  # handed out; tests/audit/test_audit_procedure.py runs it
        arguments_parser().parse_args(arguments[1:])
        return
    assert arguments[0] == "manage.py"
    parse_command(arguments[1], arguments[2:])


def parse_command(name: str, arguments: list[str]) -> None:
    if ">" in arguments:
        arguments = arguments[: arguments.index(">")]
    command(name).create_parser("manage.py", name).parse_args(arguments)


def check_own_program(program: str, arguments: list[str]) -> None:
    path = PROJECT / program
    assert path.is_file()
    assert path.stat().st_mode & 0o111
    if program in {"bin/demo", "bin/serve"}:
        parse_command("demo", arguments)
    elif program == "bin/faults":
        faults_parser().parse_args(arguments)
    elif program == "bin/bench":
        assert (PROJECT / "bench" / f"{arguments[0]}.py").is_file()
    elif program == "bin/test":
        assert all((PROJECT / word).exists() for word in arguments if "/" in word)


def check_celery(arguments: list[str]) -> None:
    assert arguments[:2] == ["-A", "billing_project"]
    known = {option for parameter in celery_program.commands[arguments[2]].params for option in parameter.opts}
    assert {word for word in arguments[3:] if word.startswith("-")} <= known


# --- Settings ---
READERS = re.compile(r"env\.\w+|secret|optional_secret|secret_list|os\.environ\.get")


def settings_read() -> dict[str, bool]:
    """Return every name that billing_project reads from the environment, and whether it is required outside DEBUG."""
    modules = [ast.parse(path.read_text(encoding="utf-8")) for path in (PROJECT / "billing_project").glob("*.py")]
    calls = [node for module in modules for node in ast.walk(module) if isinstance(node, ast.Call) and node.args]
    return {
        call.args[0].value: any(keyword.arg == "required" for keyword in call.keywords)
        for call in calls
        if READERS.fullmatch(ast.unparse(call.func)) and isinstance(call.args[0], ast.Constant)
    }


def test_the_table_of_settings_is_exactly_what_is_read():
    table = {codes(row[0])[0]: row[-1] == "yes" for row in rows(section(README, "Settings"))}
    assert table == settings_read()


def test_generate_secrets_prints_settings_that_exist(capsys):
    call_command("generate_secrets")
    printed = {line.partition("=")[0] for line in capsys.readouterr().out.splitlines()}
    assert printed <= set(settings_read())
    assert {name for name, required in settings_read().items() if required} <= printed


# --- Exit codes and `--json` ---
@pytest.fixture
def run(capsys):
    """Run a command as a shell would; return its exit code and its JSON object, if any."""

    def run(*arguments):
        code = 0
        try:
            call_command(*map(str, arguments))
        except SystemExit as left:
            code = left.code
        except CommandError as error:
            code = error.returncode
        out = capsys.readouterr().out
        return code, json.loads(out) if out.startswith("{") else None

    return run


@pytest.mark.django_db
def test_the_documented_json_object_is_what_a_command_prints(run):
    (documented,) = map(json.loads, blocks(README, "json"))
    code, printed = run("run_billing_cycle", "--json")
    assert code == 0
    assert {name: type(value) for name, value in printed.items()} == {
        name: type(value) for name, value in documented.items()
    }
    assert printed["counts"].keys() == documented["counts"].keys()
    (problem,) = documented["problems"]
    assert problem.keys() <= {"row", "office", "invoice", "field", "code", "message"} == set(Problem.__slots__)


def issued_key(office: str) -> str:
    """Issue a key and return its prefix."""
    owner = Office.objects.get(reference=office)
    return issue_api_key(office_id=owner.pk, name="portal", actor="test", now=timezone.now())[0].prefix


@pytest.mark.django_db
def test_the_documented_counts_are_the_ones_printed(run, tmp_path, settings):
    office = make_office().reference
    (tmp_path / "offices.csv").write_text(",".join(OFFICE_COLUMNS) + "\n")
    (tmp_path / "patients.csv").write_text(",".join(PATIENT_COLUMNS) + "\n")
    arguments = {
        "import_offices": [tmp_path / "offices.csv"],
        "import_patients": [tmp_path / "patients.csv"],
        "unpark_office": [office, "--reason", "looked into"],
        "create_api_key": ["--office", office, "--name", "portal"],
        "revoke_api_key": [issued_key(office), "--by", "jo"],
        "approve_office_profile": [office, "--by", "jo", "--name", "Spine Center", "--email", "billing@spine.example"],
        "erase_patient_identity": [make_patient(make_office()).pk, "--by", "jo"],
        "create_staff": ["jo.biller", "--role", "Biller"],
        "reset_staff_device": ["jo.biller", "--reason", "lost telephone"],
        "emergency_access": ["--person", "jo.biller", "--reason", "nobody else is here"],
        "note_restore": ["--to", "2026-01-01T00:00:00Z", "--by", "jo"],
        "dispose_incident": [uuid4(), "--finding", "drill", "--by", "jo"],
        "evidence_report": ["--month", f"{timezone.now():%Y-%m}"],
        "export_audit": ["--out", tmp_path / "export"],
        "backfill_invoices": ["--from", "2025-01", "--to", "2025-02"],
    }
    finds_something = {"rebuild_books"}  # these offices were made without the entries that an import writes
    documented = {codes(row[0])[0]: codes(row[1]) for row in rows(section(README, "Machine-readable output"))}
    secret = settings.STRIPE_WEBHOOK_SECRETS[0]
    with StripeStandIn(api_keys={settings.STRIPE_API_KEY}, webhook_secret=secret) as standin:
        settings.STRIPE_API_BASE = standin.base_url
        for name, counts in documented.items():
            code, printed = run(name, *arguments.get(name, []), "--json")
            assert (name, code, list(printed["counts"])) == (name, int(name in finds_something), counts)
    plain = {name for name in our_commands() if "--json" in command(name).create_parser("", name).format_help()}
    assert documented.keys() == plain - {"demo", "demo_code"}


@pytest.mark.django_db
def test_the_documented_exit_codes_are_the_ones_given(run, tmp_path):
    bad = tmp_path / "offices.csv"
    bad.write_text(",".join(OFFICE_COLUMNS) + "\n" + "," * (len(OFFICE_COLUMNS) - 1) + "\n")
    given = [
        run("run_billing_cycle", "--json")[0],
        run("import_offices", bad, "--json")[0],
        run("import_offices", tmp_path / "missing.csv", "--json")[0],
    ]
    documented = [int(first) for first in first_codes(README, "Exit codes")]
    assert documented == given == [EXIT_DONE, EXIT_ATTENTION, EXIT_USAGE]


# --- Addresses, codes, schedules ---
def test_every_address_is_answered():
    addresses = first_codes(README, "Addresses")
    assert addresses
    for address in addresses:
        assert resolve(address)


@pytest.mark.parametrize(
    ("title", "known"),
    [
        ("Guard", RefusalReason),
        ("Parked offices", ParkingCode),
        ("Outbox messages", MessageStatus),
        ("Stripe events", EventStatus),
        ("Settled here", SettlementReason),
    ],
)
def test_the_lists_of_codes_are_complete(title, known):
    assert sorted(first_codes(REASON_CODES, title)) == sorted(known)


def test_the_codes_of_corrections_are_complete():
    modules = (correction_rules, corrections, correction_delivery)
    known = {
        each.code
        for module in modules
        for each in vars(module).values()
        if isinstance(each, type) and issubclass(each, correction_rules.CorrectionRefused)
    } - {correction_rules.CorrectionRefused.code}
    known |= {f"invoice_{status}" for status in InvoiceStatus}
    assert {code for row in rows(section(REASON_CODES, "Corrections")) for code in codes(row[0])} == known


def test_the_codes_of_a_last_try_are_ones_that_delivery_knows():
    told = [code for row in rows(section(REASON_CODES, "Last try")) for code in codes(row[0])]
    source = product_source()
    assert told
    assert [code for code in told if f'"{code}"' not in source] == []


def test_the_codes_of_a_broken_audit_chain_are_complete():
    """A code of the audit room is a literal that is reported, returned or put into a break."""
    modules = [*(PROJECT / "audit").glob("*.py"), PROJECT / "audit/standalone/verify_export.py"]
    source = "\n".join(path.read_text(encoding="utf-8") for path in modules)
    given = re.findall(
        r'(?:report|Break|add)\(.*?"([a-z]+_[a-z_]+)"\)|return .*?"([a-z]+_[a-z_]+)"$', source, re.MULTILINE
    )
    told = re.findall(r"^\| `(\w+)` \|", section(REASON_CODES, "Audit chain"), re.MULTILINE)
    assert len(told) == len(set(told))
    missing = {one or other for one, other in given} - set(told)
    assert missing == set()
    assert [code for code in told if f'"{code}"' not in source] == []


def test_operators_are_told_what_to_do_about_every_code():
    in_a_row = [code for row in rows(section(OPERATORS, "Books changed by hand")) for code in codes(row[0])]
    assert sorted(in_a_row) == sorted(HandMade)
    assert sorted(first_codes(OPERATORS, "Billing past months")) == sorted(MEANINGS)
    assert sorted(first_codes(OPERATORS, "An office is parked")) == sorted(ParkingCode)
    assert sorted(first_codes(OPERATORS, "An import fails")) == sorted(ProblemCode)


def test_the_schedule_is_the_one_that_beat_keeps():
    assert sorted(first_codes(OPERATORS, "What runs when")) == sorted(app.conf.beat_schedule)


def test_the_catalogue_of_reasons_is_complete():
    told = codes(section(PAYMENT_PLAN, "Setup fee and one-off charges"))
    assert set(ChargeReason) - {ChargeReason.SETUP_FEE} <= set(told)


# --- Links, paths, names ---
@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_leads_somewhere(path):
    links = re.findall(r"\]\(([^)\s]+)\)", text_of(path))
    files = [link.partition("#")[0] for link in links if not link.startswith(("http://", "https://", "#"))]
    assert [link for link in files if not (path.parent / link).exists()] == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_every_path_in_the_text_is_there(path):
    tops = {child.name for child in PROJECT.iterdir() if child.is_dir()} - {"var", ".venv"}
    absent = codes(section(path, NOT_THERE_YET)) if f"# {NOT_THERE_YET}\n" in text_of(path) else []
    told = [word.split()[0] for word in codes(text_of(path)) if word not in absent]
    paths = [
        word.partition("::")[0]
        for word in told
        if "/" in word and word.split("/")[0] in tops and not set("<>*{") & set(word)
    ]
    assert [word for word in paths if not (PROJECT / word).exists()] == []


def product_source() -> str:
    folders = ("audit", "offices", "patients", "billing")
    return "\n".join(
        file.read_text(encoding="utf-8") for folder in folders for file in (PROJECT / folder).rglob("*.py")
    )


def test_every_constraint_that_the_architecture_page_names_is_there():
    source = product_source()
    named = [code for row in rows(section(ARCHITECTURE, "Where each rule lives")) for code in codes(row[-1])]
    assert named
    assert [code for code in named if "/" not in code and not re.search(rf"\b{code}\b", source)] == []

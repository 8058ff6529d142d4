"""The detector's advice: what it finds, what it leaves in peace, and both measured over made-up corpora.

The figures are printed (`-s`): false alarms on honest strings stay under 2%, detection is told for each disguise.
"""

import re
from collections import Counter
from datetime import date
from pathlib import Path
from random import Random

import pytest

from billing.minimization.detector import CODES, Advice, advise
from patients.identity import Identity
from patients.identity_tokens import tokens_of, write_tokens
from patients.models import Patient
from patients.registration import register_patient
from sandbox.demo_data.generate import rows
from tests.billing.minimization.honest_strings import clinic_names, mailboxes, notes
from tests.billing.minimization.leaks import DISGUISES, leaks_of
from tests.builders import make_office
from tests.patients.csv_files import NOW

pytestmark = pytest.mark.django_db

HONEST = {"profile_name": clinic_names, "profile_email": mailboxes, "internal_note": notes}
UNTAUGHT = {"vowels left out", "letters doubled", "letters moved by one"}
SEEDS, HONEST_EACH, PEOPLE, LEAKED = (1, 2), 600, 1_000, 5


@pytest.fixture
def clinic():
    return make_office()


@pytest.fixture
def people(clinic):
    """Fill the clinic with a thousand people of the demo, the awkward names included."""
    made = {row["external_id"]: row for row in rows(offices=2, patients=PEOPLE, seed=7).patients}
    found = [
        Identity(number, row["first_name"], row["last_name"], date.fromisoformat(row["date_of_birth"]), row["email"],
                 row["phone"])
        for number, row in made.items()
    ]  # fmt: skip
    accounts = Patient.objects.bulk_create([Patient(office=clinic, created_at=NOW) for _ in found])
    write_tokens(
        token
        for account, identity in zip(accounts, found, strict=True)
        for token in tokens_of(identity, patient_id=account.pk, office_id=clinic.pk)
    )
    return found


def codes(clinic, text, field="internal_note"):
    return set(advise(clinic.pk, text, field=field).codes)


# --- The 18 identifiers of 164.514(b)(2), of somebody we do not know ---
@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("refund for patient John Smith", "name_beside_patient"),
        ("Patient: Okonkwo, second visit", "name_beside_patient"),
        ("pt. Marisol asked", "name_beside_patient"),
        ("pt \uff2a\uff4f\uff48\uff4e came twice", "name_beside_patient"),
        ("DOB 3/4/1961", "date_of_birth"),
        ("d.o.b.: 04.03.61", "date_of_birth"),
        ("born 4 March", "date_of_birth"),
        ("birthday on 3/4", "date_of_birth"),
        ("%44%4F%42 3/4/1961", "date_of_birth"),
        ("credit, 03/04/1961", "old_date"),
        ("admitted 3/4", "care_date"),
        ("DOS 2026-03-04", "care_date"),
        ("died on March 4", "care_date"),
        ("call 512-555-0188", "phone_number"),
        ("cell 5125550188", "phone_number"),
        ("+49 30 901820 17", "phone_number"),
        ("fax 512.555.0188", "fax_number"),
        ("wrote to jsmith61@gmail.com", "email_address"),
        ("jsmith61 (at) gmail (dot) com", "email_address"),
        ("ssn 123456789", "ssn"),
        ("123-45-6789", "ssn"),
        ("MRN 4471", "record_number"),
        ("chart #0042", "record_number"),
        ("patient id A-1042", "record_number"),
        ("pt no. 7", "record_number"),
        ("member id XQ9912345", "plan_number"),
        ("claim number 88120045", "plan_number"),
        ("acct 0012345678", "account_number"),
        ("4242 4242 4242 4242", "account_number"),
        ("driver's license no. D1234567", "licence_number"),
        ("VIN 1HGCM82633A004352", "vehicle_id"),
        ("pacemaker serial 7741023", "device_id"),
        ("https://ehr.example/patients/77", "web_address"),
        ("facebook.com/john.smith", "web_address"),
        ("logged in from 198.51.100.23", "ip_address"),
        ("2001:db8:85a3:8d3:1319:8a2e:370:7348", "ip_address"),
        ("the patient left a fingerprint", "biometric"),
        ("x-ray of the patient attached", "photo"),
        ("lives at 12 Oak", "home_address"),
        ("pt at 12 Oak Street", "home_address"),
        ("72 year old male", "age"),
        ("93 years old", "age"),
        ("44 yo", "age"),
        ("Mrs. Alvarez, sciatica", "health_of_a_person"),
        ("karen holt has scoliosis", "health_of_a_person"),
    ],
)
def test_an_identifier_in_a_note_is_advised_against(clinic, text, code):
    assert code in codes(clinic, text)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("Spine Center 512-555-0188", "phone_number"),
        ("Spine Center, billing@spine.example", "email_address"),
        ("Patient John Smith", "name_beside_patient"),
        ("Spine Center 123-45-6789", "ssn"),
    ],
)
def test_an_identifier_in_a_clinics_name_is_advised_against_even_the_offices_own(clinic, text, code):
    assert code in codes(clinic, text, "profile_name")


# --- Known patients ---
def test_a_known_patient_is_advised_against_in_every_place(clinic):
    register_patient(
        office_id=clinic.pk, external_id="CHART-000123", first_name="Ada", last_name="Marchetti", date_of_birth=None,
        email="ada.marchetti@mail.example", phone="", actor="test", now=NOW,
    )  # fmt: skip
    assert codes(clinic, "Ada Marchetti Chiropractic", "profile_name") == {"patient_full_name"}
    assert "patient_email" in codes(clinic, "ada.marchetti@mail.example", "profile_email")
    assert "patient_record_number" in codes(clinic, "see CHART-000123")
    assert codes(make_office(), "Ada Marchetti Chiropractic", "profile_name") == set()


@pytest.mark.parametrize(
    ("text", "advised"),
    [
        ("Marchetti Family Chiropractic", False),
        ("full price for Marchetti", False),
        ("Mrs. Marchetti asked", True),
        ("mr zero\u200bmarchetti marchetti", True),
        ("J. Marchetti", True),
        ("Marchetti, J.", True),
        ("Drs. Marchetti, D.C.", False),
    ],
)
def test_a_known_last_name_counts_only_beside_a_title_or_an_initial(clinic, text, advised):
    register_patient(
        office_id=clinic.pk, external_id="MRN-2", first_name="Ada", last_name="Marchetti", date_of_birth=None,
        email="", phone="", actor="test", now=NOW,
    )  # fmt: skip
    assert (codes(clinic, text) == {"patient_last_name"}) is advised


def test_the_reference_of_an_account_is_known_and_an_invoices_id_is_not(clinic):
    account = Patient.objects.create(office=clinic, created_at=NOW)
    assert codes(clinic, f"about {account.pk}") == {"patient_reference"}
    assert codes(clinic, f"about {account.pk.hex.upper()}") == {"patient_reference"}
    assert codes(make_office(), f"about {account.pk}") == set()


def test_advice_holds_codes_and_nothing_of_the_text(clinic):
    advice = advise(clinic.pk, "patient John Smith", field="internal_note")
    assert advice == Advice(("name_beside_patient",))
    assert "John" not in repr(advice)


def test_every_code_of_advice_is_explained_in_the_list_of_codes():
    page = (Path(__file__).resolve().parents[3] / "docs/compliance/reason-codes.md").read_text(encoding="utf-8")
    section = page.partition("## Advice\n")[2].partition("\n## ")[0]
    first_cells = [row.split("|")[1] for row in section.splitlines() if row.startswith("| `")]
    told = [code for cell in first_cells for code in re.findall("`([a-z_]+)`", cell)]
    assert sorted(told) == sorted(CODES)


# --- Mailboxes ---
@pytest.mark.parametrize(
    "email",
    [
        "maria.delgado@harbor-spine.example", "sunrise@gmail.com", "JSMITH@Yahoo.com", "drruiz@icloud.com",
        "dr.ruiz@spine.example", "maria@spine.example", "m_delgado2@spine.example",
        "m\u0430ri\u0430.delg\u0430do@spine.example",
    ],
)  # fmt: skip
def test_a_persons_mailbox_is_advised_against(clinic, email):
    assert "personal_mailbox" in codes(clinic, email, "profile_email")


@pytest.mark.parametrize(
    "email",
    ["billing@spine.example", "office.manager@spine.example", "ruiz-spine@ruiz-spine.example", "frontdesk@x.example"],
)
def test_a_mailbox_of_a_task_is_preferred(clinic, email):
    assert codes(clinic, email, "profile_email") == set()


# --- Measured ---
def tell(figure: str) -> None:
    print(figure)  # noqa: T201  # the figures are what this measures; shown with -s


@pytest.mark.parametrize("field", HONEST)
def test_honest_strings_raise_a_false_alarm_in_less_than_one_of_fifty(clinic, people, field):
    alarms, texts = [], [text for seed in SEEDS for text in HONEST[field](seed, HONEST_EACH)]
    for text in texts:
        if found := codes(clinic, text, field):
            alarms.append((text, found))
    tell(f"{field}: {len(alarms)} false alarms in {len(texts)} honest strings ({len(alarms) / len(texts):.2%})")
    assert len(set(texts)) >= 250
    assert len(alarms) < 0.02 * len(texts), alarms


def test_most_disguises_of_known_patients_are_seen_through(clinic, people):
    made, found, random = Counter(), Counter(), Random(3)
    for identity in people[:: len(people) // LEAKED]:
        for leak in leaks_of(identity, random):
            made[leak.disguise] += 1
            found[leak.disguise] += bool(codes(clinic, leak.text))
    for disguise in DISGUISES:
        tell(f"{disguise:20} {found[disguise] / made[disguise]:7.1%} of {made[disguise]}")
    taught = set(DISGUISES) - UNTAUGHT
    share = sum(found[each] for each in taught) / sum(made[each] for each in taught)
    tell(f"{'all that were taught':20} {share:7.1%}; of all {sum(found.values()) / sum(made.values()):.1%}")
    assert len(taught) >= 20
    assert share > 0.97
    assert found["letters doubled"] < made["letters doubled"], "an untaught disguise shows that this is no barrier"


def test_patterns_alone_do_not_recognise_people(clinic, people):
    """Without the index of an office there is nothing to compare a name with: the figure says what patterns add."""
    elsewhere, found, made = make_office(), 0, 0
    for identity in people[:: len(people) // LEAKED]:
        for leak in leaks_of(identity, Random(3)):
            made += 1
            found += bool(codes(elsewhere, leak.text))
    tell(f"patterns alone, without the index: {found / made:.1%} of {made}")
    assert 0 < found < made / 2


def test_an_honest_corpus_would_show_a_detector_that_cries_wolf(clinic):
    """The measurement can fail: every leak of the corpus above is an alarm here."""
    texts = ["patient John Smith, DOB 3/4/1961", "MRN 4471", "ssn 123-45-6789"]
    assert all(codes(clinic, text) for text in texts)

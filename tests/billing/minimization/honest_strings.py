"""What honest clinics and staff write, for each place where the detector advises: names, mailboxes, notes.

Drawn by templates from a seed, so that a false alarm can be found again. The people in the notes work at the office or
at the vendor; none of them is a patient.
"""

from collections.abc import Iterator
from random import Random

from sandbox.demo_data.names import AWKWARD_OFFICES, KINDS, PLACES

FAMILIES = (
    "O'Brien",
    "Ruiz",
    "Delgado",
    "Nuñez",
    "Müller",
    "Becker",
    "Smith",
    "Johnson",
    "Garcia",
    "Nguyen",
    "Patel",
    "Kim",
    "Rossi",
    "McAllister",
    "Van Dyke",
    "St. James",
    "Price",
    "Young",
    "Bright",
    "Rivera",
    "Chen",
    "Abrams",
)
GIVEN = ("Ana", "Maria", "Paul", "Jean", "Grace", "Jordan", "Kim", "Lee", "Sam", "Rose", "Luis", "Priya", "Tom", "Beth")
CLINIC_TEMPLATES = (
    "{family} Family Chiropractic",
    "Dr. {family} Spine Center",
    "Drs. {family} & {other}, D.C.",
    "{place} {kind}",
    "{family} Chiropractic, P.C.",
    "{place} Street Chiropractic",
    "{number} {place} Street Spine & Joint",
    "{given} {family}, DC",
    "{family}, {other} and Sons",
    "Back in {place}",
    "24/7 Spine Care",
    "{kind} of {place}",
    "{place} {kind} - Suite {suite}",
    "1st Choice {kind}",
    "Align2Health {place}",
    "{place} Back & Neck Clinic LLC",
    "St. {given}'s {kind}",
    "The {place} Joint",
    "{family} Chiropractic Est. 19{two}",
    "Patient First {kind}",
    "{place} {kind} #{digit}",
    "{kind} on {number}th Ave",
    "Patient Choice {place}",
    "PT & Chiro of {place}",
    "{family}-{other} Wellness PLLC",
    "Straight Spine {kind}, Inc.",
    "{place} Injury Institute",
    "Chiro One {place}",
    "{place} Pain Relief & Rehab",
    "Route {number} Chiropractic",
    "{family} Bros. Body Works",
    "{place} Village Spine",
    "Healing Hands by {given}",
    "Dr. {given}'s {kind}",
    "{kind} 4 Life",
    "{place} & {place2} {kind}",
    "Hwy {number} {kind}",
)
MAILBOX_TEMPLATES = (
    "billing@{slug}.example",
    "office@{slug}.com",
    "accounts@{slug}.example",
    "info@{slug}.com",
    "ap@{slug}.org",
    "frontdesk@{slug}.com",
    "front.desk@{slug}.example",
    "accounts.payable@{slug}.com",
    "admin@{slug}.net",
    "hello@{slug}.clinic",
    "contact@{slug}.com",
    "reception@{slug}.com",
    "manager@{slug}.com",
    "{slug}@{slug}.com",
    "office.manager@{slug}.com",
    "invoices+stripe@{slug}.com",
    "billing2@{slug}.com",
    "ar@{slug}.com",
    "team@{slug}.co",
    "practice-manager@{slug}.com",
    "bookkeeping@{slug}.example",
    "support@{slug}.com",
    "billing.dept@{slug}.com",
)
NOTE_TEMPLATES = (
    "approved by {given} on {day}",
    "approved by {given} {family} on {day}/26",
    "per call with Dr. {family} {day}",
    "two afternoons of training for the front desk",
    "quote {quote} accepted",
    "PO {po}",
    "PO #{po}, net 30",
    "data migration from the old system, {count} patient accounts",
    "import of {count} patients done {day}",
    "waived half: launch delay was ours",
    "{given} at the front desk asked for a second session",
    "training on patient portal and reminders",
    "Patient Intake Training, part {digit}",
    "custom report: visits per month",
    "custom report on patient retention, {year}",
    "hardware: {digit} card readers, shipped {day}",
    "see ticket #{ticket}",
    "see https://support.vendor.example/tickets/{ticket}",
    "Suite {suite}, ship to the back door",
    "24/7 support add-on",
    "office moved to {number} {place} Street, reship tablet",
    "credit for overbilling in {month} {year}",
    "agreed with Dr. {family}, $2.00 per patient stays",
    "price per patient 2.00 until {month}",
    "card reader serial {serial}",
    "split with {place} {kind}",
    "office phone 512-555-0{ticket3}, ask for {given}",
    "front desk line (512) 555-0{ticket3}",
    "send the invoice to billing@{slug}.com",
    "emailed {given2}@{slug}.com the quote",
    "Ms. {family} is the new office manager",
    "Mr. {family} signed the agreement on {day}/2026",
    "v4.2.{digit}.{digit} upgrade, half a day",
    "rework of {month} statement",
    "replaces invoice of {month}, sent {day}",
    "discount {number}% for early payment",
    "on-site visit {day} to {day2}",
    "travel {number} miles at $0.67",
    "{given} and {given2} trained on billing",
    "annual support {year}-{year2}",
    "remote session {hour}:30 am CT",
    "duplicate charge, see {month}",
    "setup incl. patient import and SMS reminders",
    "static IP for the office router: 203.0.113.{number}",
    "HIPAA training for {digit} staff",
    "GL account {gl}",
    "chart of accounts mapping",
    "export of patient balances, one-time",
    "patient records merge, {count} duplicates",
    "2nd half of custom report",
    "Est. {number} hours, actual {digit}",
    "new location at {number} {place} Ave, suite {suite}",
    "merge of two patient lists after the purchase of {family} Chiropractic",
    "10-year-old server replaced",
    "treatment plan module training",
    "waiting on W-9 from {family} Chiropractic",
    "check no. {gl} received {day}",
    "tablet for patient check-in, {digit} pcs",
    "{given} says OK",
    "ok per {given2}",
    "billing code cleanup for Dr. {given}",
)
MONTHS = ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "December")


def clinic_names(seed: int, number: int) -> Iterator[str]:
    yield from AWKWARD_OFFICES
    yield from _drawn(CLINIC_TEMPLATES, Random(f"{seed}/names"), number)


def mailboxes(seed: int, number: int) -> Iterator[str]:
    yield from _drawn(MAILBOX_TEMPLATES, Random(f"{seed}/mailboxes"), number)


def notes(seed: int, number: int) -> Iterator[str]:
    yield from _drawn(NOTE_TEMPLATES, Random(f"{seed}/notes"), number)


def _drawn(templates: tuple[str, ...], random: Random, number: int) -> Iterator[str]:
    for index in range(number):
        yield templates[index % len(templates)].format(**_words(random))


def _words(random: Random) -> dict[str, object]:
    def pick(options):
        return options[int(random.random() * len(options))]

    def whole(low, high):
        return low + int(random.random() * (high - low))

    place, family = pick(PLACES), pick(FAMILIES)
    year = whole(2022, 2027)
    return {
        "place": place,
        "place2": pick(PLACES),
        "family": family,
        "other": pick(FAMILIES),
        "given": pick(GIVEN),
        "given2": pick(GIVEN).lower(),
        "kind": pick(KINDS),
        "number": whole(2, 120),
        "digit": whole(1, 9),
        "suite": whole(100, 900),
        "two": whole(60, 99),
        "day": f"{whole(1, 13)}/{whole(1, 29)}",
        "day2": f"{whole(1, 13)}/{whole(1, 29)}",
        "quote": f"Q-{year}-{whole(100, 999)}",
        "po": whole(10_000, 99_999),
        "count": f"{whole(200, 4000):,}",
        "ticket": whole(1000, 99_999),
        "ticket3": whole(100, 199),
        "year": year,
        "year2": year + 1,
        "month": pick(MONTHS),
        "hour": whole(7, 12),
        "gl": whole(1000, 9999),
        "serial": f"WPC{whole(10**10, 10**11)}",
        "slug": (place + family).lower().translate({39: None, 32: None, 46: None}).replace("ñ", "n").replace("ü", "u"),
    }

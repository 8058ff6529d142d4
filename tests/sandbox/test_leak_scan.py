"""The scan of the demo finds every identifier in every encoding, and nothing in what the product really sends."""

import uuid
from datetime import date

import pytest

from sandbox.demo.identifiers import Kind, is_telling, needles_of
from sandbox.demo.leak_scan import ENCODINGS, Scanner
from sandbox.demo.people import Person
from sandbox.demo.privacy import constants
from sandbox.demo_data.names import AWKWARD
from sandbox.stripe_standin import RawRequest

OWN_ID = "in_1QZbLiNg0aBcDeFgHiJkLmNo"
HONEST = RawRequest(
    "POST",
    "/v1/invoiceitems",
    (("Host", "127.0.0.1:40123"), ("Content-Type", "application/x-www-form-urlencoded"), ("Content-Length", "198")),
    f"customer=cus_Li&invoice={OWN_ID}&description=Active+patient+accounts&quantity_decimal=42"
    "&unit_amount_decimal=200&currency=usd".encode(),
)


def person(first: str = "Lara", last: str = "Delgado") -> Person:
    return Person("MRN0001-000007", first, last, date(1982, 5, 7), "lara.delgado7@mail.example", "(442) 555-0107")


def scanner(*people: Person, references: tuple[uuid.UUID, ...] = ()) -> Scanner:
    return Scanner(needles_of(people, references, constants=constants()), own_ids=[OWN_ID, "cus_Li"])


def with_text(text: str) -> RawRequest:
    return RawRequest(HONEST.method, HONEST.target, HONEST.headers, HONEST.body + f"&name={text}".encode())


def found(text: str, *people: Person, references: tuple[uuid.UUID, ...] = ()) -> set[Kind]:
    return set(scanner(*(people or (person(),)), references=references).scan([with_text(text)]).found)


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("Lara Delgado", Kind.FULL_NAME),
        ("Delgado, Lara", Kind.FULL_NAME),
        ("Office of Delgado and others", Kind.NAME),
        ("1982-05-07", Kind.DATE_OF_BIRTH),
        ("05/07/1982", Kind.DATE_OF_BIRTH),
        ("7.5.1982", Kind.DATE_OF_BIRTH),
        ("May 7, 1982", Kind.DATE_OF_BIRTH),
        ("19820507", Kind.DATE_OF_BIRTH),
        ("lara.delgado7@mail.example", Kind.EMAIL),
        ("+1 442 555 0107", Kind.PHONE),
        ("4425550107", Kind.PHONE),
        ("MRN0001-000007", Kind.EXTERNAL_ID),
        ("mrn0001000007", Kind.EXTERNAL_ID),
    ],
)
def test_an_identifier_is_found_in_every_encoding(text, kind, encoding):
    assert kind in found(ENCODINGS[encoding](text))


@pytest.mark.parametrize("encoding", ["plain", "upper case", "URL-encoded"])
@pytest.mark.parametrize("name", AWKWARD, ids=range(len(AWKWARD)))
def test_an_awkward_full_name_is_found(name, encoding):
    somebody = person(*name)
    assert Kind.FULL_NAME in found(ENCODINGS[encoding](" ".join(name)), somebody)


@pytest.mark.parametrize("form", [str, lambda reference: reference.hex, lambda reference: str(reference).upper()])
def test_a_patient_reference_is_found(form):
    reference = uuid.uuid4()
    assert Kind.REFERENCE in found(form(reference), references=(reference,))


def test_an_identifier_is_found_in_the_address_and_in_a_header():
    in_address = RawRequest("GET", "/v1/customers?email=lara.delgado7%40mail.example", (), b"")
    in_header = RawRequest("GET", "/v1/customers", (("X-Note", "for Lara Delgado"),), b"")
    assert Kind.EMAIL in scanner(person()).scan([in_address]).found
    assert Kind.FULL_NAME in scanner(person()).scan([in_header]).found


def test_short_surnames_are_found_as_words_and_not_inside_random_ids():
    assert found("Ng", person("Wu", "Ng")) == {Kind.NAME}
    for name in ("Ng", "Li", "O", "李"):
        assert not scanner(person("Y", name)).scan([HONEST]).found


def test_what_the_product_sends_holds_nobody():
    everybody = [person(*name) for name in AWKWARD]
    result = scanner(*everybody).scan([HONEST])
    assert not result.found
    assert result.requests == 1
    assert result.size == len(HONEST.raw())


def test_a_person_named_like_our_own_words_is_still_found_by_the_full_name():
    assert not scanner(person("Setup", "Discount")).scan([with_text("Setup+fee")]).found
    assert found("Setup Discount", person("Setup", "Discount")) == {Kind.FULL_NAME}


@pytest.mark.parametrize(
    ("name", "telling"), [("Li", True), ("O", False), ("李", True), ("=1+1", False), ("D'Arcy", True)]
)
def test_a_name_alone_tells_something_from_two_letters_on(name, telling):
    assert is_telling(name) is telling

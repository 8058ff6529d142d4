"""Known patients: what of an office's patients a text holds, in whatever disguise, and that the tokens keep in step."""

import base64
import codecs
import json
from datetime import date
from uuid import UUID, uuid4

import pytest
from django.core.management import call_command
from django.db import connection

from offices import locking
from offices.locking import OfficeBusy
from patients import token_rebuild
from patients.dates_in_text import dates_in
from patients.identity import Identity, PatientIdentity
from patients.identity_tokens import PatientToken, TokenKind, tokens_of
from patients.known_patients import matches
from patients.models import Patient
from patients.patient_import import import_patients
from patients.registration import register_patient
from patients.text_normalization import folded, folded_by_looks, readings, token_sequences
from sandbox.demo_data.names import AWKWARD
from tests.patients.csv_files import NOW, office, patient, write

ADA = {
    "external_id": "MRN0001-000123", "first_name": "Ada", "last_name": "Abbott", "date_of_birth": date(1980, 2, 29),
    "email": "ada.abbott@mail.example", "phone": "+1 (442) 555-0100 ext. 7",
}  # fmt: skip
OTHER_KEY = "another-index-key-of-enough-length-0123456789"


def register(at, **changes):
    return register_patient(**{"office_id": at.pk, "actor": "test", "now": NOW, **ADA, **changes}).patient


@pytest.fixture
def clinic(db):
    made = office()
    register(made)
    return made


# --- What is recognised ---
NAME_DISGUISES = {
    "as it is": "Ada Abbott",
    "the last name first": "ABBOTT, ada",
    "no space": "AdaAbbott",
    "no space, the last name first": "abbottada",
    "underscores": "ada_abbott_2",
    "a middle name": "Ada Q. Abbott",
    "an apostrophe": "Ada Ab'bott",
    "spaced letters": "A d a   A b b o t t",
    "dotted letters": "a.d.a.a.b.b.o.t.t",
    "zero-width spaces": "A\u200bda Abb\u200dott",
    "a soft hyphen": "Ada Ab\u00adbott",
    "a change of direction": "\u202eAda\u202c Abbott",
    "full width": "\uff21\uff44\uff41 \uff21\uff42\uff42\uff4f\uff54\uff54",
    "mathematical letters": "\U0001d400\U0001d41d\U0001d41a \U0001d400\U0001d41b\U0001d41b\U0001d428tt",
    "letters in squares": "\U0001f170\U0001f173\U0001f170 \U0001f170\U0001f171\U0001f171\U0001f17e\U0001f183\U0001f183",
    "accents": "\u00c5d\u00e0 \u00c0bb\u00f6tt",
    "Cyrillic look-alikes": "\u0410d\u0430 \u0410bb\u043ett",
    "Greek look-alikes": "\u0391d\u03b1 \u0391bb\u03bftt",
    "leetspeak": "4d4 @bb0t7",
    "per cent": "%41da%20Abbott",
    "per cent, twice": "Ada%2520Abbott",
    "HTML entities": "&#65;da&nbsp;Abbott",
    "Unicode escapes": "\\u0041da \\u{41}bbott",
    "hexadecimal escapes": "\\x41da \\x41bbott",
    "quoted-printable": "=41=64=61 Abbott",
    "base64": "ref " + base64.b64encode(b"Ada Abbott").decode(),
    "base64 for addresses, in base64": base64.b64encode(base64.urlsafe_b64encode(b"Ada Abbott")).decode(),
    "base32": base64.b32encode(b"Ada Abbott").decode(),
    "hexadecimal": b"Ada Abbott".hex(),
    "hexadecimal with spaces": b"Ada Abbott".hex(" "),
    "backwards": "ttobbA adA",
    "each word backwards": "adA ttobbA",
    "rot13": codecs.encode("Ada Abbott", "rot13"),
    "invisible tags": "".join(chr(0xE0000 + ord(sign)) for sign in "Ada Abbott"),
}


@pytest.mark.parametrize("text", NAME_DISGUISES.values(), ids=NAME_DISGUISES.keys())
def test_a_full_name_is_recognised_in_disguise(clinic, text):
    assert "patient_full_name" in matches(clinic.pk, f"see {text} today")


@pytest.mark.parametrize(
    "text",
    [
        "1980-02-29", "02/29/1980", "29.02.1980", "2-29-80", "Feb 29, 1980", "29th of February 1980", "29-Feb-80",
        "19800229", "02291980", "\u0661\u0669\u0668\u0660-\u0660\u0662-\u0662\u0669", "92/20/0891"[::-1], "1980 Feb 29",
    ],
)  # fmt: skip
def test_a_date_of_birth_is_recognised_however_it_is_written(clinic, text):
    assert matches(clinic.pk, f"on {text}.") == ("patient_date_of_birth",)


@pytest.mark.parametrize(
    "text",
    [
        "442-555-0100", "(442) 555 0100", "+1 442.555.0100", "001 442 555 0100", "4425550100", "4 4 2 5 5 5 0 1 0 0",
        "four four two five five five zero one zero zero", "\uff14\uff14\uff12 555 0100",
    ],
)  # fmt: skip
def test_a_telephone_number_is_recognised_however_it_is_written(clinic, text):
    assert matches(clinic.pk, f"call {text} now") == ("patient_phone",)


@pytest.mark.parametrize(
    "text",
    [
        "ada.abbott@mail.example", "ADA.ABBOTT@MAIL.EXAMPLE", "ada dot abbott at mail dot example",
        "ada.abbott (at) mail [dot] example", "<mailto:ada.abbott@mail.example>", "ada%2eabbott%40mail.example",
    ],
)  # fmt: skip
def test_an_email_address_is_recognised_however_it_is_written(clinic, text):
    assert "patient_email" in matches(clinic.pk, f"write to {text}")


@pytest.mark.parametrize("text", ["MRN0001-000123", "mrn 0001 000123", "Mrn0001000123", "MRN0001\u2013000123"])
def test_a_record_number_is_recognised_however_it_is_written(clinic, text):
    assert matches(clinic.pk, f"about {text}") == ("patient_record_number",)


def test_a_short_record_number_counts_only_beside_a_word_that_says_so(db):
    clinic = office()
    register(clinic, external_id="1042")
    assert matches(clinic.pk, "1042 dollars") == ()
    assert matches(clinic.pk, "chart #1042") == ("patient_record_number",)


def test_a_last_name_alone_has_a_code_of_its_own_and_short_ones_have_none(clinic):
    register(clinic, external_id="MRN-2", first_name="Bo", last_name="Li")
    assert matches(clinic.pk, "Abbott Family Chiropractic") == ("patient_last_name",)
    assert matches(clinic.pk, "Li Spinal Health") == ()
    assert matches(clinic.pk, "Li, Bo") == ("patient_full_name",)


NAMES_TOO_SHORT = {("Y", "O")}


@pytest.mark.parametrize(("first", "last"), AWKWARD)
def test_an_awkward_name_is_recognised_in_both_orders(db, first, last):
    clinic = office()
    register(clinic, first_name=first, last_name=last)
    expected = (first, last) not in NAMES_TOO_SHORT
    for text in (f"{first} {last}", f"{last}, {first}", f"{first} {last}".upper()):
        assert ("patient_full_name" in matches(clinic.pk, text)) is expected, text


def test_a_name_in_another_alphabet_is_recognised_in_latin_letters(db):
    clinic = office()
    register(clinic, first_name="\u041e\u043b\u044c\u0433\u0430", last_name="\u0418\u043b\u044c\u0438\u043d\u0430")
    assert "patient_full_name" in matches(clinic.pk, "Olga Ilina")


def test_parts_of_two_patients_are_nobody(clinic):
    register(clinic, external_id="MRN-2", first_name="Hugo", last_name="Marchetti", email="", phone="")
    assert matches(clinic.pk, "Ada Marchetti") == ("patient_last_name",)


def test_an_answer_never_says_which_patient(clinic):
    register(clinic, external_id="MRN-2", first_name="Hugo")
    assert matches(clinic.pk, "Ada Abbott and Hugo Abbott") == ("patient_full_name", "patient_last_name")


# --- The office ---
def test_only_this_offices_patients_are_known(clinic):
    other = office("clinic-2")
    assert matches(other.pk, "Ada Abbott, ada.abbott@mail.example, 442-555-0100, 1980-02-29") == ()
    assert matches(uuid4(), "Ada Abbott") == ()


def test_a_token_of_one_office_says_nothing_about_another(clinic):
    register(office("clinic-2"))
    digests = list(PatientToken.objects.values_list("digest", flat=True))
    assert len(digests) == 12
    assert len(set(digests)) == 12


def test_the_table_holds_no_clear_text(clinic):
    digests = PatientToken.objects.values_list("digest", flat=True)
    assert all(isinstance(digest, UUID) for digest in digests)
    others = {field.name for field in PatientToken._meta.concrete_fields} - {"digest"}
    assert others == {"patient_id", "office_id", "kind", "key_id"}


# --- In step with the identities ---
def taken(tmp_path, *rows):
    return import_patients(path=write(tmp_path / "patients.csv", rows), actor="test", now=NOW)


def test_an_import_makes_the_tokens_and_a_later_one_replaces_them(db, tmp_path):
    clinic = office()
    taken(tmp_path, patient(), patient("MRN-2", first_name="Hugo", last_name="Marchetti"))
    assert "patient_full_name" in matches(clinic.pk, "Ada Abbott")
    taken(tmp_path, patient(last_name="Lombardi", phone=""))
    assert matches(clinic.pk, "Ada Abbott, 442 555 0100") == ("patient_phone",)  # the other one's
    assert "patient_full_name" in matches(clinic.pk, "Ada Lombardi")
    taken(tmp_path, patient("MRN-2", first_name="Hugo", last_name="Marchetti", phone=""))
    assert matches(clinic.pk, "442 555 0100") == ()


def test_an_import_that_is_refused_leaves_no_token(db, tmp_path):
    office()
    taken(tmp_path, patient(), patient("MRN-2", start="2999-01-01"))
    assert not PatientToken.objects.exists()


def test_registering_the_same_person_again_leaves_the_tokens_alone(clinic):
    before = set(PatientToken.objects.values_list("digest", flat=True))
    register(clinic)
    assert set(PatientToken.objects.values_list("digest", flat=True)) == before


@pytest.mark.parametrize("how", ["orm", "sql"])
def test_erasing_an_identity_erases_its_tokens_and_no_others(clinic, how):
    kept = register(clinic, external_id="MRN-2", first_name="Hugo", last_name="Marchetti", email="", phone="")
    erased = PatientIdentity.objects.exclude(patient=kept)
    if how == "orm":
        erased.delete()
    else:
        with connection.cursor() as cursor:
            cursor.execute("DELETE FROM patients_patientidentity WHERE patient_id = %s", [_raw(erased.get().pk)])
    assert set(PatientToken.objects.values_list("patient_id", flat=True)) == {kept.pk}
    assert matches(clinic.pk, "Ada Abbott") == ()


def _raw(pk):
    return pk if connection.vendor == "postgresql" else pk.hex


# --- Rebuilding ---
def rebuild(capsys, *options):
    code = 0
    try:
        call_command("rebuild_patient_index", "--json", *options)
    except SystemExit as left:
        code = left.code
    answer = json.loads(capsys.readouterr().out)
    return code, list(answer["counts"].values()), [problem["code"] for problem in answer["problems"]]


def test_a_rebuild_of_an_index_in_step_changes_nothing(clinic, capsys):
    assert rebuild(capsys) == (0, [0, 0, 0], [])
    assert rebuild(capsys, "--all") == (0, [1, 0, 0], [])


def test_a_patient_is_known_before_amid_and_after_a_rotation_of_the_index_keys(clinic, capsys, settings):
    settings.BLIND_INDEX_KEYS = [OTHER_KEY, *settings.BLIND_INDEX_KEYS]
    assert "patient_full_name" in matches(clinic.pk, "Ada Abbott")
    assert rebuild(capsys) == (0, [1, 1, 6], [])
    settings.BLIND_INDEX_KEYS = [OTHER_KEY]
    assert "patient_full_name" in matches(clinic.pk, "Ada Abbott")
    assert PatientToken.objects.count() == 6


def test_a_dry_run_counts_the_same_and_writes_nothing(clinic, capsys):
    PatientToken.objects.all().delete()
    assert rebuild(capsys, "--dry-run") == (0, [1, 1, 6], [])
    assert not PatientToken.objects.exists()


def test_a_rebuild_finds_a_token_that_was_tampered_with(clinic, capsys):
    PatientToken.objects.filter(kind=TokenKind.EMAIL).delete()
    assert rebuild(capsys) == (0, [0, 0, 0], [])
    assert rebuild(capsys, "--all") == (0, [1, 1, 6], [])
    assert "patient_email" in matches(clinic.pk, "ada.abbott@mail.example")


def test_a_stopped_rebuild_goes_on_where_it_was(db, capsys, monkeypatch):
    clinic = office()
    for number in range(7):
        register(clinic, external_id=f"MRN-000{number}")
    PatientToken.objects.all().delete()
    monkeypatch.setattr(token_rebuild, "_BATCH", 2)
    done = []

    def stop(seen, total):
        done.append((seen, total))
        if len(done) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        token_rebuild.rebuild_tokens(progress=stop)
    assert done == [(2, 7), (4, 7)]
    assert rebuild(capsys) == (0, [3, 3, 18], [])
    assert PatientToken.objects.count() == 42


def test_an_unreadable_identity_is_told_and_the_others_are_rebuilt(clinic, capsys):
    register(clinic, external_id="MRN-2", email="", phone="")
    PatientToken.objects.all().delete()
    PatientIdentity.objects.filter(pk=Patient.objects.order_by("created_at").first().pk).update(sealed="1:no:no")
    code, counts, problems = rebuild(capsys)
    assert (code, counts[:2], problems) == (1, [2, 1], ["identity_unreadable"])


def test_a_busy_office_is_told_and_left_for_the_next_run(clinic, capsys, monkeypatch):
    PatientToken.objects.all().delete()

    def busy(_office_id):
        raise OfficeBusy

    monkeypatch.setattr(token_rebuild, "lock_office", busy)
    assert rebuild(capsys) == (1, [0, 0, 0], ["office_busy"])
    monkeypatch.setattr(token_rebuild, "lock_office", locking.lock_office)
    assert rebuild(capsys) == (0, [1, 1, 6], [])


# --- The spelling ---
def test_sound_and_looks_of_other_alphabets_are_two_readings():
    greek = "\u0394\u03ae\u03bc\u03b7\u03c4\u03c1\u03b1"
    assert folded(greek) == folded(greek.upper()) == "dimitra"
    assert folded_by_looks("\u041d\u0415L\u041e") == "helo"


def test_readings_are_bounded_however_often_a_text_is_wrapped():
    text = "Ada Abbott"
    for _ in range(12):
        text = base64.b64encode(text.encode()).decode()
    assert len(readings(text)) <= 16


def test_plain_words_do_not_decode_to_anything():
    assert readings("Training for the front desk, twenty-five dollars off") == (
        "training for the front desk, twenty-five dollars off",
    )


def test_spaced_letters_are_a_word_and_two_are_not():
    assert ("abc",) in token_sequences("a b c")
    assert token_sequences("a b") == (("a", "b"),)


def test_a_date_with_an_ambiguous_order_means_both_days():
    assert dates_in("03/04/1980") == {date(1980, 3, 4), date(1980, 4, 3)}
    assert dates_in("31/31/1980") == frozenset()
    assert dates_in("24/7") == frozenset()


def test_an_identity_without_names_has_no_name_tokens():
    bare = Identity("MRN-1", "", "", None, "", "")
    kinds = [token.kind for token in tokens_of(bare, patient_id=uuid4(), office_id=uuid4())]
    assert kinds == [TokenKind.SHORT_RECORD_NUMBER]

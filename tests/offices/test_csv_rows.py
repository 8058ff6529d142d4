"""CSV files: what is read, what is refused, and that no message repeats a cell."""

import pytest

from offices.csv_rows import FileUnusable, in_chunks, read_rows
from offices.import_findings import MESSAGES, ProblemCode, RowRejected

COLUMNS = ("one", "two", "three")
HEADER = b"one,two,three\n"


@pytest.fixture
def read(tmp_path):
    def read(content: bytes):
        path = tmp_path / "file.csv"
        path.write_bytes(content)
        return list(read_rows(path, COLUMNS))

    return read


def _causes(row):
    return [(cause.field, cause.code) for cause in row.causes]


def test_a_row_has_the_number_a_spreadsheet_shows(read):
    rows = read(HEADER + b'1,2,3\n\n4,"5\n5",6\n7,8,9')
    assert [(row.number, tuple(row.cells().values())) for row in rows] == [
        (2, ("1", "2", "3")), (4, ("4", "5\n5", "6")), (5, ("7", "8", "9")),
    ]  # fmt: skip


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["plain", "with BOM"])
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_utf8_is_read_with_or_without_a_byte_order_mark(read, mark, end):
    (row,) = read(mark + HEADER.replace(b"\n", end) + "Żółć,=1+1,小龍".encode() + end)
    assert dict(row.cells()) == {"one": "Żółć", "two": "=1+1", "three": "小龍"}


def test_columns_may_stand_in_any_order(read):
    (row,) = read(b"three,one,two\nc,a,b\n")
    assert dict(row.cells()) == {"one": "a", "two": "b", "three": "c"}


@pytest.mark.parametrize(
    ("header", "says"),
    [
        (b"one,three\n", "missing: two"),
        (b"one,two,three,four\n", "unknown or repeated: column 4"),
        (b"one,two,two,three\n", "unknown or repeated: column 3"),
        (b"one,Two,three\n", "missing: two; unknown or repeated: column 2"),
        (b"one, two,three\n", "missing: two; unknown or repeated: column 2"),
        (b"one;two;three\n", "missing: one,two,three; unknown or repeated: column 1"),
        (b"\none,two,three\n", "missing: one,two,three"),
        (b'"one,two,three\n', "missing: one,two,three"),
    ],
)
def test_a_wrong_header_is_named_by_our_columns_and_positions(read, header, says):
    with pytest.raises(FileUnusable) as refused:
        read(header + b"1,2,3\n")
    assert str(refused.value) == f"row 1 must name the columns one,two,three; {says}"


def test_an_empty_file_has_no_header(read):
    with pytest.raises(FileUnusable, match="missing: one,two,three"):
        read(b"")


def test_a_person_in_the_place_of_the_header_is_not_repeated(read):
    with pytest.raises(FileUnusable) as refused:
        read(b"clinic-1,Petronella,Quackenbush\n")
    assert "Petronella" not in str(refused.value)
    assert "Quackenbush" not in str(refused.value)


@pytest.mark.parametrize("header", ["one,two,thrée".encode("latin-1"), "one,two,three\n".encode("utf-16")])
def test_a_header_that_is_not_utf8_is_refused(read, header):
    with pytest.raises(FileUnusable, match="not UTF-8"):
        read(header + b"\n1,2,3\n")


def test_a_missing_file_or_a_folder_is_refused(tmp_path):
    for path in (tmp_path / "absent.csv", tmp_path):
        with pytest.raises(FileUnusable, match="no such file"):
            list(read_rows(path, COLUMNS))


@pytest.mark.parametrize(
    ("line", "causes"),
    [
        (b"1,2", [("", "wrong_cell_count")]),
        (b"1,2,3,4", [("", "wrong_cell_count")]),
        (b"1,a\x00b,3", [("two", "nul_character")]),
        (b"1,2,caf\xe9", [("three", "not_utf8")]),
        (b"\xff,2,\xed\xa0\x80", [("one", "not_utf8"), ("three", "not_utf8")]),
    ],
)
def test_a_row_that_cannot_be_read_says_where_and_the_next_one_is_read(read, line, causes):
    bad, good = read(HEADER + line + b"\n4,5,6\n")
    assert (bad.number, _causes(bad)) == (2, causes)
    assert good.cells()["one"] == "4"
    with pytest.raises(RowRejected):
        bad.cells()


@pytest.mark.parametrize("line", [b'1,"2"x,3\n4,5,6\n', b'1,"2,3\n4,5,6\n', b'1,"' + b"x" * 200_000 + b'",3\n4,5,6\n'])
def test_nothing_is_guessed_behind_broken_quoting(read, line):
    rows = read(HEADER + b"1,2,3\n" + line)
    assert [_causes(row) for row in rows] == [[], [("", "malformed_csv")]]


def test_a_file_without_line_ends_is_read_in_pieces(read):
    rows = read(HEADER + b"x" * 1_000_000)
    assert {cause for row in rows for cause in _causes(row)} == {("", "wrong_cell_count")}


def test_chunks_have_the_size_asked_for():
    assert list(in_chunks(range(5), 2)) == [[0, 1], [2, 3], [4]]


def test_every_code_has_its_sentence():
    assert set(MESSAGES) == set(ProblemCode)

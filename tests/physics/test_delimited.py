"""Tables of text as spreadsheets write them: what is read, and what is refused in one line with its place."""

import numpy as np
import pytest

from pinn_cli.physics.references.table import Table, read_table
from tests.conftest import refused

X, U = [0.125, 0.25], [1234.5, -2e-3]  # the columns of every file that is read
PLAIN = "x,u\n0.125,1234.5\n0.25,-2e-3\n"

READ = {
    "plain": PLAIN.encode(),
    "byte-order mark": PLAIN.encode("utf-8-sig"),
    "UTF-16, as Excel's Unicode text": PLAIN.replace(",", "\t").encode("utf-16"),
    "lines of Windows": PLAIN.replace("\n", "\r\n").encode(),
    "lines of an old Mac": PLAIN.replace("\n", "\r").encode(),
    "no end of the last line": PLAIN.strip().encode(),
    "quoted names and cells": b'"x","u"\n"0.125","1234.5"\n"0.25","-2e-3"\n',
    "a quoted name with a comma": b'x,"note, long",u\n0.125,"a, b",1234.5\n0.25,c,-2e-3\n',
    "spaces around": b" x , u \n 0.125 , 1234.5\n0.25,  -2e-3 \n",
    "separated by spaces": b"  x   u\n 0.125 1234.5\n 0.25  -2e-3\n",
    "tabs": PLAIN.replace(",", "\t").encode(),
    "semicolons": PLAIN.replace(",", ";").encode(),
    "decimal commas": b"x;u\n0,125;1234,5\n0,25;-2e-3\n",
    "decimal commas and tabs": b"x\tu\n0,125\t1234,5\n0,25\t-2e-3\n",
    "thousands of German Excel": b"x;u\n0,125;1.234,5\n0,25;-0,002\n",
    "thousands of English Excel": b'x,u\n0.125,"1,234.5"\n0.25,-0.002\n',
    "thousands of French Excel": "x;u\n0,125;1\u202f234,5\n0,25;\u22120,002\n".encode(),
    "thousands of Swiss Excel": b"x;u\n0.125;1'234.5\n0.25;-0.002\n",
    "exponents of Fortran": b"x,u\n1.25D-01,1.2345d+03\n0.25,-2.0D-3\n",
    "the separator in the first line": b"sep=;\nx;u\n0,125;1234,5\n0,25;-2e-3\n",
    "a line of units": b"x,u\nm,K\n0.125,1234.5\n0.25,-2e-3\n",
    "separators at the ends": b"x,u,,\n0.125,1234.5,,\n0.25,-2e-3,,\n",
    "empty lines": b"\nx,u\n\n0.125,1234.5\n,\n0.25,-2e-3\n,,\n\n\n",
    "comments": b'# from the "lab\n\n#  in May\nx,u\n0.125,1234.5\n# recalibrated\n0.25,-2e-3\n',
    "names in a comment, as numpy writes": b"# May\n# x,u\n0.125,1234.5\n0.25,-2e-3\n",
    "latin-1": "x,u,Prüfer\n0.125,1234.5,Müller\n0.25,-2e-3,Groß\n".encode("latin-1"),
    "a column of text": b"x,station,u\n0.125,north,1234.5\n0.25,,-2e-3\n",
    "an index without a name": b",x,u\n0,0.125,1234.5\n1,0.25,-2e-3\n",
    "missing values of another column": b"x,v,u\n0.125,#N/A,1234.5\n0.25,NaN,-2e-3\n",
    "an error value at the begin of a line": b"v,x,u\n#N/A,0.125,1234.5\n#DIV/0!,0.25,-2e-3\n",
}


@pytest.mark.parametrize("case", READ)
def test_a_table_with_a_plain_meaning_is_read(case, tmp_path):
    file = tmp_path / "probe.csv"
    file.write_bytes(READ[case])
    table = Table(file, ("x",), ("u",))
    assert table.at[:, 0].tolist() == X
    assert table.values["u"].tolist() == pytest.approx(U, rel=1e-15)


REFUSED = {
    "two columns of one name": (b"x,u,u\n1,2,3\n", "line 1: two columns are named `u`"),
    "no names": (b"0.1,0.2\n0.3,0.4\n", "line 1: found 0.1, 0.2; expected the names of the columns"),
    "no names, commas": (b"0,1;0,2\n0,3;0,4\n", "expected the names of the columns"),
    "names only": (b"x,u\n", "no row below"),
    "names and units only": (b"x,u\nm,K\n", "line 2: x is `m`"),
    "empty": (b"\n# nothing\n", "it is empty; expected a line with the names"),
    "a workbook": (b"PK\x03\x04\x14\x00", "it is a workbook, not text"),
    "compressed": (b"\x1f\x8b\x08\x00", "unpack it"),
    "binary": (b"x\x00\x01,u\n", "it is no text"),
    "a short line": (b"x,u\n# c\n1,2\n3\n", "line 4 has 1 values; expected 2"),
    "a long line": (b"x,u\n1,2\n3,4,5\n", "line 3 has 3 values; expected 2"),
    "an open quotation mark": (b'x,u\n1,"2\n3,4\n', "unexpected end"),
    "a missing value": (b"x,u\n1,2\n3,\n", "line 3: u is ``, which is a missing value"),
    "a missing value of Excel": (b"x,u\n1,2\n\n3,#N/A\n", "line 4: u is `#N/A`, which is a missing value"),
    "a word": (b"x,u\n1,dry\n", "line 2: u is `dry`, which is no number"),
    "a number with a unit": (b"x,u\n1,2 K\n2,3 K\n", "line 2: u is `2 K`, which is no number"),
    "infinity": (b"x,u\n1,inf\n2,3\n", "line 2: u is `inf`, which is no number"),
    "too large": (b"x,u\n1,1e999\n", "row 1: u is `inf`; expected a finite number"),
    "python's underscores": (b"x,u\n1,1_000\n", "which is no number"),
    "one thousand or one": (b'x,u\n1,"1,234"\n2,"2,345"\n', r"line 2: u is `1,234`, which can be read in two ways"),
    "one thousand or one, tabs": (b"x\tu\n1\t1,234\n", "can be read in two ways"),
    "points in a file of commas": (b"x;u\n0,5;1.234\n0,6;2.345\n", "line 2: u is `1.234`, which can be"),
    "both marks": (b"x;u\n1;0,5\n2;0.5\n", "line 2: u is `0,5`"),
    "thousands that are none": (b'x,u\n1,"12,34,5.0"\n', "which is no number"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_table_without_a_plain_meaning_is_refused_in_one_line_with_its_place(case, tmp_path):
    raw, message = REFUSED[case]
    file = tmp_path / "probe.csv"
    file.write_bytes(raw)
    with refused(rf"probe\.csv: .*{message}"):
        Table(file, ("x",), ("u",))


def test_a_workbook_by_its_name_is_told_to_become_text(tmp_path):
    with refused(r"kind \.xlsx; expected one of \.csv.*choose Save As, CSV UTF-8"):
        read_table(tmp_path / "probe.xlsx")


def test_one_row_is_a_table_and_other_endings_are_read(tmp_path):
    for name in ("a.csv", "a.tsv", "a.txt", "A.CSV"):
        (tmp_path / name).write_text("x\tu\n1\t2\n")
        assert {k: v.tolist() for k, v in read_table(tmp_path / name).items()} == {"x": [1.0], "u": [2.0]}


def test_a_point_is_decimal_where_all_numbers_have_three_digits_behind_it(tmp_path):
    (tmp_path / "a.csv").write_text("x;u\n1;1.234\n2;2.345\n")
    np.testing.assert_equal(read_table(tmp_path / "a.csv")["u"], [1.234, 2.345])


def test_a_comma_between_semicolons_is_decimal_where_all_numbers_have_three_digits_behind_it(tmp_path):
    (tmp_path / "a.csv").write_text("x;u\n1;1,234\n2;2,345\n")
    np.testing.assert_equal(read_table(tmp_path / "a.csv")["u"], [1.234, 2.345])

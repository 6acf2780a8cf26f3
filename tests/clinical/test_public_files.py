"""Files of the shapes that the public uses: each is read right, or refused with what helps."""

import gzip
import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from clinical.archive import open_source
from clinical.codings.definitions import ZERO_BASED
from clinical.errors import DataError
from clinical.patients import Patients, read_patients
from clinical.schema import FEATURE_NAMES
from tests.clinical.patient_files import (
    SICK_CSV,
    SICK_UCI,
    WELL_CSV,
    WELL_UCI,
    changed,
    csv_bytes,
    labelled,
    refusal,
    written_in,
)

UCI_FILE = csv_bytes([SICK_UCI, WELL_UCI], "num")
CSV_FILE = csv_bytes([SICK_CSV, WELL_CSV], "target")


def read(frame: pd.DataFrame, coding: str = "auto") -> Patients:
    return read_patients(frame.to_csv(index=False).encode(), "patients.csv", coding)


@pytest.fixture(scope="module")
def uci(members: dict[str, bytes]) -> pd.DataFrame:
    """Return Cleveland as UCI writes it, with a header."""
    names = [*FEATURE_NAMES, "num"]
    content = io.BytesIO(members["processed.cleveland.data"])
    return pd.read_csv(content, header=None, names=names, na_values="?")


def counted_from_0(canonical: pd.DataFrame) -> pd.DataFrame:
    return written_in(ZERO_BASED, canonical).rename(columns={"disease": "target"})


# --- Codes counted from 0 -----------------------------------------------------------------------


@pytest.mark.parametrize("label", ["target", "disease", "num", None])
def test_codes_counted_from_0_are_refused_until_they_are_stated(
    cleveland: pd.DataFrame, label: str | None
) -> None:
    frame = counted_from_0(cleveland)
    frame = frame.rename(columns={"target": label}) if label else frame.drop(columns="target")
    text = refusal(frame.to_csv(index=False).encode())
    assert "coding=zero_based" in text
    assert "rename" not in text
    if label != "num":  # which means UCI's coding, whose cp is never 0
        assert "its codes in cp, slope speak against" in text
    stated = read(frame, "zero_based")
    assert stated.coding == "zero_based"
    columns = list(cleveland) if label else list(FEATURE_NAMES)
    pd.testing.assert_frame_equal(stated.frame, cleveland[columns])


def test_a_stated_coding_is_held_to_its_ranges() -> None:
    text = refusal(UCI_FILE, "zero_based")
    assert "(zero_based coding)" in text
    assert "cp: must be one of 0 (typical angina), 1 (atypical angina)" in text
    assert "thal: must be one of 1 (normal)" in text
    assert "thal: must be one of 1 (normal)" in refusal(
        csv_bytes([changed(SICK_CSV, thal=0)], "target"), "zero_based"
    )


def test_a_stated_coding_overrules_what_the_rows_show(cleveland: pd.DataFrame) -> None:
    frame = counted_from_0(cleveland).drop(columns="target")
    assert read(frame, "canonical").coding == "canonical"


def test_only_known_codings_can_be_stated() -> None:
    with pytest.raises(ValueError, match="auto, uci, heart"):
        read_patients(UCI_FILE, "x", "statlog")


@pytest.mark.parametrize(("content", "coding", "words", "unsaid"), [
    (CSV_FILE, "canonical",
     ["its label 'target' is none of the canonical coding", "coding=heart.csv"], []),
    (b"63,male,typical,left_vent_hyper,yes,down,fixed,smith\n", "auto",
     ["columns missing: all 13"], ["male", "typical", "smith"]),
    *((gzip.compress(CSV_FILE)[:keep], "auto", ["not a complete gzip file"], [])
      for keep in (3, 30, -5)),
    (gzip.compress(b"\n" * (65 << 20)), "auto", ["more than 64 MiB"], []),
], ids=["label of another coding", "words", "cut", "cut", "cut", "bomb"])  # fmt: skip
def test_what_cannot_be_read_is_refused_in_words(
    content: bytes, coding: str, words: list[str], unsaid: list[str]
) -> None:
    text = refusal(content, coding)
    assert [word for word in words if word not in text] == []
    assert [word for word in unsaid if word in text] == []


# --- Labels -------------------------------------------------------------------------------------


def test_statlogs_labels_are_read_where_the_rows_prove_them(
    uci: pd.DataFrame, cleveland: pd.DataFrame
) -> None:
    statlog = uci.assign(num=np.where(uci["num"] > 0, 2, 1))
    text = statlog.dropna().to_csv(index=False, header=False, sep=" ").encode()
    found = read_patients(text, "heart.dat")
    assert found.coding == "statlog"
    assert found.frame["disease"].tolist() == cleveland.dropna()["disease"].tolist()


def test_statlogs_labels_are_refused_by_name_where_nothing_proves_them(uci: pd.DataFrame) -> None:
    for grades in ((1, 2), (2, 1)):
        rows = [labelled(SICK_UCI, grades[0]), labelled(WELL_UCI, grades[1])]
        assert "Statlog" in refusal(csv_bytes(rows, header=False))
    diseased = uci[uci["num"].isin([1, 2])]
    assert "Statlog" in refusal(diseased.to_csv(index=False).encode())


def test_statlogs_labels_among_uci_grades_are_refused(uci: pd.DataFrame) -> None:
    statlog = uci.assign(num=np.where(uci["num"] > 0, 2, 1))
    for mixed in (
        pd.concat([uci, statlog]),
        pd.concat([uci[:150], statlog[150:]]),
        pd.concat([uci.assign(num=(uci["num"] > 0).astype(int))[:150], statlog[150:]]),
    ):
        assert "its label mixes two meanings" in refusal(mixed.to_csv(index=False).encode())


def test_uci_codes_under_target_are_read_once_their_coding_is_stated(
    uci: pd.DataFrame, cleveland: pd.DataFrame
) -> None:
    frame = uci.rename(columns={"num": "target"})
    assert "State the coding" in refusal(frame.to_csv(index=False).encode())
    assert "coding=uci" in refusal(frame.to_csv(index=False).encode())
    pd.testing.assert_frame_equal(read(frame, "uci").frame, cleveland)


@pytest.mark.parametrize("alias", ["condition", "diagnosis", "class", "output"])
def test_a_label_by_another_name_is_refused_with_the_rename_that_its_rows_prove(
    uci: pd.DataFrame, cleveland: pd.DataFrame, alias: str
) -> None:
    def advice(frame: pd.DataFrame, name: str, coding: str = "auto") -> str:
        renamed = frame.rename(columns={name: alias}).to_csv(index=False).encode()
        text = refusal(renamed, coding)
        assert f"its column '{alias}' may be the label" in text
        return text.splitlines()[-1].strip()

    healthy = cleveland.assign(disease=1 - cleveland["disease"])
    assert advice(cleveland, "disease") == "Its rows show which: rename it to 'disease'."
    assert advice(healthy, "disease") == "Its rows show which: rename it to 'target'."
    assert advice(uci, "num") == "Its rows show which: rename it to 'num'."
    zero_based = counted_from_0(cleveland)
    assert advice(zero_based, "target", "zero_based").endswith("rename it to 'disease'.")
    inverted = zero_based.assign(target=1 - zero_based["target"])
    for unproven in (inverted, zero_based[:8], zero_based.assign(target=7)):
        assert "do not prove" in advice(unproven, "target", "zero_based")


def test_no_rename_is_advised_where_a_wrong_label_may_be_a_wrong_coding() -> None:
    # Exercise brings angina to the diseased alone, but pain and slope are the same in all.
    sick, well = changed(SICK_CSV, cp=1, slope=1), changed(WELL_CSV, cp=1, slope=1, ca=0)
    rows = [labelled(sick, 1), labelled(well, 0)] * 10
    text = refusal(csv_bytes(rows, "target"))
    assert "points the wrong way" in text
    assert "rename" not in text
    assert "coding=zero_based" in text


def test_heart_csv_without_its_header_is_read_once_it_is_stated() -> None:
    content = csv_bytes([SICK_CSV, WELL_CSV], header=False)
    assert read_patients(content, "x", "heart.csv").frame["disease"].tolist() == [1, 0]


# --- Columns ------------------------------------------------------------------------------------


def test_other_columns_are_named_and_ignored() -> None:
    extra = [f"extra{number}" for number in range(25)]
    frame = pd.read_csv(io.BytesIO(UCI_FILE)).assign(**dict.fromkeys(extra, "x"), id=["a", "b"])
    found = read(frame)
    assert found.ignored == [*extra, "id"]
    assert found.converted[-1].startswith("not used: 'extra0', 'extra1'")
    assert found.converted[-1].endswith("'extra19', 6 more")
    pd.testing.assert_frame_equal(found.frame, read_patients(UCI_FILE, "x").frame)


@pytest.mark.parametrize(("alias", "feature"), [
    ("gender", "sex (1 = male, 0 = female)"), ("thalch", "thalach"), ("trtbps", "trestbps"),
])  # fmt: skip
def test_a_feature_by_another_name_is_refused_with_its_rename(alias: str, feature: str) -> None:
    name = feature.split(maxsplit=1)[0]
    text = refusal(CSV_FILE.replace(f",{name},".encode(), f",{alias},".encode(), 1))
    assert f"columns missing: {name}; rename '{alias}' to {feature}" in text


# --- Formats ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "write",
    [
        lambda text: b"\xef\xbb\xbf" + text,
        lambda text: text.replace(b"\n", b"\r\n"),
        lambda text: text.replace(b"\n", b"\r"),
        lambda text: text.replace(b",", b" , "),
        lambda text: text + b"\n  \n\t\n",
        lambda text: b"\n\n" + text,
        lambda text: text.rstrip(b"\n"),
        lambda text: text.replace(b",", b";"),
        lambda text: text.replace(b",", b"\t"),
        lambda text: text.replace(b",", b" "),
        lambda text: text.replace(b"63", b'"63"'),
        lambda text: text.upper(),
        gzip.compress,
        lambda text: text.decode().encode("utf-16"),
        lambda text: b"\xfe\xff" + text.decode().encode("utf-16-be"),
        lambda text: gzip.compress(text.decode().encode("utf-16")),
        lambda text: b"sep=;\r\n" + text.replace(b",", b";"),
        lambda text: text.replace(b",", b";").replace(b".", b","),
        lambda text: text.replace(b",", b"\t").replace(b".", b","),
        lambda text: b"".join(
            f'"{n}",'.encode() * bool(n) + line for n, line in enumerate(text.splitlines(True))
        ),
    ],
    ids=["bom", "crlf", "cr", "spaces", "blank-end", "blank-start", "no-end", "semicolon", "tab",
         "spaced", "quoted", "upper-case", "gzip", "utf-16-le", "utf-16-be", "gzip-utf-16", "sep",
         "comma", "tab-comma", "r"],
)  # fmt: skip
@pytest.mark.parametrize("content", [UCI_FILE, CSV_FILE], ids=["uci", "heart.csv"])
def test_the_way_a_table_is_written_does_not_matter(
    tmp_path: Path, content: bytes, write: Callable[[bytes], bytes]
) -> None:
    (tmp_path / "x").write_bytes(write(content))
    for source in (write(content), open_source(tmp_path / "x")["x"]):
        found = read_patients(source, "x")
        pd.testing.assert_frame_equal(found.frame, read_patients(content, "x").frame)


def xlsx() -> bytes:
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as file:
        for name in ("docProps/app.xml", "xl/workbook.xml", "[Content_Types].xml"):
            file.writestr(name, "<x/>")
    return written.getvalue()


FORMATS = {
    "an Excel workbook (xlsx)": xlsx(),
    "an Excel workbook (xls)": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(500),
    "an ARFF file of WEKA": b"% heart\n@RELATION heart\n@attribute age numeric\n@data\n66,male\n",
    "a Git LFS pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 9\n",
    "a web page": b"\n  <html><body>Not found</body></html>",
    "a PDF document": b"%PDF-1.7\n",
    "JSON": b'[{"age": 63}]',
    "packed by 7-Zip": b"7z\xbc\xaf\x27\x1c" + bytes(9),
    "packed by bzip2": b"BZh91AY",
}


@pytest.mark.parametrize("name", FORMATS)
def test_a_format_that_is_no_table_is_named_with_what_to_do(tmp_path: Path, name: str) -> None:
    path = tmp_path / "patients.csv"
    path.write_bytes(FORMATS[name])
    with pytest.raises(DataError) as caught:
        read_patients(open_source(path)[path.name], path.name)
    text = str(caught.value)
    assert "'patients.csv' was refused: it is " in text
    assert name in text
    assert "\n" not in text
    assert text.count(": ") >= 2  # what it is, and what to do

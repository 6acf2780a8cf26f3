"""The files to be scored are found wherever they are, and refused where they hold no patients."""

import gzip
from pathlib import Path

import boto3
import pandas as pd
import pytest

from clinical.errors import DataError
from clinical.schema import FEATURE_NAMES
from steps.batch.inputs import divide, find
from tests.clinical.patient_files import SICK_CSV, SICK_UCI, WELL_CSV, csv_bytes
from tests.e2e.backends import AWS, an_s3
from tests.servers import Answers, closed_port, gives, serving

HEART = csv_bytes([SICK_CSV, WELL_CSV], "target")


def write(path: Path, content: bytes = HEART) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def names(source: object) -> list[str]:
    return [file.name for file in find(str(source))]


def test_files_are_found_by_path_url_folder_and_glob_in_the_order_of_their_names(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "in"
    for name in ("b/2.csv", "a.csv", "b/1.data", "notes.md", ".hidden.csv", "_log/x.csv"):
        write(folder / name)
    assert names(folder / "a.csv") == names((folder / "a.csv").as_uri()) == ["a.csv"]
    assert names(folder) == ["a.csv", "b/1.data", "b/2.csv"]
    assert names(folder / "*" / "*.csv") == ["_log/x.csv", "b/2.csv"]
    write(folder / "a1.csv")
    assert names(write(folder / "a[1].csv")) == ["a[1].csv"]  # looks like a glob
    write(tmp_path / "of [2025]" / "x" / "1.csv")
    assert names(tmp_path / "of [2025]" / "*" / "*.csv") == ["1.csv"]


@pytest.mark.parametrize(("source", "line"), [
    ("nowhere.csv", "there is no file '.*nowhere.csv'"),
    ("*.csv", r"there is no file '.*\*.csv'"),
    ("empty", "there is no file '.*empty', nor a folder with .csv, "),
    ("nosuch://bucket/x.csv", "'nosuch://bucket/x.csv' cannot be read: Protocol not known"),
])  # fmt: skip
def test_nothing_to_read_is_told_in_one_line(tmp_path: Path, source: str, line: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=f"^{line}") as refused:
        find(source if "://" in source else str(tmp_path / source))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("name", ["b.csv.gz", "b.ZIP"])
def test_a_packed_file_is_refused_and_not_left_out_of_a_folder(tmp_path: Path, name: str) -> None:
    write(tmp_path / "in" / "a.csv")
    path = write(tmp_path / "in" / name, gzip.compress(HEART))
    for source in (path, path.parent):
        with pytest.raises(DataError, match=f"'{name}': it is packed by gzip: unpack it"):
            find(str(source))


LONG = ",".join([*FEATURE_NAMES, "target", *(f"column_{i}" for i in range(9000))]).encode()
BAD = {
    "CR alone": (HEART.replace(b"\n", b"\r"), "lines must end in LF or CR LF"),
    "a header that ends in CR": (HEART.replace(b"\n", b"\r", 1), "lines must end in LF or CR LF"),
    "a long header": (LONG + b"\n" + b"1," * 9013 + b"1\n", "the header within 65536 bytes"),
    "an id twice": (csv_bytes([[*SICK_CSV, 1, 2]], "target,id,id"), "there twice: id"),
    "without a column": (HEART.replace(b"thalach,", b"").replace(b"150,", b""), "missing: thalach"),
    "another name": (HEART.replace(b"sex", b"gender"), "missing: sex .*; rename 'gender' to sex"),
    "a column twice": (csv_bytes([[*SICK_CSV, 5]], "target,age"), "there twice: age"),
    "not text": (b"\x00\x01\x02", "neither text in UTF-8 nor Parquet"),
    "utf-16": (HEART.decode().encode("utf-16"), "UTF-16: save it as UTF-8"),
    "blanks": (b" ".join([b"1"] * 14) + b"\n", "divided by commas, semicolons or tabs"),
    "cut off": (b"PAR1 and then nothing", "not a complete Parquet file"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_file_that_is_not_one_of_patients_is_named(tmp_path: Path, case: str) -> None:
    content, line = BAD[case]
    with pytest.raises(DataError, match=f"^'file.csv'.*{line}") as refused:
        find(str(write(tmp_path / "file.csv", content)))
    assert "\n" not in str(refused.value)


def test_uci_files_have_no_header_and_others_may_have_more_columns(tmp_path: Path) -> None:
    (uci,) = find(str(write(tmp_path / "u.data", csv_bytes([SICK_UCI], header=False))))
    assert uci.layout.names[-1] == "num"
    content = csv_bytes([[*SICK_CSV, 7, "A", "B"]], "target,patient_id,ward,ward")
    (file,) = find(str(write(tmp_path / "p.csv", content)))
    assert (file.ids, file.label) == (["patient_id"], "target")


def test_parquet_must_hold_numbers(tmp_path: Path) -> None:
    frame = pd.DataFrame([SICK_CSV[:13]], columns=list(FEATURE_NAMES)).astype({"thal": "str"})
    frame.to_parquet(tmp_path / "p.parquet")
    with pytest.raises(DataError, match=r"^'p.parquet': expected numbers in thal, found text"):
        find(str(tmp_path / "p.parquet"))


def test_an_empty_file_of_parquet_has_a_partition(tmp_path: Path) -> None:
    empty = pd.DataFrame(columns=list(FEATURE_NAMES), dtype=float)
    empty.to_parquet(tmp_path / "e.parquet")
    assert len(divide(find(str(tmp_path / "e.parquet")))) == 1


@pytest.mark.parametrize("header", ["ETag", "Last_Modified"])
def test_a_change_of_a_file_is_seen_on_disk_and_on_a_web_server(
    tmp_path: Path, header: str
) -> None:
    path = write(tmp_path / "h.csv")
    before = find(str(path))
    assert find(str(path)) == before
    write(path, HEART[:-1] + b" \n")
    assert find(str(path)) != before
    with serving(gives(HEART, **{header: "one"})) as server:
        url = server.url("h.csv?signature=a/b")
        before = find(url)
        assert find(url) == before
        server.behave = gives(HEART, **{header: "two"})
        assert find(url) != before
    assert before[0].name == "h.csv"
    assert "signature" not in repr(before)


def test_a_server_that_tells_no_size_is_told_of() -> None:
    def behave(request: Answers, _number: int) -> None:
        request.answer(200)
        request.wfile.write(HEART)

    with serving(behave) as server, pytest.raises(DataError, match=r"^'h.csv': .* tell its size"):
        find(server.url("h.csv"))


def test_a_password_in_netrc_reaches_a_web_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def behave(request: Answers, number: int) -> None:
        if request.headers.get("Authorization") == "Basic bWU6c2VjcmV0":
            gives(HEART)(request, number)
        else:
            request.answer(401, Content_Length=0)

    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password secret\n")
    with serving(behave) as server:
        with pytest.raises(DataError, match="401"):
            find(server.url("h.csv"))
        monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
        assert names(server.url("h.csv")) == ["h.csv"]


def test_objects_in_s3_are_found_and_their_changes_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in AWS.items():
        monkeypatch.setenv(name, value)
    with an_s3(tmp_path, closed_port()) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        client = boto3.client("s3")
        client.create_bucket(Bucket="patients")
        client.put_object(Bucket="patients", Key="in/a.csv", Body=HEART)
        for source in ("s3://patients/in", "s3://patients/in/*.csv", "s3://patients/in/a.csv"):
            before = find(source)
            assert [file.name for file in before] == ["a.csv"]
            assert find(source) == before
            client.put_object(Bucket="patients", Key="in/a.csv", Body=HEART + f"#{source}".encode())
            assert find(source) != before

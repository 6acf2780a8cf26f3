"""Files are found wherever they are, known again while they are the same, and read in parts."""

from __future__ import annotations

import gzip
from pathlib import Path

import boto3
import pytest

from clinical.errors import DataError
from steps.batch import inputs, storage
from tests.clinical.patient_files import SICK_CSV, WELL_CSV, csv_bytes
from tests.e2e.backends import AWS, an_s3
from tests.servers import Answers, closed_port, gives, serving

HEART = csv_bytes([SICK_CSV, WELL_CSV], "target")


def write(path: Path, content: bytes = HEART) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def names(source: object) -> list[str]:
    return [file.name for file in inputs.find(str(source))]


def test_a_file_is_called_by_its_name(tmp_path: Path) -> None:
    assert names(write(tmp_path / "heart.csv")) == ["heart.csv"]
    assert names((tmp_path / "heart.csv").as_uri()) == ["heart.csv"]


def test_a_folder_gives_its_files_in_the_order_of_their_names(tmp_path: Path) -> None:
    for name in ("b/2.csv", "a.csv", "b/1.data", "notes.md", ".hidden.csv", "_log/x.csv"):
        write(tmp_path / "in" / name)
    assert names(tmp_path / "in") == ["a.csv", "b/1.data", "b/2.csv"]


def test_a_glob_gives_the_files_that_match(tmp_path: Path) -> None:
    for name in ("in/x/1.csv", "in/y/1.csv", "in/y/2.txt"):
        write(tmp_path / name)
    assert names(tmp_path / "in" / "*" / "*.csv") == ["x/1.csv", "y/1.csv"]


def test_a_file_whose_name_looks_like_a_glob_is_that_file(tmp_path: Path) -> None:
    write(tmp_path / "a1.csv")
    assert names(write(tmp_path / "a[1].csv")) == ["a[1].csv"]


@pytest.mark.parametrize(
    ("source", "line"),
    [
        ("nowhere.csv", "there is no file '.*nowhere.csv'"),
        ("*.csv", r"there is no file '.*\*.csv'"),
        ("empty", "the folder '.*empty' has no file of .csv, "),
        ("nosuch://bucket/x.csv", "'nosuch://bucket/x.csv' cannot be read: Protocol not known"),
    ],
)
def test_nothing_to_read_is_told_in_one_line(tmp_path: Path, source: str, line: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=f"^{line}") as refused:
        inputs.find(source if "://" in source else str(tmp_path / source))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("name", ["b.csv.gz", "b.ZIP"])
def test_a_packed_file_is_refused_and_not_left_out_of_a_folder(tmp_path: Path, name: str) -> None:
    write(tmp_path / "in" / "a.csv")
    path = write(tmp_path / "in" / name, gzip.compress(HEART))
    for source in (path, path.parent):
        with pytest.raises(DataError, match=f"'{name}': it is compressed, .*: unpack it first"):
            inputs.find(str(source))


def test_the_key_of_a_file_changes_with_it(tmp_path: Path) -> None:
    path = write(tmp_path / "h.csv")
    (before,) = inputs.find(str(path))
    (again,) = inputs.find(str(path))
    assert before.key == again.key
    write(path, HEART + HEART[-40:])
    (after,) = inputs.find(str(path))
    assert after.key != before.key


def key_at(url: str) -> str:
    (file,) = inputs.find(url)
    return file.key


@pytest.mark.parametrize("header", ["ETag", "Last_Modified"])
def test_a_file_of_a_web_server_is_known_by_what_tells_its_version(header: str) -> None:
    with serving(gives(HEART, **{header: "one"})) as server:
        url = server.url("h.csv")
        before, again = key_at(url), key_at(url)
        server.behave = gives(HEART, **{header: "two"})
        assert before == again != key_at(url)


def test_a_web_server_that_tells_no_version_is_trusted_in_one_job_alone() -> None:
    with serving(gives(HEART)) as server:
        before, again = (key_at(server.url("h.csv")) for _ in range(2))
        storage._this_start.cache_clear()  # as the next process has it
        assert before == again != key_at(server.url("h.csv"))


@pytest.mark.parametrize("ranges", [True, False])
def test_a_small_file_is_read_from_any_web_server(ranges: bool) -> None:
    with serving(gives(HEART, ranges=ranges)) as server:
        (file,) = inputs.find(server.url("h.csv") + "?signature=a/b")
        assert file.name == "h.csv"
        assert "signature" not in repr(file)
        assert file.fetch(file.begin, file.size) == HEART.partition(b"\n")[2]


def test_a_large_file_is_read_only_from_one_that_gives_parts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(storage, "SMALL", 100)
    with serving(gives(HEART)) as server:
        (file,) = inputs.find(server.url("h.csv"))
        assert file.fetch(file.begin, file.size) == HEART.partition(b"\n")[2]
        server.behave = gives(HEART, ranges=False)
        with pytest.raises(DataError, match=r"^'h.csv': .* server gives no parts"):
            inputs.find(server.url("h.csv"))


def test_a_server_that_tells_no_size_is_told_of() -> None:
    def behave(request: Answers, _number: int) -> None:
        request.answer(200)
        request.wfile.write(HEART)

    with serving(behave) as server, pytest.raises(DataError, match=r"^'h.csv': .* tell its size"):
        inputs.find(server.url("h.csv"))


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
            inputs.find(server.url("h.csv"))
        monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
        assert names(server.url("h.csv")) == ["h.csv"]


def test_an_object_that_changes_in_s3_is_seen_to_have_changed(
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
            before, again = key_at(source), key_at(source)
            client.put_object(Bucket="patients", Key="in/a.csv", Body=HEART + f"#{source}".encode())
            assert before == again != key_at(source)

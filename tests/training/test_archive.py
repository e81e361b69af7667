"""A zip is hostile until shown otherwise: what is refused, what is mended, and that nothing leaves the folder."""

import struct
import warnings
import zipfile
from pathlib import Path

import pytest

from tests.corpus import LIMITS, link, write_zip
from training import archive, zip_table
from training.report import Report

KNOWN = {"train", "validation", "test", "resources"}


def unpack(path: Path, limits: archive.Limits = LIMITS) -> tuple[Report, dict[str, bytes]]:
    """-> (report, {path below the folder: content}); asserts that nothing appeared beside the folder."""
    folder = path.parent / "inner" / "data"
    folder.mkdir(parents=True)
    report = Report()
    archive.extract(path, folder, limits, report, known=KNOWN)
    outside = [p for p in path.parent.rglob("*") if p.is_file() and p != path and not p.is_relative_to(folder)]
    assert outside == []
    return report, {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def codes(report: Report) -> list[str]:
    return [problem["code"] for problem in report.as_json()]


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("../evil.png", "path_leaves_folder"),
        ("train/../../evil.png", "path_leaves_folder"),
        ("train\\..\\..\\evil.png", "path_leaves_folder"),
        ("/etc/evil.png", "absolute_path"),
        ("C:\\evil.png", "absolute_path"),
        ("train/a\nb.png", "control_character"),
        ("train/" + "가" * 90 + ".png", "name_too_long"),
    ],
)
def test_a_dangerous_name_is_refused_and_nothing_is_written(tmp_path, name, code):
    report, files = unpack(write_zip(tmp_path / "a.zip", {"train/cat/ok.png": b"1", name: b"2"}))
    assert codes(report) == [code]
    assert files == {}


def test_every_dangerous_name_is_listed_not_only_the_first(tmp_path):
    report, _files = unpack(write_zip(tmp_path / "a.zip", {"../a": b"", "/b": b"", "train/ok": b""}))
    assert [(p["code"], p["file"]) for p in report.as_json()] == [
        ("path_leaves_folder", "../a"),
        ("absolute_path", "/b"),
    ]


def test_a_symbolic_link_is_refused(tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as made:
        made.writestr(*link("train/cat/link.png", "/etc/passwd"))
    report, files = unpack(path)
    assert codes(report) == ["not_a_file"]
    assert files == {}


@pytest.mark.parametrize(
    "names",
    [("train/a.png", "train/a.png"), ("train/a.png", "train/A.PNG"), ("train/é.png", "train/e\u0301.png")],
    ids=["same", "capitals", "normalisation"],
)
def test_two_entries_of_one_name_are_refused(tmp_path, names):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as made, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zipfile's own, about the duplicate
        for name in names:
            made.writestr(zipfile.ZipInfo(name), b"x")
    report, files = unpack(path)
    assert codes(report) == ["duplicate_entry"]
    assert files == {}


def test_a_file_that_is_also_a_folder_is_refused(tmp_path):
    report, _files = unpack(write_zip(tmp_path / "a.zip", {"train/cat": b"1", "train/cat/a.png": b"2"}))
    assert codes(report) == ["file_and_folder"]


def test_a_bomb_by_ratio_is_refused_before_anything_is_unpacked(tmp_path):
    bomb = write_zip(tmp_path / "a.zip", {"train/zeros": bytes(5_000_000)}, compression=zipfile.ZIP_DEFLATED)
    report, files = unpack(bomb)
    assert codes(report) == ["ratio_too_high"]
    assert files == {}


def test_a_bomb_of_many_small_entries_is_refused_too(tmp_path):
    """None of them is large enough to be looked at by itself."""
    files = {f"train/{n}": bytes(archive.CHUNK) for n in range(11)}
    report, files = unpack(write_zip(tmp_path / "a.zip", files, compression=zipfile.ZIP_DEFLATED))
    assert codes(report) == ["ratio_too_high"]
    assert files == {}


def test_a_bomb_by_total_size_is_refused(tmp_path):
    many = write_zip(tmp_path / "a.zip", {f"train/{n}": bytes(1000) for n in range(20)})
    report, files = unpack(many, archive.Limits(entries=100, bytes=10_000, ratio=100))
    assert codes(report) == ["too_large"]
    assert files == {}


def test_too_many_entries_are_refused(tmp_path):
    many = write_zip(tmp_path / "a.zip", {f"train/{n}": b"" for n in range(30)})
    assert codes(unpack(many, archive.Limits(entries=29, bytes=10_000, ratio=100))[0]) == ["too_many_entries"]


def test_exactly_as_many_entries_as_allowed_are_unpacked(tmp_path):
    many = write_zip(tmp_path / "a.zip", {f"train/{n}": b"" for n in range(30)})
    report, files = unpack(many, archive.Limits(entries=30, bytes=10_000, ratio=100))
    assert codes(report) == []
    assert len(files) == 30


def test_a_header_that_claims_less_than_the_entry_holds_is_found_out_while_reading(tmp_path):
    path = write_zip(tmp_path / "a.zip", {"train/a.png": bytes(3_000_000)}, compression=zipfile.ZIP_DEFLATED)
    raw = bytearray(path.read_bytes())
    central = raw.find(b"PK\x01\x02")
    for at in (22, central + 24):  # the unpacked size in the local and in the central header
        raw[at : at + 4] = struct.pack("<L", 100)
    path.write_bytes(raw)
    report, files = unpack(path)
    assert codes(report) == ["entry_damaged"]
    assert all(len(content) <= 100 for content in files.values())


def test_entries_that_share_their_bytes_are_refused(tmp_path):
    path = write_zip(tmp_path / "a.zip", {"train/a": b"x" * 500, "train/b": b"x" * 500})
    raw = bytearray(path.read_bytes())
    second = raw.rfind(b"PK\x01\x02")
    raw[second + 42 : second + 46] = struct.pack("<L", 10)  # the second entry begins inside the first
    path.write_bytes(raw)
    assert codes(unpack(path)[0]) == ["overlap"]


def test_an_encrypted_entry_is_named(tmp_path):
    path = write_zip(tmp_path / "a.zip", {"train/a.png": b"secret"})
    raw = bytearray(path.read_bytes())
    for at in (6, raw.find(b"PK\x01\x02") + 8):  # general purpose flags
        raw[at] |= 1
    path.write_bytes(raw)
    report, _files = unpack(path)
    assert [(p["code"], p["file"]) for p in report.as_json()] == [("encrypted", "train/a.png")]


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_compression_that_unpacks_without_bound_is_refused(tmp_path, method):
    report, _files = unpack(write_zip(tmp_path / "a.zip", {"train/a.png": b"x" * 100}, compression=method))
    assert codes(report) == ["compression_method"]


def test_a_damaged_entry_is_named(tmp_path):
    path = write_zip(tmp_path / "a.zip", {"train/a.png": b"0" * 100, "train/b.png": b"1" * 100})
    raw = bytearray(path.read_bytes())
    raw[raw.find(b"1" * 100)] = 7
    path.write_bytes(raw)
    report, _files = unpack(path)
    assert [(p["code"], p["file"]) for p in report.as_json()] == [("entry_damaged", "train/b.png")]


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "not_a_zip"),
        (b"hello", "not_a_zip"),
        (b"PK\x05\x06", "zip_cut_off"),
        (b"x" * 30 + b"PK\x05\x06" + b"\xff" * 18, "zip_damaged"),
    ],
)
def test_what_is_no_zip_is_said_to_be_none(tmp_path, content, code):
    path = tmp_path / "a.zip"
    path.write_bytes(content)
    assert codes(unpack(path)[0]) == [code]


def test_a_zip_that_was_cut_off_is_refused(tmp_path):
    path = write_zip(tmp_path / "a.zip", {"train/a.png": b"0" * 1000})
    path.write_bytes(path.read_bytes()[:-30])
    assert zip_table.fault(path).code == "zip_cut_off"
    assert codes(unpack(path)[0]) == ["zip_cut_off"]


def test_korean_names_in_cp949_are_read(tmp_path):
    path = write_zip(tmp_path / "a.zip", {"train/XXXXXX/a.png": b"1"})
    korean = "고양이".encode("cp949")
    path.write_bytes(path.read_bytes().replace(b"XXXXXX", korean))
    report, files = unpack(path)
    assert codes(report) == []
    assert list(files) == ["train/고양이/a.png"]


def test_utf8_names_without_the_flag_and_decomposed_ones_are_read(tmp_path):
    path = write_zip(tmp_path / "a.zip", {"train/XXXXXXXXX/a.png": b"1", "train/XXXXXXXX/b.png": b"2"})
    raw = path.read_bytes().replace(b"XXXXXXXXX", "고양이".encode()).replace(b"XXXXXXXX", "Ae\u0301-dog".encode())
    path.write_bytes(raw)
    assert sorted(unpack(path)[1]) == ["train/Aé-dog/b.png", "train/고양이/a.png"]


def test_backslashes_are_separators(tmp_path):
    report, files = unpack(write_zip(tmp_path / "a.zip", {"set\\train\\cat\\a.png": b"1"}))
    assert codes(report) == []
    assert list(files) == ["train/cat/a.png"]


def test_what_operating_systems_leave_is_ignored(tmp_path):
    rubbish = ("__MACOSX/train/cat/._a.png", "train/.DS_Store", "train/cat/Thumbs.db", "train/cat/._a.png")
    report, files = unpack(write_zip(tmp_path / "a.zip", {"train/cat/a.png": b"1", **dict.fromkeys(rubbish, b"x")}))
    assert codes(report) == []
    assert list(files) == ["train/cat/a.png"]


def test_one_folder_around_everything_is_taken_off_even_with_a_readme_beside_it(tmp_path):
    content = {"pets/": b"", "pets/train/cat/a.png": b"1", "__MACOSX/x": b"", "README.txt": b"2"}
    assert sorted(unpack(write_zip(tmp_path / "a.zip", content))[1]) == ["README.txt", "train/cat/a.png"]


def test_a_folder_that_the_layout_expects_is_not_taken_off(tmp_path):
    assert list(unpack(write_zip(tmp_path / "a.zip", {"train/cat/a.png": b"1"}))[1]) == ["train/cat/a.png"]


def test_a_table_in_zip64_is_counted_and_read(tmp_path, monkeypatch):
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 2)  # else it takes 65,536 entries until zip64 is written
    path = write_zip(tmp_path / "a.zip", {f"train/{n}": b"" for n in range(4)})
    assert b"PK\x06\x06" in path.read_bytes()
    assert len(unpack(path)[1]) == 4
    (tmp_path / "second").mkdir()
    again = path.rename(tmp_path / "second" / "a.zip")
    assert codes(unpack(again, archive.Limits(entries=3, bytes=100, ratio=100))[0]) == ["too_many_entries"]


def test_progress_counts_up_to_the_number_of_entries(tmp_path):
    seen: list[tuple[int, int]] = []
    path = write_zip(tmp_path / "a.zip", {f"train/{n}": b"" for n in range(3)})
    folder = tmp_path / "data"
    folder.mkdir()
    archive.extract(
        path, folder, LIMITS, Report(), known=KNOWN, progress=lambda done, total: seen.append((done, total))
    )
    assert seen == [(1, 3), (2, 3), (3, 3)]

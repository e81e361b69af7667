"""The process that helps with small images: the same answers with it, without it, and when it is killed."""

import os
import signal
from pathlib import Path

import pytest
from PIL import Image

from tests.corpus import encoded, picture
from training.algorithms import scan as scanning
from training.algorithms.scan import CHUNK, BadImage, Scan
from training.algorithms.second import Second

COUNT = 400


@pytest.fixture
def folder(tmp_path) -> Path:
    """Small images; one is turned, one is blank, one is none."""
    exif = Image.Exif()
    exif[0x0112] = 6
    for number in range(COUNT):
        (tmp_path / f"{number:04}.png").write_bytes(encoded(picture(number % 6, number, (16, 12))))
    (tmp_path / "0100.png").write_bytes(encoded(picture(1, 1, (16, 12)), "JPEG", exif=exif))
    (tmp_path / "0200.png").write_bytes(encoded(Image.new("L", (16, 12))))
    (tmp_path / "0300.png").write_bytes(b"none")
    return tmp_path


def look_at(folder: Path, *, helped: bool, each=lambda number: None, scan: Scan | None = None) -> tuple[dict, Scan]:
    """({file: size or the code of its problem}, the scan)"""
    scan = scan or Scan(10_000)
    found = {}

    def look(file: str) -> object:
        try:
            return scan.image(folder / file, file)
        except BadImage as error:
            return error.problem.code

    files = sorted(path.name for path in folder.iterdir())
    results = scan.each("images", look, files, (lambda file: f"{folder}/{file}") if helped else None)
    for number, (file, result) in enumerate(results):
        found[file] = result
        each(number)
    assert list(found) == files
    return found, scan


@pytest.fixture
def helpers(monkeypatch) -> list[Second]:
    """Every helper that a scan starts; each is waited for, so that it does its part however quick the first one is."""
    monkeypatch.setattr(scanning, "MANY", 0)
    made, start = [], Second.start

    def watched(second: Second) -> None:
        start(second)
        if second not in made:
            made.append(second)
            second.process_id = second._process.pid
            while not second.ready():
                pass

    monkeypatch.setattr(Second, "start", watched)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1})
    return made


def test_two_processes_find_what_one_finds(folder, helpers):
    alone, with_one = look_at(folder, helped=False)
    together, with_two = look_at(folder, helped=True)
    assert together == alone
    assert (together["0100.png"], together["0300.png"]) == ((12, 16), "not_an_image")
    assert with_two.prints.files == with_one.prints.files
    assert all(with_two.prints[file] == with_one.prints[file] for file in with_one.prints.files)
    assert len(helpers) == 1
    with pytest.raises(ProcessLookupError):
        os.kill(helpers[0].process_id, 0)


@pytest.mark.parametrize("killed", [False, True])
def test_what_was_looked_at_on_its_arrival_is_found_all_the_same(folder, helpers, killed):
    files = sorted(path.name for path in folder.iterdir())
    with Scan(10_000) as scan:
        for number, file in enumerate(files):
            scan.arrived(f"{folder}/{file}", (folder / file).stat().st_size)
            if killed and number == COUNT // 2:
                os.kill(helpers[0].process_id, signal.SIGKILL)
        ahead = len(scan._seen) + len(scan._second.collect())  # the latter are then looked at again
        found, _scan = look_at(folder, helped=True, scan=scan)
    alone, with_one = look_at(folder, helped=False)
    assert found == alone
    assert scan.prints.files == with_one.prints.files
    assert all(scan.prints[file] == with_one.prints[file] for file in with_one.prints.files)
    assert killed or ahead > CHUNK  # it did look


@pytest.mark.parametrize("when", [0, 40, 150])
def test_a_helper_that_is_killed_is_not_missed(folder, helpers, when):
    def kill(number: int) -> None:
        if number == when:
            os.kill(helpers[0].process_id, signal.SIGKILL)

    found, _scan = look_at(folder, helped=True, each=kill)
    assert found == look_at(folder, helped=False)[0]


def test_large_images_are_left_to_the_first_process(tmp_path, helpers):
    Image.new("L", (120, 100)).save(tmp_path / "a.png")
    with Second(10_000) as second:
        second.start()
        second.hand([f"{tmp_path}/a.png"])
        assert second.collect() == {}

"""Files of a model: sums, read-only, one archive in constant memory."""

import os
import stat
import subprocess
import zipfile
from pathlib import Path

import pytest

from models_registry import artifacts


@pytest.fixture
def sealed(tmp_path: Path) -> Path:
    source = tmp_path / "source"
    source.mkdir()
    (source / "model.json").write_text('{"a": 1}')
    (source / "model.onnx").write_bytes(os.urandom(3 * artifacts.CHUNK + 17))
    (source / "folder").mkdir()
    artifacts.copy_folder(source, tmp_path / "model")
    artifacts.seal(tmp_path / "model")
    return tmp_path / "model"


def test_sums_are_those_of_sha256sum(sealed: Path):
    done = subprocess.run(
        ["sha256sum", "--check", "SHA256SUMS"], cwd=sealed, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == ["model.json: OK", "model.onnx: OK"]
    assert artifacts.verify(sealed) == []


def test_changed_and_missing_files_are_named(sealed: Path):
    sealed.chmod(0o755)
    (sealed / "model.json").chmod(0o644)
    (sealed / "model.json").write_text("{}")
    (sealed / "model.onnx").unlink()
    assert artifacts.verify(sealed) == ["model.json", "model.onnx"]


def test_sealed_folder_is_read_only_and_can_still_be_removed(sealed: Path):
    assert stat.S_IMODE(sealed.stat().st_mode) == 0o555
    assert {stat.S_IMODE(path.stat().st_mode) for path in sealed.iterdir()} == {0o444}
    artifacts.remove(sealed)
    assert not sealed.exists()


def test_archive_is_a_zip_of_the_folder_in_small_pieces(sealed: Path, tmp_path: Path):
    pieces = list(artifacts.archive(sealed, "signs"))
    assert max(map(len, pieces)) < artifacts.CHUNK + 10_000
    assert all(pieces)
    (tmp_path / "signs.zip").write_bytes(b"".join(pieces))
    with zipfile.ZipFile(tmp_path / "signs.zip") as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["signs/SHA256SUMS", "signs/model.json", "signs/model.onnx"]
        assert archive.read("signs/model.onnx") == (sealed / "model.onnx").read_bytes()

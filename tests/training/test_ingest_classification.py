"""train/{label}/*: what is accepted, what is refused, and that the culprit is named."""

import io
import json
import zlib

import pytest
from PIL import Image

from tests.corpus import Checked, Files, checked, classification_files, encoded, picture, write_zip
from training.algorithms.images import open_rgb

ALGORITHM = "image_classification"


def check(tmp_path, files: Files, root: str = "", max_pixels: int = 10_000_000) -> Checked:
    return checked(write_zip(tmp_path / "set.zip", files, root), ALGORITHM, max_pixels=max_pixels)


def test_labels_are_sorted_by_name_and_rows_by_path(tmp_path):
    result = check(tmp_path, classification_files(labels=("dog", "cat"), train=2, validation=1, test=1))
    assert result.layout is not None
    assert result.layout.labels == [{"id": 0, "name": "cat"}, {"id": 1, "name": "dog"}]
    assert result.layout.counts["train"] == {"cat": 2, "dog": 2}
    result.layout.write(result.root, ALGORITHM)
    lines = (result.root / "index" / "train.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [
        {"image": "train/cat/0.png", "label": 0},
        {"image": "train/cat/1.png", "label": 0},
        {"image": "train/dog/0.png", "label": 1},
        {"image": "train/dog/1.png", "label": 1},
    ]
    assert json.loads((result.root / "dataset.json").read_text()) == {
        "algorithm": ALGORITHM,
        "images": {"train": 4, "validation": 2, "test": 2},
        "counts": {
            "train": {"cat": 2, "dog": 2},
            "validation": {"cat": 1, "dog": 1},
            "test": {"cat": 1, "dog": 1},
        },
        "median_size": [32, 32],
    }


def test_one_folder_around_everything_is_fine_and_two_are_explained(tmp_path):
    assert check(tmp_path, classification_files(), root="pets/").layout is not None
    (tmp_path / "second").mkdir()
    result = check(tmp_path / "second", classification_files(), root="my/pets/")
    assert result.found() == [("split_missing", ""), ("split_missing", "")]
    message = result.report.as_json()[0]["message"]
    assert "“pets/train”" in message
    assert "Move it up" in message


def test_no_validation_split_is_an_error_and_a_misspelt_one_is_recognised(tmp_path):
    result = check(tmp_path, classification_files(validation=0))
    assert result.found() == [("split_missing", "")]
    assert "“validation” is missing" in result.text("split_missing")
    (tmp_path / "second").mkdir()
    files = {name.replace("validation/", "valid/"): data for name, data in classification_files().items()}
    assert "there is “valid”" in check(tmp_path / "second", files).text("split_missing")


def test_a_label_that_is_only_in_validation_is_an_error(tmp_path):
    result = check(tmp_path, {**classification_files(), "validation/cow/0.png": encoded(picture(3))})
    assert result.found() == [("label_not_trained", "validation/cow")]
    assert "“cow” has no images in train" in result.text("label_not_trained")


def test_a_label_without_validation_images_and_an_empty_one_are_warnings(tmp_path):
    files = classification_files(train=12) | {"train/empty/": b""}
    files = {name: data for name, data in files.items() if not name.startswith("validation/dog")}
    result = check(tmp_path, files)
    assert result.found("error") == []
    assert result.found("warning") == [("label_empty", "train/empty"), ("label_not_validated", "train/dog")]
    assert [label["name"] for label in result.layout.labels] == ["cat", "dog"]


def test_a_single_label_cannot_be_trained(tmp_path):
    assert check(tmp_path, classification_files(labels=("cat",))).found() == [("too_few_labels", "train")]


def test_few_images_and_labels_that_differ_in_capitals_are_warnings(tmp_path):
    result = check(tmp_path, classification_files(labels=("cat", "Cat "), train=3))
    assert ("few_images", "train/cat") in result.found("warning")
    assert ("label_spelling", "") in result.found("warning")


def test_every_unusable_image_is_listed_with_its_reason(tmp_path):
    good = encoded(picture(0, size=(64, 64)))
    flipped = bytearray(good)
    flipped[len(good) // 2] ^= 0xFF
    bad = {
        "train/cat/cut.png": good[: len(good) // 2],
        "train/cat/cut.jpg": encoded(picture(0, size=(64, 64)), "JPEG")[:-400],
        "train/cat/flipped.png": bytes(flipped),
        "train/dog/text.png": b"this is a text",
        "train/dog/empty.jpg": b"",
        "validation/dog/postscript.png": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
    }
    result = check(tmp_path, classification_files() | bad)
    assert sorted(file for _code, file in result.found()) == sorted(bad)
    assert {file: code for code, file in result.found()} == {
        "train/cat/cut.png": "image_damaged",
        "train/cat/cut.jpg": "image_damaged",
        "train/cat/flipped.png": "image_damaged",
        "train/dog/text.png": "not_an_image",
        "train/dog/empty.jpg": "not_an_image",
        "validation/dog/postscript.png": "not_an_image",
    }


def test_a_file_that_does_not_call_itself_an_image_is_left_out_with_a_warning(tmp_path):
    files = classification_files() | {"train/cat/notes.txt": b"notes", "train/readme.md": b"hello"}
    files["train/dog/no-suffix"] = encoded(picture(1))
    result = check(tmp_path, files)
    assert ("left_out", "train/cat/notes.txt") in result.found("warning")
    assert ("no_label", "train/readme.md") in result.found("warning")
    assert result.layout.counts["train"] == {"cat": 4, "dog": 5}


def test_a_folder_inside_a_label_is_an_error(tmp_path):
    result = check(tmp_path, classification_files() | {"train/cat/more/0.png": encoded(picture(0))})
    assert result.found() == [("folder_in_label", "train/cat/more")]


def test_an_image_of_one_pixel_is_a_warning(tmp_path):
    result = check(tmp_path, classification_files(train=12) | {"train/cat/dot.png": encoded(Image.new("RGB", (1, 1)))})
    assert result.found("warning") == [("image_tiny", "train/cat/dot.png")]
    assert result.layout is not None


def test_an_image_over_the_limit_is_refused_by_its_header(tmp_path):
    result = check(
        tmp_path, classification_files() | {"train/cat/big.png": encoded(Image.new("L", (300, 300)))}, max_pixels=80_000
    )
    assert result.found() == [("image_too_large", "train/cat/big.png")]
    assert "300 x 300" in result.text("image_too_large")


def huge_png(side: int) -> bytes:
    """A PNG of side x side zero pixels, one bit each, without ever holding them."""
    row = b"\x00" + bytes((side + 7) // 8)
    packer = zlib.compressobj(9)
    data = b"".join(packer.compress(row) for _ in range(side)) + packer.flush()

    def chunk(kind: bytes, content: bytes) -> bytes:
        return len(content).to_bytes(4, "big") + kind + content + zlib.crc32(kind + content).to_bytes(4, "big")

    header = side.to_bytes(4, "big") * 2 + bytes([1, 0, 0, 0, 0])
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def test_a_decompression_bomb_of_an_image_is_refused(tmp_path):
    result = check(tmp_path, classification_files() | {"train/cat/huge.png": huge_png(20_000)}, max_pixels=100_000_000)
    assert result.found() == [("image_too_large", "train/cat/huge.png")]


@pytest.mark.parametrize("mode", ["L", "1", "P", "LA", "RGBA", "I;16", "CMYK", "F"])
def test_images_of_every_mode_are_accepted(tmp_path, mode):
    kind, suffix = ("TIFF", "tif") if mode in ("CMYK", "F") else ("PNG", "png")
    image = Image.new("I;16", (32, 32), 40_000) if mode == "I;16" else picture(0).convert(mode)
    result = check(tmp_path, classification_files() | {f"train/cat/odd.{suffix}": encoded(image, kind)})
    assert result.found() == []
    assert open_rgb(result.root / f"train/cat/odd.{suffix}").mode == "RGB"


def test_an_image_that_cannot_become_rgb_is_refused_instead_of_failing_the_training(tmp_path):
    lab = encoded(Image.new("LAB", (32, 32)), "TIFF")
    result = check(tmp_path, classification_files() | {"train/cat/lab.tif": lab})
    assert result.found() == [("image_mode", "train/cat/lab.tif")]


def test_16_bit_greyscale_keeps_its_brightness():
    """40,000 of 65,535 is 156 of 255: Pillow's own conversion would make it white."""
    raw = encoded(Image.new("I;16", (4, 4), 40_000))
    assert open_rgb(io.BytesIO(raw)).getpixel((0, 0)) == (156, 156, 156)


def test_the_size_is_that_after_exif_rotation(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    files = {name: encoded(picture(0, size=(40, 20)), "JPEG", exif=exif) for name in classification_files()}
    files = {name.replace("png", "jpg"): data for name, data in files.items()}
    assert set(check(tmp_path, files).layout.sizes) == {(20, 40)}


def test_the_report_is_bounded_and_says_what_it_leaves_out(tmp_path):
    result = check(tmp_path, {})
    result.report.limit = 3
    for number in range(10):
        result.report.error("test", "Broken.", f"{number}.png")
    rows = result.report.as_json()
    assert len(rows) == 4
    assert rows[-1]["code"] == "more"
    assert rows[-1]["message"] == "8 more problems are not listed."  # ten, and that the zip is empty, less three

"""What the data doctor says of datasets that can be read: one zip for each finding, and none of a sound dataset."""

import io

import numpy as np
import pytest
from PIL import Image

from tests import corpus
from tests.corpus import (
    Checked,
    annotation,
    as_json,
    classification_files,
    coco,
    detection_files,
    encoded,
    picture,
    segmentation_files,
)
from training import samples
from training.algorithms.balance import spelled_alike
from training.algorithms.prints import COLUMNS, ROWS, Prints, near_pairs, print_of

CLASSIFICATION, SEGMENTATION, DETECTION = "image_classification", "semantic_segmentation", "object_detection"


def check(tmp_path, files, algorithm=CLASSIFICATION) -> Checked:
    return corpus.checked(corpus.write_zip(tmp_path / "d.zip", files), algorithm)


def rows(result: Checked, code: str) -> list[dict]:
    return [row for row in result.report.as_json() if row["code"] == code]


def photo(number: int, side: int = 96) -> Image.Image:
    """Smooth like a photograph: neighbouring pixels belong together."""
    rng = np.random.default_rng(number)
    return Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8)).resize((side, side), Image.BICUBIC)


@pytest.mark.parametrize("algorithm", samples.SAMPLES)
def test_of_a_sound_dataset_nothing_is_said(tmp_path, algorithm):
    samples.write(algorithm, tmp_path / "d.zip")
    assert corpus.checked(tmp_path / "d.zip", algorithm).found("warning") == []


def test_the_same_pixels_in_one_split_are_duplicates_however_they_are_stored(tmp_path):
    again = encoded(picture(0, 1), "BMP")
    result = check(tmp_path, {**classification_files(), "train/cat/again.bmp": again})
    (row,) = rows(result, "duplicate")
    assert row["files"] == ["train/cat/1.png", "train/cat/again.bmp"]
    assert (row["level"], row["mend"], row["params"]["count"]) == ("warning", "duplicate_remove", 2)
    assert result.report.plans["duplicate_remove"] == {"train/cat/again.bmp"}


def test_the_same_pixels_under_two_labels_are_told_and_not_mended(tmp_path):
    result = check(tmp_path, {**classification_files(), "train/dog/again.png": encoded(picture(0, 1))})
    (row,) = rows(result, "duplicate")
    assert "labelled differently" in row["message"]
    assert row["mend"] == ""
    assert "duplicate_remove" not in result.report.plans


def test_an_image_that_was_saved_again_or_resized_is_nearly_the_same(tmp_path):
    first = photo(1)
    copies = {
        "train/cat/photo.png": encoded(first),
        "train/cat/saved.jpg": encoded(first, "JPEG", quality=60),
        "train/cat/small.png": encoded(first.resize((70, 70))),
        "train/cat/other.png": encoded(photo(2)),
    }
    (row,) = rows(check(tmp_path, classification_files() | copies), "near_duplicate")
    assert row["files"] == ["train/cat/photo.png", "train/cat/saved.jpg", "train/cat/small.png"]


@pytest.mark.parametrize(("near", "mend"), [(False, "leakage_remove"), (True, "")])
def test_an_image_in_two_splits_is_leakage(tmp_path, near, mend):
    copy = encoded(photo(1), "JPEG") if near else encoded(photo(1))
    files = {"train/cat/photo.png": encoded(photo(1)), "validation/cat/copy.png": copy}
    result = check(tmp_path, classification_files() | files)
    (row,) = rows(result, "leakage")
    assert row["files"] == ["train/cat/photo.png", "validation/cat/copy.png"]
    assert (row["level"], row["mend"]) == ("warning", mend)
    assert "train, validation" in row["message"]
    assert result.report.plans.get("leakage_remove", set()) == (set() if near else {"train/cat/photo.png"})
    assert rows(result, "duplicate") == rows(result, "near_duplicate") == []


def test_no_mend_takes_the_last_image_of_a_label(tmp_path):
    files = classification_files(train=1, validation=1)
    files["train/cat/0.png"] = files["validation/cat/0.png"]
    result = check(tmp_path, files)
    assert rows(result, "leakage")[0]["mend"] == ""
    assert result.report.plans == {}


def test_many_groups_are_one_line_each_and_a_last_one_that_counts_the_rest(tmp_path):
    copies = {f"train/cat/{name}-{n}.png": encoded(photo(n, 32)) for n in range(40) for name in "ab"}
    found = rows(check(tmp_path, classification_files() | copies), "duplicate")
    assert len(found) == 26
    assert (found[-1]["params"]["more"], found[-1]["params"]["count"], len(found[-1]["files"])) == (15, 30, 20)


def test_blank_images_are_one_warning_and_no_duplicates(tmp_path):
    blank = encoded(Image.new("RGB", (32, 32), (9, 9, 9)))
    result = check(tmp_path, {**classification_files(), "train/cat/x.png": blank, "validation/cat/x.png": blank})
    (row,) = rows(result, "image_blank")
    assert row["files"] == ["train/cat/x.png", "validation/cat/x.png"]
    assert rows(result, "duplicate") == rows(result, "leakage") == []


def test_flat_images_are_no_flood_of_near_duplicates(tmp_path):
    """Skies and walls: the same hash for all of them, and nothing in common."""
    rng = np.random.default_rng(0)
    files = {
        f"train/cat/flat-{n}.png": encoded(Image.fromarray(rng.integers(n, n + 4, (32, 32, 3), dtype=np.uint8)))
        for n in range(60)
    }
    assert rows(check(tmp_path, classification_files() | files), "near_duplicate") == []


def test_a_turned_image_is_a_fact_with_a_mend(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = encoded(picture(0, 7, (40, 32)), "JPEG", exif=exif)
    result = check(tmp_path, {**classification_files(), "train/cat/turned.jpg": turned})
    (row,) = rows(result, "exif")
    assert (row["level"], row["files"], row["mend"]) == ("fact", ["train/cat/turned.jpg"], "exif")


def test_an_unusual_size_is_named(tmp_path):
    result = check(tmp_path, {**classification_files(), "train/cat/wide.png": encoded(picture(0, 9, (200, 32)))})
    (row,) = rows(result, "size_unusual")
    assert row["files"] == ["train/cat/wide.png"]
    assert "200 x 32" in row["message"]
    assert "32 x 32" in row["message"]


def test_classes_out_of_balance_are_named(tmp_path):
    more = {f"train/cat/more-{n}.png": encoded(picture(0, 500 + n)) for n in range(37)}
    assert rows(check(tmp_path, classification_files(train=4) | more), "class_balance")[0]["params"] == {
        "largest": "cat", "most": 41, "smallest": "dog", "least": 4,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("names", "groups"),
    [
        (["cat", "Cat ", "dog"], [["Cat ", "cat"]]),
        (["t-shirt", "t_shirt", "T shirt"], [["T shirt", "t-shirt", "t_shirt"]]),
        (["caf\u00e9s", "cafe\u0301s"], [["cafe\u0301s", "caf\u00e9s"]]),
        (["elephant", "elephnat"], [["elephant", "elephnat"]]),
        (["ankle boot", "ankle boots"], [["ankle boot", "ankle boots"]]),
        (["class-1", "class-2", "class-11"], []),
        (["category A", "category B"], []),
        (["symmetric", "asymmetric"], []),
        (["shirt", "skirt"], []),
    ],
)
def test_labels_spelled_two_ways(names, groups):
    assert spelled_alike(names) == groups


def test_labels_alike_but_for_a_separator_or_a_space_are_named_once(tmp_path):
    result = check(tmp_path, classification_files(labels=("t-shirt", "t_shirt", "dog", "dog ")))
    named = ["“dog”, “dog ”", "“t-shirt”, “t_shirt”"]
    assert [row["params"]["names"] for row in rows(result, "label_spelling")] == named


def test_boxes_too_small_and_too_large_are_one_warning_a_class(tmp_path):
    boxes = [annotation(0, 0, 1, [5, 5, 3, 20]), annotation(1, 1, 1, [5, 5, 3, 3]), annotation(2, 1, 2, [0, 0, 63, 63])]
    images = [{"id": n, "file_name": f"{n:04d}.jpg", "width": 64, "height": 64} for n in range(4)]
    categories = [{"id": 1, "name": "car"}, {"id": 2, "name": "bus"}]
    files = detection_files() | {"train/_annotations.coco.json": coco(images, boxes, categories)}
    files["validation/_annotations.coco.json"] = coco(images[:2], [annotation(0, 0, 1, [5, 5, 30, 30])], categories)
    result = check(tmp_path, files, DETECTION)
    (tiny,), (huge,) = rows(result, "box_tiny"), rows(result, "box_huge")
    assert (tiny["params"], tiny["files"]) == ({"count": 2, "name": "car"}, ["train/0000.jpg", "train/0001.jpg"])
    assert (huge["params"], huge["files"]) == ({"count": 1, "name": "bus"}, ["train/0001.jpg"])


def test_masks_of_a_single_class_or_of_none_are_named(tmp_path):
    files = segmentation_files()
    for number, value in ((0, 0), (1, 0), (2, 255)):
        files[f"train/annotations/{number:04d}.png"] = encoded(Image.new("L", (64, 64), value))
    found = rows(check(tmp_path, files, SEGMENTATION), "mask_empty")
    assert [(row["params"]["count"], row["file"]) for row in found] == [
        (2, "train/annotations/0000.png"),
        (1, "train/annotations/0002.png"),
    ]
    assert found[0]["files"] == ["train/images/0000.png", "train/images/0001.png"]
    assert "“background”" in found[0]["message"]
    assert "ignore" in found[1]["message"]


VOC = {0: (0, 0, 0), 1: (128, 0, 0), 2: (0, 128, 0)}  # the first of the VOC colours


def coloured(files: corpus.Files, colours: dict[int, tuple[int, int, int]]) -> corpus.Files:
    """The masks of train as colour images."""
    table = np.array([colours[n] for n in range(3)], dtype=np.uint8)
    for name in [name for name in files if name.startswith("train/annotations/")]:
        ids = np.asarray(Image.open(io.BytesIO(files[name])))
        files[name] = encoded(Image.fromarray(table[ids]))
    return files


@pytest.mark.parametrize(
    ("colours", "more", "mend"),
    [
        (VOC, {}, "mask_palette"),
        ({0: (0, 0, 0), 1: (1, 1, 1), 2: (2, 2, 2)}, {}, "mask_palette"),
        ({0: (0, 0, 0), 1: (9, 9, 200), 2: (200, 9, 9)}, {}, ""),
        (
            {0: (0, 0, 0), 1: (9, 9, 200), 2: (200, 9, 9)},
            {"resources/labelmap.txt": b"# l\nbackground:0,0,0::\nthing-1:9,9,200::\nthing-2:200,9,9::\n"},
            "mask_palette",
        ),
        (VOC, {"resources/labelmap.txt": b"background:0,0,0::\nthing-2:128,0,0::\nthing-1:0,128,0::\n"}, ""),
    ],
)
def test_colour_masks_can_be_mended_where_the_colours_mean_one_thing(tmp_path, colours, more, mend):
    result = check(tmp_path, coloured(segmentation_files(), colours) | more, SEGMENTATION)
    assert {row["mend"] for row in rows(result, "mask_mode")} == {mend}
    assert result.report.errors == 4
    assert result.report.unmendable == (0 if mend else 4)


def test_near_pairs_are_found_among_many():
    """Twenty thousand images, a hundred of them with a slightly changed copy."""
    rng = np.random.default_rng(3)
    thumbs = rng.integers(0, 256, (20_000, ROWS, COLUMNS), dtype=np.uint8)
    changed = np.clip(thumbs[:100].astype(int) + rng.integers(-2, 3, (100, ROWS, COLUMNS)), 0, 255).astype(np.uint8)
    pairs = near_pairs(np.concatenate([thumbs, changed]))
    assert sorted(pairs) == [(n, 20_000 + n) for n in range(100)]


def test_prints_tell_a_palette_and_an_orientation_apart():
    image = photo(1).convert("P")
    other = image.copy()
    other.putpalette(image.getpalette()[::-1])
    prints = {print_of(image).digest, print_of(other).digest, print_of(image, 6).digest}
    assert len(prints) == 3
    assert print_of(photo(1, 2000)).digest != print_of(photo(2, 2000)).digest


@pytest.mark.parametrize(
    "mode", ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr", "I", "F", "I;16", "La", "RGBa"]
)
@pytest.mark.parametrize("size", [(1, 1), (40, 30), (1500, 1100)])
def test_every_mode_has_a_print(mode, size):
    image = Image.new("LA", size).convert("La") if mode == "La" else None
    image = image or (Image.new("RGBA", size).convert("RGBa") if mode == "RGBa" else Image.new(mode, size))
    found = print_of(image)
    assert found.blank
    assert len(found.thumb) == ROWS * COLUMNS
    prints = Prints()
    prints.add("train/a.png", found, size)
    assert prints.same() == prints.similar() == []


def test_a_dataset_with_errors_is_examined_too(tmp_path):
    files = {**classification_files(), "train/cat/broken.png": b"x", "train/cat/again.png": encoded(picture(0, 1))}
    result = check(tmp_path, files)
    assert result.layout is None
    assert len(rows(result, "duplicate")) == 1


def test_ids_of_a_list_are_no_truth_of_their_own(tmp_path):
    """The same image with the same mask, twice: the copy can go."""
    files = segmentation_files()
    for kind in ("images", "annotations"):
        files[f"train/{kind}/9.png"] = files[f"train/{kind}/0001.png"]
    listed = [*({"image": f"images/{n:04d}.png", "seg_map": f"annotations/{n:04d}.png"} for n in range(4))]
    files["train/train.json"] = as_json([*listed, {"image": "images/9.png", "seg_map": "annotations/9.png"}])
    result = check(tmp_path, files, SEGMENTATION)
    assert rows(result, "duplicate")[0]["mend"] == "duplicate_remove"
    assert result.report.plans["duplicate_remove"] == {"train/images/9.png"}

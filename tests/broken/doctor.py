"""Datasets that can be read, in which something is odd: copies, leakage, balance, spelling, boxes, masks, sizes."""

import io

import numpy as np
from PIL import Image

from tests.broken import detection, segmentation
from tests.broken.case import CLASSIFICATION, DETECTION, SEGMENTATION, Case, Expected, error, fact, warning
from tests.broken.zips import pets
from tests.corpus import Files, annotation, classification_files, encoded, picture


def odd(name: str, make, *problems: Expected) -> Case:
    return Case(name, CLASSIFICATION, make, problems)


def boxed(name: str, make, *problems: Expected) -> Case:
    return Case(name, DETECTION, make, problems)


def masked(name: str, make, *problems: Expected) -> Case:
    return Case(name, SEGMENTATION, make, problems)


def copied(source: str, *targets: str) -> Files:
    """The good files with copies of one of them."""
    return pets() | {target: pets()[source] for target in targets}


def landscape(seed: int, size: tuple[int, int] = (96, 64)) -> Image.Image:
    """An image with something to recognise: broad shapes of several brightnesses."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (4, 6, 3)).astype(np.uint8))
    return coarse.resize(size, Image.Resampling.BICUBIC)


def saved_again(second: str) -> Files:
    """A PNG, and the same image as a JPEG of a smaller size under the name `second`."""
    image = landscape(7)
    return pets() | {
        "train/cat/view.png": encoded(image),
        second: encoded(image.resize((72, 48), Image.Resampling.BICUBIC), "JPEG", quality=85),
    }


def repacked(source: str, target: str) -> Files:
    """The same pixels in another file: other bytes, nothing to see."""
    return pets() | {target: encoded(Image.open(io.BytesIO(pets()[source])), "BMP")}


def unbalanced() -> Files:
    """115 cats, 10 dogs."""
    return pets() | {f"train/cat/more{n}.png": encoded(picture(0, 200 + n)) for n in range(105)}


def spelled(one: str, other: str) -> Files:
    return classification_files((one, other), train=10)


def capitals() -> Files:
    """Another spelling of a label, with names of its own."""
    return pets() | {f"train/Cat/other{n}.png": encoded(picture(2, n)) for n in range(10)}


def blank(*files: str) -> Files:
    return pets() | {file: encoded(Image.new("RGB", (32, 32), "white")) for file in files}


def turned() -> Files:
    exif = Image.Exif()
    exif[0x0112] = 6
    return pets() | {"train/cat/turned.jpg": encoded(picture(0, 970, (40, 20)), "JPEG", exif=exif)}


def with_boxes(*boxes: list[float]) -> Files:
    """Boxes of the first class on the first image of train beside those that are good."""
    return detection.more(*(annotation(100 + n, 0, 1, box) for n, box in enumerate(boxes)))


def seldom() -> Files:
    """44 boxes of one class, 4 of the other, all where there is room."""
    more = [annotation(200 + n, n % 4, 1, [40 - n, 4 + n % 8, 20, 20]) for n in range(40)]
    return detection.more(*more)


def stop_signs() -> Files:
    """One class spelled in two ways, in both splits."""
    signs = [{"id": 0, "name": "none"}, {"id": 1, "name": "Stop sign"}, {"id": 2, "name": "stop_sign"}]
    changed = [detection.changed(split, categories=signs) for split in ("train", "validation")]
    return changed[0] | {detection.VALIDATION: changed[1][detection.VALIDATION]}


def all_that_can_be_mended() -> Files:
    """A turned image and a copy of it, a copy in validation, an empty label."""
    view = turned()["train/cat/turned.jpg"]
    return copied(CAT, "validation/cat/copy.png") | {
        "train/cat/turned.jpg": view,
        "train/cat/turned again.jpg": view,
        "train/cow/": b"",
    }


def all_boxes_that_can_be_mended() -> Files:
    """Boxes that leave, miss and do not fill the image, which is in train twice and in validation too."""
    images = [*detection.content()["images"], {"id": 9, "file_name": "copy.jpg"}]
    boxes = [*detection.content()["annotations"], *(annotation(90 + n, 9, 1, box) for n, box in enumerate(BAD_BOXES))]
    seen = detection.things()[detection.IMAGE]
    return detection.changed(images=images, annotations=boxes) | {"train/copy.jpg": seen, "validation/0001.jpg": seen}


BAD_BOXES = [[-4, 40, 20, 90], [200, 0, 5, 5], [5, 5, 0, 10], [5, 5, 20, 20]]
CAT, TEST = "train/cat/0.png", "validation/cat/0.png"
MASK = segmentation.MASK

CASES = [
    odd(
        "copy of an image",
        lambda: copied(CAT, "train/cat/copy.png"),
        warning("duplicate", CAT, "2 images are the same", "[mend: duplicate_remove]"),
    ),
    odd(
        "three copies of an image",
        lambda: copied(CAT, "train/cat/a.png", "train/cat/b.png"),
        warning("duplicate", CAT, "3 images are the same", "One is enough"),
    ),
    odd(
        "the same pixels in another format",
        lambda: repacked(CAT, "train/cat/copy.bmp"),
        warning("duplicate", CAT, "2 images are the same"),
    ),
    odd(
        "copy under another label",
        lambda: copied(CAT, "train/dog/copy.png"),
        warning("duplicate", CAT, "labelled differently", "Keep the right one"),
    ),
    odd(
        "copy of a training image in validation",
        lambda: copied(CAT, "validation/cat/copy.png"),
        warning("leakage", CAT, "train, validation", "Keep it in one", "[mend: leakage_remove]"),
    ),
    odd(
        "copy of a validation image in test",
        lambda: copied(TEST, "test/cat/copy.png", "test/dog/copy.png"),
        warning("leakage", "test/cat/copy.png", "test, validation", "Keep it in one"),
    ),
    odd(
        "image saved again, smaller",
        lambda: saved_again("train/cat/view.jpg"),
        warning("near_duplicate", "train/cat/view.jpg", "2 images look nearly the same", "Then keep one"),
    ),
    odd(
        "image saved again under another label",
        lambda: saved_again("train/dog/view.jpg"),
        warning("near_duplicate", "train/cat/view.png", "labelled differently", "Correct the other"),
    ),
    odd(
        "image saved again in validation",
        lambda: saved_again("validation/cat/view.jpg"),
        warning("leakage", "train/cat/view.png", "Nearly the same image", "train, validation", "Keep it in one"),
    ),
    odd(
        "one label twelve times the other",
        unbalanced,
        warning("class_balance", "train", "“cat” is there 115 times", "“dog” only 10", "add images"),
    ),
    odd(
        "labels that differ in capitals",
        capitals,
        warning("label_spelling", "", "“Cat”, “cat”", "Use one name"),
        warning("label_not_validated", "train/Cat", "Add some"),
    ),
    odd(
        "labels that differ in a separator",
        lambda: spelled("stop sign", "stop-sign"),
        warning("label_spelling", "", "“stop sign”, “stop-sign”", "Use one name"),
    ),
    odd(
        "labels that differ in a letter",
        lambda: spelled("motorcycle", "motorcyle"),
        warning("label_spelling", "", "“motorcycle”, “motorcyle”", "Use one name"),
    ),
    odd(
        "blank images",
        lambda: blank("train/cat/white.png", "train/dog/white.png"),
        warning(
            "image_blank", "train/cat/white.png", "single colour, which show nothing: 2.", "Remove or replace them"
        ),
    ),
    odd(
        "image of 400 x 300 among those of 32 x 32",
        lambda: pets() | {"train/cat/big.png": encoded(landscape(3, (400, 300)))},
        warning("size_unusual", "train/cat/big.png", "400 x 300", "32 x 32", "Remove those that"),
    ),
    odd("turned image", turned, fact("exif", "train/cat/turned.jpg", "stored turned", "[mend: exif]")),
    odd(
        "all that can be mended in a classification zip",
        all_that_can_be_mended,
        warning("duplicate", "train/cat/turned again.jpg", "2 images are the same", "[mend: duplicate_remove]"),
        warning("leakage", CAT, "Keep it in one", "[mend: leakage_remove]"),
        warning("label_empty", "train/cow", "[mend: empty_label]"),
        fact("exif", "train/cat/turned again.jpg", "stored turned", "read: 2.", "[mend: exif]"),
    ),
    boxed(
        "all that can be mended in a detection zip",
        all_boxes_that_can_be_mended,
        warning("box_clipped", "train/copy.jpg", "annotation 90", "[mend: box_clip]"),
        error("box_outside", "train/copy.jpg", "annotation 91", "Correct or remove it", "[mend: box_clip]"),
        warning("box_empty", "train/copy.jpg", "annotation 92", "[mend: box_clip]"),
        warning("leakage", detection.IMAGE, "Keep it in one", "[mend: leakage_remove]"),
    ),
    boxed(
        "tiny boxes",
        lambda: with_boxes([5, 5, 2, 9], [5, 5, 9, 3]),
        warning("box_tiny", detection.IMAGE, "Boxes of “thing-1”", "image: 2.", "Then remove them"),
    ),
    boxed(
        "box of the whole image",
        lambda: with_boxes([0, 0, 64, 63]),
        warning("box_huge", detection.IMAGE, "Boxes of “thing-1”", "over 95 % of their image: 1.", "draw them anew"),
    ),
    boxed(
        "classes spelled two ways",
        stop_signs,
        warning("label_spelling", "", "“Stop sign”, “stop_sign”", "Use one name"),
    ),
    boxed(
        "image of detection in two splits",
        lambda: detection.things() | {"validation/0000.jpg": detection.things()[detection.IMAGE]},
        warning("leakage", detection.IMAGE, "train, validation", "Keep it in one"),
    ),
    boxed(
        "class that is drawn seldom",
        seldom,
        warning("class_balance", "train", "“thing-1” is there 44 times", "“thing-2” only 4"),
    ),
    masked(
        "mask that shows one class",
        lambda: segmentation.with_mask(segmentation.strips(0)),
        warning("mask_empty", MASK, "show nothing but “background”: 1.", "Then mark it"),
    ),
    masked(
        "mask of 255 only",
        lambda: segmentation.with_mask(segmentation.strips(255)),
        warning("mask_empty", MASK, "255 (ignore) everywhere", "Mark or remove"),
    ),
    masked(
        "class that no mask shows",
        lambda: segmentation.with_names({"0": "background", "1": "a", "2": "b", "7": "nowhere"}),
        fact("class_unused", "", "“nowhere”"),
    ),
    masked(
        "grey levels saved in colour",
        lambda: segmentation.with_mask(segmentation.strips(0, 1).convert("RGB")),
        error("mask_mode", MASK, "Save it as greyscale or palette", "[mend: mask_palette]"),
    ),
]

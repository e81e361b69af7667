"""train/{label}/*.png: folders and labels that are not as they should be."""

from tests.broken.case import CLASSIFICATION, Case, Expected, error, warning
from tests.broken.zips import packed, pets
from tests.corpus import Files, encoded, picture


def labelled(name: str, make, *problems: Expected) -> Case:
    return Case(name, CLASSIFICATION, make, problems)


def renamed(old: str, new: str) -> Files:
    """The good files with the beginning `old` of their names replaced."""
    return {new + name.removeprefix(old) if name.startswith(old) else name: data for name, data in pets().items()}


def only(*beginnings: str) -> Files:
    return {name: data for name, data in pets().items() if name.startswith(beginnings)}


def below(root: str) -> Files:
    return {root + name: data for name, data in pets().items()}


def missing(split: str, *words: str) -> Expected:
    return error("split_missing", "", f"“{split}”", *words)


def too_deep(split: str, found: str) -> Expected:
    return missing(split, f"“{found}”", "Move it up", "[mend: nested_root]")


PICTURE = encoded(picture(3))
TOP = "must be at the top of the zip"

CASES = [
    labelled(
        "one folder too many",
        lambda: below("my/pets/"),
        too_deep("train", "pets/train"),
        too_deep("validation", "pets/validation"),
    ),
    labelled(
        "two folders too many",
        lambda: below("a/b/c/"),
        too_deep("train", "b/c/train"),
        too_deep("validation", "b/c/validation"),
    ),
    labelled("no validation", lambda: only("train/"), missing("validation", TOP)),
    labelled("no train", lambda: only("validation/"), missing("train", TOP)),
    labelled(
        "labels without splits",
        lambda: {name.removeprefix("train/"): data for name, data in only("train/").items()},
        missing("train", TOP),
        missing("validation", TOP),
    ),
    labelled(
        "valid in place of validation",
        lambda: renamed("validation/", "valid/"),
        missing("validation", "“valid”", "Rename"),
    ),
    labelled(
        "val in place of validation", lambda: renamed("validation/", "val/"), missing("validation", "“val”", "Rename")
    ),
    labelled(
        "misspelt validation",
        lambda: renamed("validation/", "vaildation/"),
        missing("validation", "“vaildation”", "Rename"),
    ),
    labelled("Train with a capital", lambda: renamed("train/", "Train/"), missing("train", "“Train”", "Rename")),
    labelled("misspelt train", lambda: renamed("train/", "trian/"), missing("train", "“trian”", "Rename")),
    labelled(
        "misspelt test",
        lambda: pets() | {f"tset/{label}/0.png": PICTURE for label in ("cat", "dog")},
        warning("split_missing", "", "“tset”", "Rename"),
    ),
    labelled(
        "splits as zips inside the zip",
        lambda: {f"{split}.zip": packed(only(f"{split}/")) for split in ("train", "validation")},
        missing("train", "“train.zip”", "Unpack it"),
        missing("validation", "“validation.zip”", "Unpack it"),
    ),
    labelled(
        "label only in validation",
        lambda: pets() | {"validation/cow/0.png": PICTURE},
        error("label_not_trained", "validation/cow", "“cow” has no images in train", "Add some or remove it"),
    ),
    labelled(
        "label only in test",
        lambda: pets() | {"test/cow/0.png": PICTURE, "test/cat/0.png": encoded(picture(0, 500))},
        error("label_not_trained", "test/cow", "“cow” has no images in train", "Add some or remove it"),
    ),
    labelled(
        "label without validation images",
        lambda: pets() | {f"train/cow/{n}.png": encoded(picture(3, n)) for n in range(10)},
        warning("label_not_validated", "train/cow", "“cow”", "Add some"),
    ),
    labelled(
        "empty label",
        lambda: pets() | {"train/cow/": b""},
        warning("label_empty", "train/cow", "no images", "Put some into it", "[mend: empty_label]"),
    ),
    labelled(
        "a single label",
        lambda: only("train/cat/", "validation/cat/"),
        error("too_few_labels", "train", "there are 1", "Add"),
    ),
    labelled(
        "train without images",
        lambda: only("validation/") | {"train/": b""},
        error("label_not_trained", "validation/cat", "Add some or remove it"),
        error("label_not_trained", "validation/dog", "Add some or remove it"),
        error("too_few_labels", "train", "there are 0", "Add"),
    ),
    labelled(
        "validation without images",
        lambda: only("train/") | {"validation/cat/": b"", "validation/dog/": b""},
        warning("label_empty", "validation/cat"),
        warning("label_empty", "validation/dog"),
        warning("label_not_validated", "train/cat"),
        warning("label_not_validated", "train/dog"),
        error("split_empty", "validation", "no images", "Put"),
    ),
    labelled(
        "images outside labels",
        lambda: pets() | {"train/0.png": PICTURE, "validation/1.png": PICTURE},
        warning("no_label", "train/0.png", "Put it into the folder of its label"),
        warning("no_label", "validation/1.png", "Put it into the folder of its label"),
    ),
    labelled(
        "folder inside a label",
        lambda: pets() | {"train/cat/more/0.png": PICTURE},
        error("folder_in_label", "train/cat/more", "Move the images up by one folder"),
    ),
    labelled(
        "few images of a label",
        lambda: {name: data for name, data in pets().items() if name not in ("train/dog/8.png", "train/dog/9.png")},
        warning("few_images", "train/dog", "only 8 images", "Add some"),
    ),
    labelled(
        "name of a label that is too long",
        lambda: renamed("train/cat/", f"train/{'c' * 81}/"),
        error("label_name", f"train/{'c' * 81}", "longer than 80 characters", "Shorten it"),
        error("label_not_trained", "validation/cat", "Add some or remove it"),
        warning("label_not_validated", f"train/{'c' * 81}"),
    ),
    labelled(
        "two splits broken at once, all of it listed",
        lambda: pets() | {"train/cat/more/0.png": PICTURE, "train/dog/a.png": b"no", "validation/cow/0.png": PICTURE},
        error("folder_in_label", "train/cat/more", "Move the images up"),
        error("not_an_image", "train/dog/a.png", "Remove the file or replace it"),
        error("label_not_trained", "validation/cow", "Add some or remove it"),
    ),
]

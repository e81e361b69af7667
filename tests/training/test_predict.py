"""From image to answer: the guide's three response formats, and the pixels that the network sees."""

import base64
import io

import numpy as np
import pytest
import torch
from PIL import ExifTags, Image

from tests.runs import picture
from training.algorithms.image_classification import predict as classification
from training.algorithms.images import load_pixels, open_rgb
from training.algorithms.object_detection import predict as detection
from training.algorithms.semantic_segmentation import predict as segmentation

CAT_DOG = {"labels": [{"id": 0, "name": "cat"}, {"id": 1, "name": "dog"}]}
SEGMENTS = {
    "labels": [{"id": 1, "name": "road"}, {"id": 27, "name": "sky"}],
    "preprocessing": segmentation.preprocessing({}, {}),
}
BALLOONS = {"labels": [{"id": 1, "name": "balloon"}, {"id": 4, "name": "kite"}], "threshold": 0.5}


def test_pixels_are_resized_normalised_and_channels_first():
    image = Image.new("RGB", (40, 30), (124, 116, 104))  # ImageNet's mean colour
    image.putpixel((0, 0), (255, 0, 0))
    pixels = classification.preprocess(image, classification.preprocessing({"input_size": 28}, {}))
    assert (pixels.shape, pixels.dtype) == ((3, 28, 28), np.float32)
    assert abs(pixels[:, 10:, 10:]).max() < 0.02
    assert pixels[0, 0, 0] > 0.1 > -0.1 > pixels[1, 0, 0]


def test_segmentation_sees_512_by_512():
    pixels = segmentation.preprocess(picture(1)[0], SEGMENTS["preprocessing"])
    assert pixels.shape == (3, 512, 512)


@pytest.mark.parametrize(
    ("median", "size", "expected"),
    [
        ((416, 416), (416, 416), (416, 416)),
        ((100, 80), (64, 64), (320, 320)),  # small images: 320, not DETR's 800
        ((3000, 2000), (1600, 1200), (1067, 800)),
        ((800, 800), (2000, 500), (1333, 333)),  # a panorama: its longer side is the limit
        ((320, 320), (5000, 1), (1333, 1)),
    ],
)
def test_detection_keeps_the_proportions_within_its_limits(median, size, expected):
    assert detection.input_size(size, detection.preprocessing({}, {"median_size": median})) == expected


def test_detection_pads_a_batch_and_masks_the_padding():
    inputs = detection.batch([np.ones((3, 4, 6), np.float32), np.ones((3, 5, 2), np.float32)])
    assert inputs["pixel_values"].shape == (2, 3, 5, 6)
    assert inputs["pixel_mask"].sum(axis=(1, 2)).tolist() == [24, 10]
    assert (inputs["pixel_values"][:, 0] == inputs["pixel_mask"]).all()


def test_classification_answers_all_labels_highest_first():
    logits = np.array([[-3.6, 3.6]], dtype=np.float32)
    answers = classification.postprocess({"logits": logits}, [(10, 10)], CAT_DOG, {})
    body = classification.body(answers)
    assert [entry["label"] for entry in body] == ["dog", "cat"]
    assert body[0]["score"] == pytest.approx(0.99925, abs=1e-5)
    assert sum(entry["score"] for entry in body) == pytest.approx(1)


def test_classification_of_several_images_is_a_list_of_lists():
    logits = np.array([[0.0, 1.0], [1.0, 0.0]], dtype=np.float32)
    body = classification.body(classification.postprocess({"logits": logits}, [(1, 1)] * 2, CAT_DOG, {}))
    assert [entries[0]["label"] for entries in body] == ["dog", "cat"]


@pytest.mark.parametrize("shape", [(150, 128, 128), (3, 16, 16), (1, 8, 5), (2, 1, 1)])
def test_the_class_map_is_torchs_interpolation_and_argmax(shape):
    logits = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    ours = segmentation.class_map(logits, (512, 512))
    full = torch.nn.functional.interpolate(torch.from_numpy(logits)[None], (512, 512), mode="bilinear")[0]
    assert (ours == full.argmax(0).numpy()).mean() > 0.99999  # but for ties within a float's rounding


def test_the_class_map_is_torchs_where_few_classes_of_many_win():
    """The classes that cannot win somewhere are left out there: their neighbours must not notice."""
    random = np.random.default_rng(0)
    regions = torch.from_numpy(random.normal(scale=9, size=(1, 60, 5, 4)).astype(np.float32))
    logits = torch.nn.functional.interpolate(regions, (128, 128), mode="bilinear")[0].numpy()
    logits += random.normal(scale=0.3, size=logits.shape).astype(np.float32)
    full = torch.nn.functional.interpolate(torch.from_numpy(logits)[None], (512, 512), mode="bilinear")[0]
    ours = segmentation.class_map(logits, (512, 512))
    assert 3 < len(np.unique(ours)) < 50
    assert (ours == full.argmax(0).numpy()).mean() > 0.99999


def test_segmentation_answers_class_ids_not_indices():
    logits = np.zeros((1, 2, 128, 128), dtype=np.float32)
    logits[0, 1, :, 64:] = 5  # the right half is sky
    logits[0, 0, :, :64] = 5
    answers = segmentation.postprocess({"logits": logits}, [(640, 480)], SEGMENTS, {})
    mask = segmentation.body(answers)["predictions"][0]
    assert (mask.shape, mask.dtype) == ((512, 512), np.uint8)
    assert (mask[:, :250] == 1).all()
    assert (mask[:, 262:] == 27).all()


@pytest.mark.parametrize(("ids", "dtype"), [([0, 255], np.uint8), ([0, 256], np.uint16)])
def test_segmentation_as_png_has_the_same_ids(ids, dtype):
    model = {**SEGMENTS, "labels": [{"id": i, "name": str(i)} for i in ids]}
    logits = np.random.default_rng(1).normal(size=(1, 2, 128, 128)).astype(np.float32)
    plain = segmentation.postprocess({"logits": logits}, [(9, 9)], model, {})[0]
    png = segmentation.postprocess({"logits": logits}, [(9, 9)], model, {"format": "png"})[0]
    image = np.asarray(Image.open(io.BytesIO(base64.b64decode(png))))
    assert plain.dtype == dtype
    assert (image == plain).all()


def detr_output(*found: tuple[int, float, tuple[float, float, float, float]]) -> dict[str, np.ndarray]:
    """Queries as (class, logit, box in shares of the image); "no object" has logit 0."""
    logits = np.full((1, len(found), 3), -9.0, dtype=np.float32)
    logits[..., 2] = 0
    for i, (label, logit, _) in enumerate(found):
        logits[0, i, label] = logit
    return {"logits": logits, "pred_boxes": np.array([[box for *_, box in found]], dtype=np.float32)}


def test_detection_answers_the_guides_boxes_best_first_above_the_threshold():
    outputs = detr_output((0, 1.0, (0.5, 0.5, 0.2, 0.4)), (1, -1.0, (0.5, 0.5, 1, 1)), (0, 3.0, (0.25, 0.75, 0.1, 0.1)))
    body = detection.body(detection.postprocess(outputs, [(200, 100)], BALLOONS, {}))
    assert body == {
        "predictions": [
            [
                {"balloon": {"xmin": 40, "ymin": 70, "xmax": 60, "ymax": 80}},
                {"balloon": {"xmin": 80, "ymin": 30, "xmax": 120, "ymax": 70}},
            ]
        ]
    }


def test_detection_takes_the_requests_threshold_and_adds_scores_when_asked():
    outputs = detr_output((0, 1.0, (0.5, 0.5, 0.2, 0.4)), (1, -1.0, (0.5, 0.5, 0.5, 0.5)))
    parameters = {"threshold": 0.1, "scores": True}
    found = detection.postprocess(outputs, [(200, 100)], BALLOONS, parameters)[0]
    assert [next(iter(entry)) for entry in found] == ["balloon", "kite"]
    assert found[0]["balloon"]["score"] == pytest.approx(1 / (1 + np.exp(-1)), abs=1e-3)
    assert detection.postprocess(outputs, [(200, 100)], BALLOONS, {"threshold": 0.9}) == [[]]


def test_detection_boxes_stay_inside_the_image():
    outputs = detr_output((0, 3.0, (0.0, 1.0, 0.5, 0.5)))
    box = detection.postprocess(outputs, [(200, 100)], BALLOONS, {})[0][0]["balloon"]
    assert box == {"xmin": 0, "ymin": 75, "xmax": 50, "ymax": 100}
    assert all(type(value) is int for value in box.values())


@pytest.mark.parametrize(
    ("module", "parameters", "wrong"),
    [
        (classification, {"top": 3}, ["top"]),
        (segmentation, {"format": "gif"}, ["format"]),
        (segmentation, {"format": "png"}, []),
        (segmentation, {"format": ["png"]}, ["format"]),
        (segmentation, {"threshold": 0.5}, ["threshold"]),
        (detection, {"threshold": 1.5}, ["threshold"]),
        (detection, {"threshold": "0.5"}, ["threshold"]),
        (detection, {"threshold": float("nan"), "scores": 1}, ["threshold", "scores"]),
        (detection, {"threshold": 0, "scores": False}, []),
    ],
)
def test_wrong_parameters_are_named(module, parameters, wrong):
    assert list(module.parameter_errors(parameters)) == wrong


def phone_photo(orientation: int = 1) -> bytes:
    """A JPEG of 1611 x 1207 pixels with soft shapes and noise, turned to the eye by its EXIF orientation."""
    random = np.random.default_rng(7)
    shapes = Image.fromarray(random.integers(0, 256, (9, 12, 3), dtype=np.uint8)).resize((1611, 1207))
    noisy = np.asarray(shapes) + random.normal(0, 6, (1207, 1611, 1))
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    file = io.BytesIO()
    Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(file, "JPEG", quality=80, exif=exif)
    return file.getvalue()


@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize(
    ("predict", "preprocessing"),
    [
        (classification, classification.preprocessing({"input_size": 28}, {})),
        (segmentation, SEGMENTS["preprocessing"]),
        (detection, detection.preprocessing({}, {"median_size": (320, 320)})),
    ],
    ids=["classification", "segmentation", "detection"],
)
def test_a_large_jpeg_is_seen_at_its_own_size_and_upright_though_decoded_at_a_fraction(
    predict, preprocessing, orientation
):
    photo = phone_photo(orientation)
    upright = open_rgb(io.BytesIO(photo))
    pixels, size = load_pixels(io.BytesIO(photo), predict.input_size, preprocessing)
    assert size == upright.size
    expected = predict.preprocess(upright, preprocessing)
    assert pixels.shape == expected.shape
    assert abs(pixels - expected).max() * 255 * max(preprocessing["std"]) < 15  # an eighth moves the most


def test_a_model_of_before_the_fractions_sees_the_pixels_it_was_trained_on():
    photo = phone_photo()
    preprocessing = classification.preprocessing({"input_size": 28}, {})
    drafted, _ = load_pixels(io.BytesIO(photo), classification.input_size, preprocessing)
    del preprocessing["draft_gap"]
    pixels, _ = load_pixels(io.BytesIO(photo), classification.input_size, preprocessing)
    assert (pixels == classification.preprocess(open_rgb(io.BytesIO(photo)), preprocessing)).all()
    assert (pixels != drafted).any()

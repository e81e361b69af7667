"""When two stages are said to agree on an image."""

import base64
import io
import json

import pytest
from PIL import Image

from endpoints.agreement import agree, overlap


def same(one, other) -> bool:
    result = agree(json.dumps(one).encode(), json.dumps(other).encode())
    assert result == agree(json.dumps(other).encode(), json.dumps(one).encode()), (
        "it does not matter who is asked first"
    )
    return result


def scores(*labels: str) -> list:
    return [{"score": 1 / (place + 2), "label": label} for place, label in enumerate(labels)]


def box(label: str, xmin: int, ymin: int, size: int = 100) -> dict:
    return {label: {"xmin": xmin, "ymin": ymin, "xmax": xmin + size, "ymax": ymin + size}}


def mask(changed: int) -> list:
    """100 x 100 pixels of class 3, so many of them of class 4."""
    pixels = [4] * changed + [3] * (10_000 - changed)
    return [pixels[row * 100 : row * 100 + 100] for row in range(100)]


def png(changed: int) -> str:
    file = io.BytesIO()
    image = Image.new("L", (100, 100))
    image.putdata([pixel for row in mask(changed) for pixel in row])
    image.save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def test_classification_agrees_on_the_first_label():
    assert same(scores("cat", "dog", "cow"), scores("cat", "cow", "dog"))
    assert not same(scores("cat", "dog"), scores("dog", "cat"))
    assert same([scores("cat"), scores("dog")], [scores("cat"), scores("dog", "cat")])
    assert not same([scores("cat"), scores("dog")], [scores("cat"), scores("cat")])
    assert same({"predictions": [scores("cat", "dog")]}, {"predictions": [scores("cat", "cow")]})


@pytest.mark.parametrize("form", [mask, png])
def test_segmentation_agrees_on_99_pixels_of_a_hundred(form):
    assert same({"predictions": [form(0)]}, {"predictions": [form(100)]})
    assert not same({"predictions": [form(0)]}, {"predictions": [form(101)]})


def test_masks_of_another_size_do_not_agree():
    assert not same({"predictions": [mask(0)]}, {"predictions": [mask(0)[:99]]})
    assert not same({"predictions": [mask(0)]}, {"predictions": []})


def test_detection_agrees_on_labels_and_places():
    found = [box("cat", 0, 0), box("cat", 300, 0), box("dog", 0, 300)]
    assert same({"predictions": [found]}, {"predictions": [[box("dog", 5, 300), box("cat", 300, 9), box("cat", 4, 0)]]})
    assert not same({"predictions": [found]}, {"predictions": [found[:2]]})
    assert not same({"predictions": [found]}, {"predictions": [[*found[:2], box("cow", 0, 300)]]})
    moved = [*found[:2], box("dog", 40, 300)]
    assert not same({"predictions": [found]}, {"predictions": [moved]}), "60 of 140 is less than half"
    assert same({"predictions": [[]]}, {"predictions": [[]]})
    assert not same({"predictions": [[]]}, {"predictions": [found]})
    twice = [box("cat", 0, 0), box("cat", 2, 0)]
    assert not same({"predictions": [twice]}, {"predictions": [[box("cat", 0, 0), box("cat", 300, 0)]]})


def test_boxes_with_their_score_are_compared_as_boxes():
    one, other = box("cat", 0, 0), box("cat", 3, 0)
    one["cat"]["score"], other["cat"]["score"] = 0.9, 0.7
    assert same({"predictions": [[one]]}, {"predictions": [[other]]})


def test_overlap_is_intersection_over_union():
    assert overlap(box("a", 0, 0)["a"], box("a", 50, 0)["a"]) == pytest.approx(1 / 3)
    assert overlap(box("a", 0, 0)["a"], box("a", 100, 0)["a"]) == 0
    assert overlap(box("a", 0, 0, 0)["a"], box("a", 0, 0, 0)["a"]) == 1


def tensors(**named: tuple[list[int], list]) -> dict:
    rows = [{"name": name, "shape": shape, "datatype": "X", "data": data} for name, (shape, data) in named.items()]
    return {"model_name": "any", "outputs": rows}


def test_tensors_are_compared_as_what_they_mean():
    def labels(*names: str) -> dict:
        return tensors(labels=([2, 2], list(names)), scores=([2, 2], [0.1 * len(names[0])] * 4))

    assert same(labels("cat", "dog", "cow", "cat"), labels("cat", "fish", "cow", "dog"))
    assert not same(labels("cat", "dog", "cow", "cat"), labels("cat", "dog", "cat", "cow"))

    def masks(changed: int) -> dict:
        return tensors(mask=([1, 100, 100], [pixel for row in mask(changed) for pixel in row]))

    assert same(masks(0), masks(100))
    assert not same(masks(0), masks(101))

    def boxes(shift: int, counts: list[int]) -> dict:
        corners = [0, 0, 100, 100, 200 + shift, 0, 300 + shift, 100]
        return tensors(
            boxes=([2, 4], corners), labels=([2], ["cat", "dog"]), scores=([2], [0.9, 0.8]), counts=([2], counts)
        )

    assert same(boxes(0, [1, 1]), boxes(9, [1, 1]))
    assert not same(boxes(0, [1, 1]), boxes(60, [1, 1]))
    assert not same(boxes(0, [1, 1]), boxes(0, [2, 0]))


def test_anything_else_agrees_when_it_is_equal():
    answer = {"model_name": "one", "id": "7", "outputs": [{"name": "logits", "shape": [1, 2], "data": [0.5, 0.25]}]}
    assert same(answer, {**answer, "model_name": "two", "id": "8"})
    assert not same(answer, {**answer, "outputs": [{"name": "logits", "shape": [1, 2], "data": [0.5, 0.26]}]})
    assert not same(answer, {"outputs": answer["outputs"], "more": 1})
    assert not same("cat", "dog")
    assert agree(b"\x00\x01", b"\x00\x01")
    assert not agree(b"\x00\x01", b"\x00\x02")
    assert not agree(b"[1]", b"\x00")

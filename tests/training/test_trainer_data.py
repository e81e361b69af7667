"""What the network is shown: targets, masks and augmentation."""

import numpy as np
import pytest
import torch

from tests.runs import labels_of, make_dataset
from training import algorithms
from training.algorithms.image_classification import train as classification
from training.algorithms.object_detection import predict as detection_predict
from training.algorithms.object_detection import train as detection
from training.algorithms.semantic_segmentation import train as segmentation


def draws(function, count=40):
    """What an augmentation gives for many seeds."""
    return [function(np.random.default_rng(seed)) for seed in range(count)]


def test_classification_images_are_mirrored_and_moved_a_little():
    pixels = np.zeros((3, 32, 32), dtype=np.float32)
    pixels[:, 10, 5] = 1
    places = [
        tuple(int(v[0]) for v in np.nonzero(image[0])) for image in draws(lambda r: classification.augment(pixels, r))
    ]
    rows, columns = {r for r, _ in places}, {c for _, c in places}
    assert rows == set(range(8, 13))
    assert columns == {*range(3, 8), *range(24, 29)}  # 5 and its mirror image 26, up to 2 either way


def test_segmentation_mirrors_image_and_mask_together():
    pixels = np.arange(3 * 4 * 6, dtype=np.float32).reshape(3, 4, 6)
    mask = pixels[0].astype(np.int64)
    results = draws(lambda r: segmentation.augment(pixels, mask, r))
    assert all((image[0] == labels).all() for image, labels in results)
    assert 5 < sum(bool((labels != mask).any()) for _, labels in results) < 35


def test_detection_mirrors_image_and_boxes_together():
    pixels = np.zeros((3, 10, 20), dtype=np.float32)
    pixels[:, 2:6, 4:8] = 1  # centre (6, 4), 4 x 4
    boxes = np.array([[6 / 20, 4 / 10, 4 / 20, 4 / 10]], dtype=np.float32)
    seen = set()
    for image, (box,) in draws(lambda r: detection.augment(pixels, boxes, r)):
        rows, columns = np.nonzero(image[0])
        assert (columns.min() + columns.max() + 1) / 40 == pytest.approx(box[0])
        assert (rows.min() + rows.max() + 1) / 20 == pytest.approx(box[1])
        seen.add(round(float(box[0]), 3))
    assert seen == {0.3, 0.7}


@pytest.mark.parametrize("key", algorithms.PACKAGES)
def test_an_image_depends_on_seed_epoch_and_place_only(tmp_path, key):
    """Whatever was drawn before: this is what makes a resumed training equal."""
    train, predict = algorithms.part(key, "train"), algorithms.part(key, "predict")
    folder = make_dataset(key, tmp_path, {"train": 6})
    preprocessing = predict.preprocessing({"input_size": 28}, {"median_size": [64, 64]})
    first, second = (train.Data(folder, "train", preprocessing, labels_of(key), seed=1) for _ in range(2))
    first.epoch = second.epoch = 3
    straight = [first[i]["pixels"] for i in range(6)]
    second[5], second[2]
    assert all((second[i]["pixels"] == straight[i]).all() for i in reversed(range(6)))
    second.epoch = 4
    assert any((second[i]["pixels"] != straight[i]).any() for i in range(6))


def test_mask_ids_become_class_indices_and_all_others_are_ignored():
    mask = np.array([[0, 3], [7, 255]], dtype=np.int32)
    assert segmentation.class_indices(mask, [0, 3, 7]).tolist() == [[0, 1], [2, segmentation.IGNORED]]
    assert segmentation.class_indices(mask, [0, 3, 255]).tolist() == [[0, 1], [segmentation.IGNORED, 2]]


def test_coco_boxes_become_detrs_without_the_crowds():
    record = {
        "width": 200,
        "height": 100,
        "boxes": [[20, 10, 40, 20], [0, 0, 200, 100]],
        "labels": [2, 0],
        "iscrowd": [0, 1],
    }
    boxes, classes = detection.targets(record)
    assert boxes.tolist() == [pytest.approx([0.2, 0.2, 0.2, 0.2])]
    assert classes.tolist() == [2]


def test_an_image_without_boxes_has_empty_targets_of_the_right_shape():
    boxes, classes = detection.targets({"width": 9, "height": 9, "boxes": [], "labels": [], "iscrowd": []})
    assert (boxes.shape, classes.shape) == ((0, 4), (0,))


def test_true_boxes_come_back_from_the_answer_in_the_images_pixels():
    """Target and answer are each other's inverse, whatever the size of the image."""
    record = {"width": 640, "height": 427, "boxes": [[33, 51, 120, 77]], "labels": [0], "iscrowd": [0]}
    boxes, _ = detection.targets(record)
    outputs = {"logits": np.array([[[9.0, 0.0]]], dtype=np.float32), "pred_boxes": boxes[None]}
    model = {"labels": [{"id": 1, "name": "balloon"}], "threshold": 0.5}
    [[found]] = detection_predict.postprocess(outputs, [(640, 427)], model, {})
    assert found == {"balloon": {"xmin": 33, "ymin": 51, "xmax": 153, "ymax": 128}}


def test_segmentation_loss_ignores_what_is_ignored():
    class Model(torch.nn.Module):
        def forward(self, pixel_values):
            return type("Output", (), {"logits": torch.tensor([[[[4.0]], [[0.0]]]])})

    def loss_of(labels):
        return segmentation.loss(Model(), {"pixel_values": None, "labels": torch.tensor([labels])}).item()

    assert loss_of([[0, segmentation.IGNORED]]) == pytest.approx(loss_of([[0, 0]]))
    assert loss_of([[segmentation.IGNORED, segmentation.IGNORED]]) == 0
    assert loss_of([[1, 1]]) == pytest.approx(4.018, abs=1e-3)

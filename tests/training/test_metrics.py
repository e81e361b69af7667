"""Each metric against an independent reference, and independent of how the split was cut into batches."""

import json

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from sklearn.metrics import accuracy_score, precision_score, recall_score

from training import algorithms
from training.algorithms.image_classification.metrics import Accumulator as Classification
from training.algorithms.object_detection.metrics import Accumulator as Detection
from training.algorithms.object_detection.predict import Detections
from training.algorithms.semantic_segmentation.metrics import Accumulator as Segmentation

RNG = np.random.default_rng(7)


def test_the_guides_metrics_are_there_by_name():
    names = {key: [m.name for m in algorithms.get(key).metrics] for key in algorithms.PACKAGES}
    assert names["image_classification"] == ["accuracy", "precision", "recall", "f1"]
    assert names["semantic_segmentation"] == [
        "mean_iou",
        "mean_accuracy",
        "overall_accuracy",
        "per_category_accuracy",
        "per_category_iou",
    ]
    assert names["object_detection"] == [
        "AP-IoU=0.50:0.95-area=all-maxDets=100",
        "AP-IoU=0.50-area=all-maxDets=100",
        "AP-IoU=0.75-area=all-maxDets=100",
        "AP-IoU=0.50:0.95-area=small-maxDets=100",
        "AP-IoU=0.50:0.95-area=medium-maxDets=100",
        "AP-IoU=0.50:0.95-area=large-maxDets=100",
        "AR-IoU=0.50:0.95-area=all-maxDets=1",
        "AR-IoU=0.50:0.95-area=all-maxDets=10",
        "AR-IoU=0.50:0.95-area=all-maxDets=100",
        "AR-IoU=0.50:0.95-area=small-maxDets=100",
        "AR-IoU=0.50:0.95-area=medium-maxDets=100",
        "AR-IoU=0.50:0.95-area=large-maxDets=100",
    ]


@pytest.mark.parametrize("batch", [1, 7, 200])
def test_classification_equals_scikit_learn(batch):
    actual = RNG.integers(0, 5, 200)  # class 5 of 7 is only ever predicted, class 6 never occurs
    predicted = np.where(RNG.random(200) < 0.6, actual, RNG.integers(0, 6, 200))
    figures = Classification(7)
    for start in range(0, 200, batch):
        figures.update(predicted[start : start + batch], actual[start : start + batch])
    precision = precision_score(actual, predicted, average="macro", zero_division=0)
    recall = recall_score(actual, predicted, average="macro", zero_division=0)
    assert figures.compute() == pytest.approx(
        {
            "accuracy": accuracy_score(actual, predicted),
            "precision": precision,
            "recall": recall,
            "f1": 2 * precision * recall / (precision + recall),
        }
    )


def test_precision_and_recall_are_the_fields_not_the_guides():
    figures = Classification(2)
    figures.update(np.array([0, 0, 0, 1]), np.array([0, 0, 1, 1]))  # one of class 1 is taken for class 0
    found = figures.compute()
    assert found["precision"] == pytest.approx((2 / 3 + 1) / 2)
    assert found["recall"] == pytest.approx((1 + 1 / 2) / 2)


def test_classification_that_never_hits_is_zero_not_an_error():
    figures = Classification(2)
    figures.update(np.array([1, 0]), np.array([0, 1]))
    assert figures.compute() == {"accuracy": 0.0, "precision": 0.0, "recall": 0.0, "f1": 0.0}


def reference_segmentation(pairs, classes):
    """Pixel sets, class by class, without a matrix."""
    predicted = np.concatenate([p.ravel() for p, _ in pairs])
    actual = np.concatenate([a.ravel() for _, a in pairs])
    predicted, actual = predicted[actual >= 0], actual[actual >= 0]
    iou, accuracy = {}, {}
    for c in range(classes):
        both, either = ((predicted == c) & (actual == c)).sum(), ((predicted == c) | (actual == c)).sum()
        if either:
            iou[c] = both / either
        if (actual == c).any():
            accuracy[c] = both / (actual == c).sum()
    return iou, accuracy, (predicted == actual).mean()


def test_segmentation_equals_plain_counting():
    pairs = [(RNG.integers(0, 4, (30, 20)), RNG.integers(-1, 3, (30, 20))) for _ in range(5)]  # -1: ignored
    figures = Segmentation(["a", "b", "c", "d", "e"])  # d is only ever predicted, e never occurs
    for predicted, actual in pairs:
        figures.update(predicted, actual)
    iou, accuracy, overall = reference_segmentation(pairs, 5)
    found = figures.compute()
    assert found["mean_iou"] == pytest.approx(np.mean(list(iou.values())))
    assert found["mean_accuracy"] == pytest.approx(np.mean(list(accuracy.values())))
    assert found["overall_accuracy"] == pytest.approx(overall)
    per_class = {name: value for name, value in found.items() if "/" in name}
    assert per_class == pytest.approx(
        {
            **{f"per_category_iou/{'abcde'[c]}": value for c, value in iou.items()},
            **{f"per_category_accuracy/{'abcde'[c]}": value for c, value in accuracy.items()},
        }
    )
    assert "per_category_iou/e" not in found


def test_ignored_pixels_count_nowhere():
    figures = Segmentation(["a", "b"])
    figures.update(np.array([[0, 1, 1]]), np.array([[0, -100, 1]]))
    assert figures.compute()["mean_iou"] == 1.0


def scene():
    """20 images with up to 3 boxes and slightly displaced detections of them, among wrong ones."""
    images, found = [], []
    for _ in range(20):
        count = int(RNG.integers(0, 4))
        boxes = np.concatenate([RNG.integers(0, 100, (count, 2)), RNG.integers(10, 120, (count, 2))], axis=1)
        labels = RNG.integers(0, 3, count)
        crowd = (RNG.random(count) < 0.1).astype(int)
        images.append(
            {
                "width": 300,
                "height": 300,
                "boxes": boxes.tolist(),
                "labels": labels.tolist(),
                "area": (boxes[:, 2] * boxes[:, 3]).tolist(),
                "iscrowd": crowd.tolist(),
            }
        )
        noise = RNG.normal(0, 4, (count, 4))
        corners = np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1) + noise
        wrong = np.sort(RNG.random((2, 2, 2)) * 300, axis=1).reshape(2, 4)
        scores = RNG.random(count + 2)
        order = np.argsort(-scores)
        classes = np.concatenate([labels, RNG.integers(0, 3, 2)])
        found.append(Detections(scores[order], classes[order], np.concatenate([corners, wrong])[order]))
    return images, found


def test_detection_equals_pycocotools_on_the_exported_predictions(tmp_path):
    images, found = scene()
    figures = Detection(3)
    annotations, results = [], []
    for number, (image, detections) in enumerate(zip(images, found, strict=True), start=100):
        figures.update(detections, image)
        for i, box in enumerate(image["boxes"]):
            row = {"id": len(annotations) + 1, "image_id": number, "category_id": image["labels"][i], "bbox": box}
            annotations.append({**row, "area": image["area"][i], "iscrowd": image["iscrowd"][i]})
        for score, label, (x0, y0, x1, y1) in zip(detections.scores, detections.classes, detections.boxes, strict=True):
            box = [float(x0), float(y0), float(x1 - x0), float(y1 - y0)]
            results.append({"image_id": number, "category_id": int(label), "bbox": box, "score": float(score)})
    truth = {
        "images": [{"id": n, "width": 300, "height": 300} for n in range(100, 120)],
        "annotations": annotations,
        "categories": [{"id": i, "name": str(i)} for i in range(3)],
        "info": {},
    }
    (tmp_path / "truth.json").write_text(json.dumps(truth))
    (tmp_path / "results.json").write_text(json.dumps(results))
    coco = COCO(str(tmp_path / "truth.json"))
    evaluation = COCOeval(coco, coco.loadRes(str(tmp_path / "results.json")), "bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    names = [m.name for m in algorithms.get("object_detection").metrics]
    expected = dict(zip(names, evaluation.stats, strict=True))
    assert figures.compute() == pytest.approx(expected)
    assert 0.1 < figures.compute()["AP-IoU=0.50:0.95-area=all-maxDets=100"] < 0.9


def test_all_twelve_figures_are_there_also_those_about_objects_that_do_not_occur():
    names = [metric.name for metric in algorithms.get("object_detection").metrics]
    figures = Detection(1)
    assert figures.compute() == dict.fromkeys(names, -1.0)  # no truth at all
    truth = {"width": 99, "height": 99, "boxes": [[0, 0, 9, 9]], "labels": [0], "area": [81], "iscrowd": [0]}
    figures.update(Detections(np.array([0.9]), np.array([0]), np.array([[0.0, 0, 9, 9]])), truth)
    found = figures.compute()
    assert found["AP-IoU=0.50:0.95-area=small-maxDets=100"] == pytest.approx(1)
    assert found["AP-IoU=0.50:0.95-area=large-maxDets=100"] == -1
    assert list(found) == names

"""Object Detection: DETR with a ResNet-50 backbone. Defaults and ranges are the guide's."""

from training.algorithms.base import (
    LOGGING_STEPS,
    SAVE_STEPS,
    Algorithm,
    Hyperparameter,
    Metric,
    Pretrained,
    gettext_noop,
)

UNDEFINED = -1.0  # what pycocotools says of a figure about objects that do not occur
_IOU, _AREAS = "0.50:0.95", ("small", "medium", "large")


def _coco(kind: str, iou: str, area: str, dets: int) -> Metric:
    text = (
        gettext_noop("COCO average precision at the given overlap, object size and number of detections.")
        if kind == "AP"
        else gettext_noop("COCO average recall at the given overlap, object size and number of detections.")
    )
    return Metric(f"{kind}-IoU={iou}-area={area}-maxDets={dets}", text)


# The twelve figures of pycocotools' COCOeval.summarize, in its order.
COCO_METRICS = (
    _coco("AP", _IOU, "all", 100),
    _coco("AP", "0.50", "all", 100),
    _coco("AP", "0.75", "all", 100),
    *(_coco("AP", _IOU, area, 100) for area in _AREAS),
    *(_coco("AR", _IOU, "all", dets) for dets in (1, 10, 100)),
    *(_coco("AR", _IOU, area, 100) for area in _AREAS),
)

ALGORITHM = Algorithm(
    key="object_detection",
    name="Object Detection",
    architecture="DETR-ResNet-50",
    text=gettext_noop("Finds every object in an image: its box and its class."),
    pretrained=Pretrained("facebook/detr-resnet-50", revision="no_timm"),
    hyperparameters=(
        Hyperparameter(
            "learning_rate",
            float,
            2e-4,
            0.0,
            gettext_noop("Initial learning rate of the AdamW optimiser."),
            usual=(1e-6, 1e-3),
        ),
        Hyperparameter(
            "per_device_train_batch_size", int, 4, 1, gettext_noop("Images a step in training, on each device.")
        ),
        Hyperparameter(
            "per_device_eval_batch_size", int, 4, 1, gettext_noop("Images a step in evaluation, on each device.")
        ),
        Hyperparameter(
            "num_train_epochs", float, 3.0, 0.0, gettext_noop("How often training goes through the whole dataset.")
        ),
        Hyperparameter(
            "threshold",
            float,
            0.5,
            0.0,
            gettext_noop("Score that a box must reach to be returned by inference."),
            maximum=1.0,
        ),
        SAVE_STEPS,
        LOGGING_STEPS,
    ),
    metrics=COCO_METRICS,
    splits={"train": True, "validation": False, "test": False},
    layout=gettext_noop("""\
train/_annotations.coco.json   COCO: images, categories, annotations; bbox is [x, y, width, height] in pixels
train/0001.png
validation/_annotations.coco.json, validation/0001.png
test/_annotations.coco.json, test/0001.png
"""),
    best_metric=f"AP-IoU={_IOU}-area=all-maxDets=100",
)

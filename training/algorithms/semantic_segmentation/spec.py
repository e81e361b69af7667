"""Semantic Segmentation: SegFormer-B3. Defaults and ranges are the guide's."""

from training.algorithms.base import (
    LOGGING_STEPS,
    SAVE_STEPS,
    Algorithm,
    Hyperparameter,
    Metric,
    Pretrained,
    gettext_noop,
)

ALGORITHM = Algorithm(
    key="semantic_segmentation",
    name="Semantic Segmentation",
    architecture="SegFormer-B3",
    text=gettext_noop("Says what every pixel of an image shows: a map of class ids, 512 x 512."),
    pretrained=Pretrained("nvidia/mit-b3"),
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
            "per_device_train_batch_size",
            int,
            4,
            0,
            gettext_noop("Images a step in training, on each device. 0 chooses the largest that fits in memory."),
        ),
        Hyperparameter(
            "num_train_epochs", float, 3.0, 0.0, gettext_noop("How often training goes through the whole dataset.")
        ),
        SAVE_STEPS,
        LOGGING_STEPS,
    ),
    metrics=(
        Metric(
            "mean_iou", gettext_noop("Overlap of predicted and true region / their union, averaged over the classes.")
        ),
        Metric(
            "mean_accuracy",
            gettext_noop("Share of a class's pixels that are predicted right, averaged over the classes."),
        ),
        Metric("overall_accuracy", gettext_noop("Share of all pixels that are predicted right.")),
        Metric(
            "per_category_accuracy",
            gettext_noop("Share of each class's pixels that are predicted right."),
            per_class=True,
        ),
        Metric("per_category_iou", gettext_noop("Overlap / union of each class."), per_class=True),
    ),
    splits={"train": True, "validation": True, "test": False},
    layout=gettext_noop("""\
train/train.json            [{"image": "images/0001.png", "seg_map": "annotations/0001.png"}, ...]
train/images/0001.png
train/annotations/0001.png  a pixel is a class id; 255 is ignored
validation/validation.json
validation/images/, validation/annotations/
test/test.json (or test/train.json), test/images/, test/annotations/
resources/id2lable.json     {"0": "unlabeled", "1": "flat-road", ...}
"""),
    best_metric="mean_iou",
)

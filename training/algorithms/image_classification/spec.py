"""Image Classification: ResNet-50. Defaults and ranges are the guide's."""

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
    key="image_classification",
    name="Image Classification",
    architecture="ResNet-50",
    text=gettext_noop("Says what an image shows: one label for the whole image."),
    pretrained=Pretrained("microsoft/resnet-50"),
    hyperparameters=(
        Hyperparameter("input_size", int, 28, 4, gettext_noop("Side, in pixels, to which every image is resized.")),
        Hyperparameter(
            "learning_rate",
            float,
            0.1,
            0.0,
            gettext_noop("Initial learning rate of the AdamW optimiser."),
            usual=(1e-5, 5e-3),
        ),
        Hyperparameter(
            "per_device_train_batch_size", int, 16, 2, gettext_noop("Images a step in training, on each device.")
        ),
        Hyperparameter(
            "per_device_eval_batch_size", int, 16, 1, gettext_noop("Images a step in evaluation, on each device.")
        ),
        Hyperparameter(
            "num_train_epochs", int, 3, 1, gettext_noop("How often training goes through the whole dataset.")
        ),
        SAVE_STEPS,
        LOGGING_STEPS,
    ),
    metrics=(
        Metric("accuracy", gettext_noop("Correct predictions / all images.")),
        Metric("precision", gettext_noop("Correct / predicted as the class, averaged over the classes.")),
        Metric("recall", gettext_noop("Correct / actually of the class, averaged over the classes.")),
        Metric("f1", gettext_noop("Harmonic mean of precision and recall.")),
    ),
    splits={"train": True, "validation": True, "test": False},
    layout="""\
train/{label}/*.png
validation/{label}/*.png
test/{label}/*.png
""",
    best_metric="accuracy",
)

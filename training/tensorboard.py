"""TensorBoard on demand: one process a training, started when someone looks, gone when nobody does."""


def stop(training_id: str) -> None:
    """End the training's TensorBoard, if one runs."""

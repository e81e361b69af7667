"""The whole journey by the REST API: what `make demo` does, and a worked example of the client."""

import time
import zipfile
from collections import Counter
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from console.sdk import ApiError, Client
from training import algorithms, samples

CLEANUP_SECONDS = 180  # for one object: a training that stops saves a checkpoint first

Say = Callable[[str], None]


class Plan(NamedTuple):
    """A training that takes minutes on two slow cores, and the image whose answer is shown."""

    hyperparameters: dict[str, int | float]
    image: str
    parameters: dict[str, Any]


# From scratch and a few images only: the journey is real, the answers are a beginner's.
PLANS = {
    "image_classification": Plan(
        {"num_train_epochs": 8, "learning_rate": 0.001, "logging_steps": 5},
        "test/triangle/000.png",
        {},
    ),
    "semantic_segmentation": Plan(
        {"num_train_epochs": 0.1, "per_device_train_batch_size": 1, "logging_steps": 1}, "test/images/000.png", {}
    ),
    "object_detection": Plan(
        {"num_train_epochs": 0.1, "per_device_train_batch_size": 1, "logging_steps": 1},
        "test/000.png",
        {"threshold": 0.0, "scores": True},
    ),
}


@dataclass
class Demo:
    """One run. `suffix` makes its names unique, `made` holds the addresses of what it made, in order.

    Every method raises ApiError or TimeoutError when the console refuses, fails or takes longer than `patience` (s).
    """

    client: Client
    folder: Path
    say: Say
    suffix: str
    patience: float
    made: list[str] = field(default_factory=list)

    def run(self, algorithm: str) -> Any:
        """Zip -> dataset -> training -> model -> endpoint -> answer. -> the stage's answer."""
        plan, name = PLANS[algorithm], f"demo {algorithms.get(algorithm).name} {self.suffix}"
        self.say(f"\n{algorithms.get(algorithm).name}")
        sample = self.folder / f"{algorithm}.zip"
        samples.write(algorithm, sample)
        dataset = self._dataset(name, algorithm, sample)
        training = self._training(name, dataset["id"], plan)
        model = self._model(name, training["id"])
        endpoint, key = self._endpoint(name, model["id"])
        with zipfile.ZipFile(sample) as archive:
            image = archive.read(plan.image)
        with self._step("answer") as done:
            answer = self.client.infer(endpoint["url"], [image], key, plan.parameters)
            done.append(f"to {plan.image}")
        for line in SUMMARIES[algorithm](answer, model["labels"]):
            self.say(f"    {line}")
        return answer

    def _dataset(self, name: str, algorithm: str, sample: Path) -> dict[str, Any]:
        with self._step("dataset") as done:
            made = self.client.upload("datasets/", {"name": name, "algorithm": algorithm}, sample)
            dataset = self._finished("datasets", made["id"], "READY")
            images = ", ".join(f"{count} {split}" for split, count in dataset["images"].items())
            done.append(f"{made['zip_bytes'] / 1024:.0f} KB, images: {images}")
        return dataset

    def _training(self, name: str, dataset: str, plan: Plan) -> dict[str, Any]:
        with self._step("training") as done:
            body = {"name": name, "dataset": dataset, "initial_weights": "scratch"}
            made = self.client.post("trainings/", {**body, "hyperparameters": plan.hyperparameters})
            training = self._finished("trainings", made["id"], "COMPLETE", self._progress())
            best = algorithms.get(training["algorithm"]).best_metric
            figure = (training["test_metrics"] or training["metrics"])[best]
            done.append(f"{training['progress']['step']} steps, {best} {figure:.4f}")
        return training

    def _model(self, name: str, training: str) -> dict[str, Any]:
        with self._step("model") as done:
            made = self.client.post("models/", {"name": name, "training": training})
            model = self._finished("models", made["id"], "ACTIVE")
            report = model["export_report"]
            done.append(
                f"{model['disk_bytes'] / 1024**2:.0f} MB, {'/'.join(model['format'])}, "
                f"ONNX differs from PyTorch by {report['largest_difference']:.1e} at most"
            )
        return model

    def _endpoint(self, name: str, model: str) -> tuple[dict[str, Any], str]:
        with self._step("endpoint") as done:
            made = self.client.post("endpoints/", {"name": name, "model": model})
            endpoint = self._finished("endpoints", made["id"], "ACTIVE")
            done.append(endpoint["url"])
        return endpoint, made["key"]

    def _finished(self, kind: str, pk: str, wanted: str, seen: Any = None) -> dict[str, Any]:
        address = f"{kind}/{pk}/"
        self.made.append(address)
        return self.client.wait(address, wanted, timeout=self.patience, seen=seen)

    def _progress(self) -> Callable[[dict[str, Any]], None]:
        """Says what a training is at, whenever that changes, at most every ten seconds."""
        last_at, last_text = time.monotonic(), ""

        def seen(training: dict[str, Any]) -> None:
            nonlocal last_at, last_text
            progress = training["progress"]
            text = f"{training['status']} {training['phase']}, step {progress['step']} of {progress['total_steps']}"
            if text != last_text and time.monotonic() - last_at > 10:
                last_at, last_text = time.monotonic(), text
                self.say(f"    ... {text}")

        return seen

    @contextmanager
    def _step(self, name: str) -> Any:
        """Time a step; the body appends what is to be said about it."""
        began, done = time.monotonic(), list[str]()
        yield done
        self.say(f"  {name:<9} {time.monotonic() - began:7.1f} s   {' '.join(done)}")

    def cleanup(self) -> None:
        """Delete what was made, last first. A training stops and a stage is undeployed first, which takes a moment."""
        for address in reversed(self.made):
            deadline = time.monotonic() + CLEANUP_SECONDS
            while not self._gone(address):
                if time.monotonic() > deadline:
                    raise TimeoutError(f"{address} could not be deleted.")
                time.sleep(0.5)

    def _gone(self, address: str) -> bool:
        if _refused(self.client.delete, address) == 404:
            return True
        if address.startswith("trainings/"):
            _refused(self.client.post, f"{address}stop/")
        return False


def _refused(call: Callable[[str], Any], address: str) -> int:
    """The status with which a call was refused, 404 or 409; 0 when it was not. Raises any other ApiError."""
    try:
        call(address)
    except ApiError as error:
        if error.status not in (404, 409):
            raise
        return error.status
    return 0


Labels = list[dict[str, Any]]


def _scores(answer: Any, labels: Labels) -> list[str]:
    return [", ".join(f"{row['label']} {row['score']:.4f}" for row in answer)]


def _shares(answer: Any, labels: Labels) -> list[str]:
    """The share of the 512 x 512 pixels that each class has."""
    names = {label["id"]: label["name"] for label in labels}
    [mask] = answer["predictions"]
    pixels = Counter(pixel for row in mask for pixel in row)
    total = pixels.total()
    shares = ", ".join(f"{names[pixel]} {100 * count / total:.1f} %" for pixel, count in pixels.most_common())
    return [f"{len(mask)} x {len(mask[0])} class ids: {shares}"]


def _boxes(answer: Any, labels: Labels) -> list[str]:
    """The three best boxes, in pixels of the image as it was sent."""
    [found] = answer["predictions"]
    lines = [f"{len(found)} boxes of any score; the best:"]
    for box in found[:3]:
        [(name, place)] = box.items()
        corners = ", ".join(f"{key} {place[key]}" for key in ("xmin", "ymin", "xmax", "ymax"))
        lines.append(f"{name}: {corners}, score {place['score']:.4f}")
    return lines


SUMMARIES: dict[str, Callable[[Any, Labels], list[str]]] = {
    "image_classification": _scores,
    "semantic_segmentation": _shares,
    "object_detection": _boxes,
}

"""What a person has the console do, again and again: zip -> dataset -> training -> model -> endpoint -> answer -> gone.

Each step is a job. Its result must equal that of the first journey, which nothing disturbed; where the console says
that it failed, the reason must be true, and the step is done again.
"""

import hashlib
import zipfile
from collections.abc import Callable
from operator import eq
from pathlib import Path
from threading import Event
from typing import Any, NamedTuple

import numpy as np

from tests.chaos.ledger import DIFFERS, LOST, REASON, Job, Ledger, Wrong
from tests.chaos.patient import Patient
from tests.chaos.uploads import by_tus, in_one_request
from training import samples

KILLED = ("killed", "gone", "ended", "crashed", "stopped answering")  # what a true reason after a kill says
LONGEST = 300  # characters of an answer that are shown
TRIES = 8  # of a step that may fail for a true reason


class Plan(NamedTuple):
    """Many short steps with a checkpoint every few: there is always something to lose."""

    hyperparameters: dict[str, int | float]
    image: str


PLANS = {
    "image_classification": Plan(
        {"num_train_epochs": 8, "per_device_train_batch_size": 8, "learning_rate": 0.001, "save_steps": 4},
        "test/triangle/000.png",
    ),
    "semantic_segmentation": Plan(
        {"num_train_epochs": 1.5, "per_device_train_batch_size": 4, "save_steps": 3}, "test/images/000.png"
    ),
    "object_detection": Plan(
        {"num_train_epochs": 1.5, "per_device_train_batch_size": 4, "save_steps": 3}, "test/000.png"
    ),
}


class Results(NamedTuple):
    """What must come out the same each time."""

    images: dict[str, int]
    figures: dict[str, Any]
    answer: Any


class Journeys:
    """Of one algorithm."""

    def __init__(self, algorithm: str, console: Patient, ledger: Ledger, folder: Path) -> None:
        self.algorithm, self.plan, self.ledger = algorithm, PLANS[algorithm], ledger
        self.console = console
        self.zip = folder / f"{algorithm}.zip"
        samples.write(algorithm, self.zip)
        with zipfile.ZipFile(self.zip) as archive:
            self.image = archive.read(self.plan.image)
        self.sha256 = hashlib.sha256(self.zip.read_bytes()).hexdigest()
        self.uploads = 0
        self.reference: Results | None = None
        self.endpoint: dict[str, Any] = {}  # the first journey's, when it stays
        self.first_training: dict[str, Any] = {}

    def first(self, *, serve: bool) -> None:
        """Undisturbed: its results are the reference. With `serve` its endpoint stays."""
        name = f"{self.algorithm} 0"
        images, dataset = self.dataset(name)
        figures, training = self.training(name, dataset)
        model = self.model(name, training)
        self.endpoint, answer = self.deployment(name, model)
        self.reference = Results(images, figures, answer)
        if not serve:
            self.forget(self.endpoint, model, training, dataset)

    def until(self, stop: Event) -> None:
        """One after the other. A wrong one is in the ledger; what it made stays, to be looked at."""
        number = 0
        while not stop.is_set():
            number += 1
            try:
                self._one(f"{self.algorithm} {number}", stop)
            except Wrong as wrong:
                self.ledger.note(wrong, f"{self.algorithm} {number}")

    def trained(self) -> None:
        """The beginning of a first journey, for a run that has no time for more: there is no answer to compare."""
        name = f"{self.algorithm} 0"
        images, dataset = self.dataset(name)
        figures, self.first_training = self.training(name, dataset)
        self.reference = Results(images, figures, None)

    def models_until(self, stop: Event) -> None:
        """Models of the training of `trained`, deployed and deleted."""
        number = 0
        while not stop.is_set():
            number += 1
            name = f"{self.algorithm} model {number}"
            try:
                model = self.model(name, self.first_training)
                made = [model] if stop.is_set() else [self.deployment(name, model)[0], model]
                self.forget(*made)
            except Wrong as wrong:
                self.ledger.note(wrong, name)

    def _one(self, name: str, stop: Event) -> None:
        images, dataset = self.dataset(name)
        self._same("images", images)
        made = [dataset]
        if not stop.is_set():
            _figures, training = self.training(name, dataset)
            made.insert(0, training)
            if not stop.is_set():
                model = self.model(name, training)
                made.insert(0, model)
                if not stop.is_set():
                    endpoint, _answer = self.deployment(name, model)
                    made.insert(0, endpoint)
        self.forget(*made)

    def dataset(self, name: str) -> tuple[dict[str, int], dict[str, Any]]:
        """Every other one is uploaded by tus."""
        self.uploads += 1
        way, send = (("upload", in_one_request), ("tus upload", by_tus))[self.uploads % 2]
        for _try in range(TRIES):
            with self.ledger.job(way, name):
                made = send(self.console, name, self.algorithm, self.zip)
            with self.ledger.job("ingest", name) as job:
                found = self.ended("datasets", made, "READY", job)
                if job.outcome != REASON:
                    if found["zip_sha256"] != self.sha256:
                        raise Wrong(DIFFERS, f"the zip has the SHA-256 sum {found['zip_sha256']}, not {self.sha256}")
                    return found["images"], found
            self.forget(found)
        raise Wrong(LOST, f"{name}: no dataset after {TRIES} tries")

    def training(self, name: str, dataset: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """A training that was killed more often than it is resumed by itself is resumed by its owner."""
        body = {
            "name": name,
            "dataset": dataset["id"],
            "initial_weights": "scratch",
            "device": "cpu",
            "hyperparameters": {**self.plan.hyperparameters, "logging_steps": 1},
        }
        made = self.console.make("trainings", name, lambda: self.console.client.post("trainings/", body))
        for _try in range(TRIES):
            with self.ledger.job("training", name) as job:
                found = self.ended("trainings", made, "COMPLETE", job)
                if job.outcome != REASON:
                    figures = {"metrics": found["metrics"], "test_metrics": found["test_metrics"]}
                    self._same("figures", figures)
                    return figures, found
            self.console.act(f"trainings/{made['id']}/resume/")
        raise Wrong(LOST, f"{name}: not trained after {TRIES} resumes")

    def model(self, name: str, training: dict[str, Any]) -> dict[str, Any]:
        body = {"name": name, "training": training["id"]}
        for _try in range(TRIES):
            with self.ledger.job("model", name) as job:
                made = self.console.make("models", name, lambda: self.console.client.post("models/", body))
                found = self.ended("models", made, "ACTIVE", job)
                if job.outcome != REASON:
                    if not found["metrics"].items() <= training["metrics"].items():
                        raise Wrong(DIFFERS, f"the model says {found['metrics']}, its training {training['metrics']}")
                    return found
            self.forget(found)
        raise Wrong(LOST, f"{name}: no model after {TRIES} tries")

    def deployment(self, name: str, model: dict[str, Any]) -> tuple[dict[str, Any], Any]:
        body = {"name": name, "model": model["id"], "access": "open"}
        for _try in range(TRIES):
            with self.ledger.job("deployment", name) as job:
                made = self.console.make("endpoints", name, lambda: self.console.client.post("endpoints/", body))
                found = self.ended("endpoints", made, "ACTIVE", job)
                if job.outcome != REASON:
                    answer = answer_of(self.console, found["url"], "", self.image)
                    self._same("answer", answer, alike)
                    return found, answer
            self.forget(found)
        raise Wrong(LOST, f"{name}: not deployed after {TRIES} tries")

    def ended(self, kind: str, made: dict[str, Any], wanted: str, job: Job) -> dict[str, Any]:
        """Wait for the end. A failure whose reason is true is written down; any other is a loss."""
        found = self.console.ended(f"{kind}/{made['id']}/", wanted)
        if found["status"] != wanted:
            reason = str(found.get("status_reason") or "")
            if not any(word in reason for word in KILLED):
                raise Wrong(LOST, f"{found['status']}: {reason or 'no reason'}")
            job.outcome, job.note = REASON, reason
            self.ledger.say(f"{job.kind} {job.name}: {found['status']}: {reason.splitlines()[0]}")
        return found

    def forget(self, *made: dict[str, Any]) -> None:
        """Delete, in this order."""
        for row in made:
            with self.ledger.job("deletion", row["name"]):
                self.console.delete(row["address"])

    def _same(self, what: str, value: Any, equal: Callable[[Any, Any], bool] = eq) -> None:
        """As in the first journey, as far as that went."""
        expected = getattr(self.reference, what, None)
        if expected is not None and not equal(value, expected):
            raise Wrong(DIFFERS, f"{what}: {str(value)[:LONGEST]} instead of {str(expected)[:LONGEST]}")


def alike(one: Any, other: Any) -> bool:
    """Whether two answers are equal, as far as two fp32 runtimes agree that add up in another order: 999 of 1000 pixels
    of the class maps, the corners of a box to a pixel, a score to three places."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(alike(one[name], other[name]) for name in one)
    if isinstance(one, list) and isinstance(other, list):
        if are_class_maps(one) and are_class_maps(other):
            return np.shape(one) == np.shape(other) and float(np.equal(one, other).mean()) >= 0.999
        return len(one) == len(other) and all(map(alike, one, other))
    if isinstance(one, int | float) and isinstance(other, int | float):
        return abs(one - other) <= (1 if isinstance(one, int) else 1e-3)
    return bool(one == other)


def are_class_maps(answer: list[Any]) -> bool:
    """Lists in lists in a list: nothing else that a stage answers is so deep."""
    return bool(answer) and all(isinstance(rows, list) and rows and isinstance(rows[0], list) for rows in answer)


class Caller:
    """Calls one stage that stays: its answer is right, or there is none yet."""

    def __init__(self, console: Patient, ledger: Ledger, *, url: str, key: str, image: bytes) -> None:
        self.console, self.ledger = console, ledger
        self.stage = (url, key, image)
        self.expected = answer_of(console, *self.stage)

    def until(self, stop: Event) -> None:
        number = 0
        while not stop.is_set():
            number += 1
            try:
                with self.ledger.job("call", str(number)):
                    answer = answer_of(self.console, *self.stage)
                    if not alike(answer, self.expected):
                        raise Wrong(DIFFERS, f"answer: {str(answer)[:LONGEST]} instead of {self.expected}")
            except Wrong:
                continue
            stop.wait(0.2)


def answer_of(console: Patient, url: str, key: str, image: bytes) -> Any:
    return _rounded(console.until(url, lambda: console.client.infer(url, [image], key)))


def _rounded(answer: Any) -> Any:
    """Scores to five places: threads may add up in another order."""
    if isinstance(answer, float):
        return round(answer, 5)
    if isinstance(answer, dict):
        return {name: _rounded(value) for name, value in answer.items()}
    return [_rounded(value) for value in answer] if isinstance(answer, list) else answer

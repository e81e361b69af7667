"""The metrics of a training or a model as the pages show them: charts while it runs, tables when it is done."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from training import algorithms
from training.algorithms.base import Algorithm, Metric, gettext_noop
from training.algorithms.object_detection.spec import UNDEFINED
from training.models import Training

Points = list[tuple[int, float]]
MOST_POINTS = 800  # a series has no more than these on the page: the screen is not wider
COCO = re.compile(r"(?P<kind>A[PR])-IoU=(?P<iou>[\d.:]+)-area=(?P<area>\w+)-maxDets=(?P<dets>\d+)")


@dataclass(frozen=True)
class Result:
    """One row of the result table. The values are None when the split was not evaluated."""

    label: str
    text: str
    validation: float | None
    test: float | None


@dataclass(frozen=True)
class ClassResults:
    """The per-class metrics: `columns` are (metric, split) headings, `rows` a class's name and its values."""

    columns: list[tuple[str, str]]
    rows: list[tuple[str, list[float | None]]]


def label(name: str) -> str:
    """A metric's name for a narrow place: "AP 0.50:0.95, small" for COCO's long ones, else the name itself."""
    found = COCO.fullmatch(name)
    if not found:
        return name
    tail = "" if found["dets"] == "100" else f", {found['dets']}"
    return f"{found['kind']} {found['iou']}, {found['area']}{tail}"


def value_of(metrics: Mapping[str, float] | None, name: str) -> float | None:
    """A metric's value, whether it is stored under its own name or under that of the log, `eval_<name>`.

    None when there is none: COCO's figure about objects that do not occur is stored, but it is no value.
    """
    value = (metrics or {}).get(name, (metrics or {}).get(f"eval_{name}"))
    return None if value == UNDEFINED and COCO.fullmatch(name) else value


def main_metric(source: Any) -> tuple[str, float | None]:
    """The one figure that stands for a training or a model in a list: of the test split when it has one."""
    name = algorithms.get(source.algorithm).best_metric
    test = value_of(source.test_metrics, name)
    return label(name), test if test is not None else value_of(source.metrics, name)


def results(source: Any) -> list[Result]:
    """The result table of a training or a model: the loss, then the algorithm's metrics in its own order."""
    loss = Metric("loss", gettext_noop("What the training makes small: an error, 0 at best."))
    plain = [metric for metric in algorithms.get(source.algorithm).metrics if not metric.per_class]
    rows = []
    for metric in (loss, *plain):
        validation = value_of(source.metrics, _stored(metric, "eval_loss"))
        test = value_of(source.test_metrics, _stored(metric, "test_loss"))
        if validation is not None or test is not None:
            rows.append(Result(label(metric.name), gettext(metric.text), validation, test))
    return rows


def _stored(metric: Metric, loss: str) -> str:
    """A metric's name where a split's figures are stored: there the loss has a name of its own."""
    return loss if metric.name == "loss" else metric.name


def class_results(source: Any) -> ClassResults | None:
    """The metrics that have a value for each class, or None when the algorithm has none or they are not there yet."""
    names = [metric.name for metric in algorithms.get(source.algorithm).metrics if metric.per_class]
    splits = [(_("Validation"), source.metrics or {}), (_("Test"), source.test_metrics or {})]
    tables = [(name, title, _by_class(values, name)) for name in names for title, values in splits]
    tables = [table for table in tables if table[2]]
    if not tables:
        return None
    classes = dict.fromkeys(name for *_heading, values in tables for name in values)
    columns = [(name, str(title)) for name, title, _values in tables]
    return ClassResults(columns, [(one, [values.get(one) for *_heading, values in tables]) for one in classes])


def _by_class(metrics: Mapping[str, float], name: str) -> dict[str, float]:
    prefixes = (f"{name}/", f"eval_{name}/")
    found = {}
    for key, value in metrics.items():
        for prefix in prefixes:
            if key.startswith(prefix):
                found[key.removeprefix(prefix)] = value
    return found


def charts(training: Training) -> list[dict[str, Any]]:
    """What static/js/charts.js draws: loss, metrics, learning rate, and a chart for each per-class metric."""
    series: dict[str, Points] = {}
    for name, step, value in training.points.order_by("step").values_list("name", "step", "value"):
        if value != UNDEFINED or not COCO.fullmatch(name.removeprefix("eval_")):
            series.setdefault(name, []).append((step, value))
    drawn = []
    for title, names in _groups(algorithms.get(training.algorithm), series):
        there = [_series(name, text, series[name]) for name, text in names if name in series]
        if there:
            drawn.append({"title": str(title), "series": there})
    return drawn


def _groups(spec: Algorithm, series: Iterable[str]) -> Iterable[tuple[Any, list[tuple[str, Any]]]]:
    """-> (title, [(name of the series, label)])"""
    yield _("Loss"), [("loss", _("training")), ("eval_loss", _("validation"))]
    plain = [metric.name for metric in spec.metrics if not metric.per_class]
    kinds = {name: COCO.fullmatch(name) for name in plain}
    for title, kind in ((_("Average precision"), "AP"), (_("Average recall"), "AR"), (_("Validation metrics"), "")):
        mine = [name for name, found in kinds.items() if (found["kind"] if found else "") == kind]
        yield title, [(f"eval_{name}", label(name)) for name in mine]
    yield _("Learning rate"), [("learning_rate", _("learning rate"))]
    for metric in (metric for metric in spec.metrics if metric.per_class):
        prefix = f"eval_{metric.name}/"
        yield metric.name, [(name, name.removeprefix(prefix)) for name in series if name.startswith(prefix)]


def _series(name: str, text: Any, points: Points) -> dict[str, Any]:
    return {"name": name, "label": str(text), "points": thin(points)}


def thin(points: Points, most: int = MOST_POINTS) -> Points:
    """At most about `most` of the points, evenly spread, the last always among them."""
    if len(points) <= most:
        return points
    stride = -(-len(points) // most)
    kept = points[::stride]
    return kept if kept[-1] == points[-1] else [*kept, points[-1]]

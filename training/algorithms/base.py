"""What an algorithm is: hyperparameters, dataset layout, metrics. Knows neither Django nor torch.

`spec.py` of each algorithm builds one `Algorithm` from these parts. The form, the REST API and the
trainer all read that one object, so a default or a range is written down exactly once.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any


def gettext_noop(text: str) -> str:
    """Mark `text` for translation. The page translates it when it is shown (see `Message`)."""
    return text


@dataclass(frozen=True)
class Message:
    """A sentence for a person: an English template and its parameters.

    Stored as JSON, so that the same reason can be shown in the reader's language later. A parameter may be a
    Message too: the reason within a reason.
    """

    text: str
    params: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.text % self.params if self.params else self.text

    def as_json(self) -> dict[str, Any]:
        params = {name: v.as_json() if isinstance(v, Message) else v for name, v in self.params.items()}
        return {"text": self.text, "params": params}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Message":
        given = value.get("params") or {}
        params = {name: cls.from_json(v) if isinstance(v, Mapping) else v for name, v in given.items()}
        return cls(value["text"], params)


NAMED = 20  # files that one problem names


@dataclass(frozen=True)
class Problem:
    """One thing found in a dataset: what, where, and (in the message) how to mend it.

    `code` is stable and meant for programs; `level` is "error", "warning" or "fact";
    `file` is the path inside the zip, "" when the problem concerns the whole zip. `files` are further files
    concerned, or all of a group (at most `NAMED` of them; the message has the count). `mend` is the code of the mend
    that repairs it in a new version of the dataset, "" when only a person can.
    """

    code: str
    message: Message
    file: str = ""
    level: str = "error"
    files: tuple[str, ...] = ()
    mend: str = ""

    def as_json(self) -> dict[str, Any]:
        return {
            "code": self.code,
            "level": self.level,
            "file": self.file,
            "files": list(self.files),
            "mend": self.mend,
            "message": str(self.message),
            **self.message.as_json(),
        }


def written(number: float) -> str:
    """As a person writes it: 0.00001, not 1e-05."""
    return f"{Decimal(repr(number)).normalize():f}"


@dataclass(frozen=True)
class Hyperparameter:
    """One hyperparameter of the guide: [minimum ~ maximum], no upper limit when `maximum` is None.

    `usual` is the range in which the value normally trains well; it never blocks, it only hints.
    """

    name: str
    type: type[int] | type[float]
    default: int | float
    minimum: int | float
    text: str
    maximum: int | float | None = None
    usual: tuple[float, float] | None = None

    @property
    def range_text(self) -> str:
        return f"[{self.minimum} ~ {'∞)' if self.maximum is None else f'{self.maximum}]'}"

    def clean(self, value: Any) -> int | float:
        """Return `value` as this hyperparameter's type. Raises ValueError(Message) naming the range."""
        names = {"name": self.name, "range": self.range_text}
        number = self._number(value)
        if number is None:
            wanted = (
                gettext_noop("%(name)s must be a whole number in %(range)s.")
                if self.type is int
                else gettext_noop("%(name)s must be a number in %(range)s.")
            )
            raise ValueError(Message(wanted, names))
        if number < self.minimum or (self.maximum is not None and number > self.maximum):
            raise ValueError(
                Message(
                    gettext_noop("%(name)s is %(value)s, outside its range %(range)s."),
                    {**names, "value": f"{number}"},
                )
            )
        return number

    def _number(self, value: Any) -> int | float | None:
        """A finite number of this type, or None. Strings are refused: the form parses them first."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            return None
        try:
            number = float(value)
        except OverflowError:  # a whole number of hundreds of digits, which JSON can spell: as good as infinity
            return None
        if not math.isfinite(number):
            return None
        if self.type is int:
            return int(value) if number.is_integer() else None
        return number

    def hint(self, value: int | float) -> Message | None:
        """Say when `value` is allowed but unlikely to train well."""
        if self.usual is None or self.usual[0] <= value <= self.usual[1]:
            return None
        return Message(
            gettext_noop("%(value)s is unlikely to train well: usual values lie between %(low)s and %(high)s."),
            {"value": written(value), "low": written(self.usual[0]), "high": written(self.usual[1])},
        )


# The two that every algorithm of the guide has alike.
SAVE_STEPS = Hyperparameter("save_steps", int, 500, 1, gettext_noop("A checkpoint is saved every so many steps."))
LOGGING_STEPS = Hyperparameter(
    "logging_steps", int, 10, 1, gettext_noop("Loss and learning rate are logged every so many steps.")
)


@dataclass(frozen=True)
class Metric:
    """A metric as TensorBoard, the job page and the model name it. `per_class`: one series a class."""

    name: str
    text: str
    per_class: bool = False


@dataclass(frozen=True)
class Pretrained:
    """Where the initial weights come from: a hub repository, or a folder of this name on site."""

    repository: str
    revision: str = "main"

    @property
    def folder(self) -> str:
        return self.repository.rpartition("/")[2]


@dataclass(frozen=True)
class Algorithm:
    """One of the guide's algorithms. `splits` maps each split to whether it is required."""

    key: str
    name: str
    architecture: str
    text: str
    pretrained: Pretrained
    hyperparameters: tuple[Hyperparameter, ...]
    metrics: tuple[Metric, ...]
    splits: Mapping[str, bool]
    layout: str
    best_metric: str

    def defaults(self) -> dict[str, int | float]:
        return {h.name: h.default for h in self.hyperparameters}

    def clean(self, values: Mapping[str, Any] | None) -> tuple[dict[str, int | float], dict[str, Message]]:
        """Fill in defaults and check. -> (values of every hyperparameter, errors by name)."""
        if values is not None and not isinstance(values, Mapping):
            return self.defaults(), {"hyperparameters": Message(gettext_noop("Hyperparameters must be an object."))}
        given, cleaned, errors = dict(values or {}), self.defaults(), {}
        for h in self.hyperparameters:
            if h.name not in given:
                continue
            try:
                cleaned[h.name] = h.clean(given.pop(h.name))
            except ValueError as error:
                errors[h.name] = error.args[0]
        known = ", ".join(h.name for h in self.hyperparameters)
        for name in given:
            errors[str(name)] = Message(
                gettext_noop("%(name)s is not a hyperparameter of %(algorithm)s. Known: %(known)s."),
                {"name": str(name), "algorithm": self.name, "known": known},
            )
        return cleaned, errors

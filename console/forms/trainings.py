"""The form of a new training. Its hyperparameters come from the algorithm's specification."""

from collections.abc import Iterable, Mapping
from typing import Any

from django import forms
from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import transaction
from django.urls import reverse
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from console.forms.base import ServiceForm
from console.templatetags.console import message
from models_registry.models import Model
from models_registry.services import model_weights_folder
from training import algorithms
from training.algorithms.base import Algorithm, Hyperparameter, written
from training.models import Dataset, Experiment, Priority, Project, Training
from training.services import experiment_create, training_checkpoints, training_create
from training.services.training_fields import LONGEST_PATIENCE

PREFIX = "hyperparameters."
WEIGHTS = [
    ("auto", _("Automatic: pretrained if available, else from scratch")),
    ("pretrained", _("Pretrained")),
    ("scratch", _("From scratch")),
]
AGAIN = {
    "hx-trigger": "change",
    "hx-include": "#form",
    "hx-disabled-elt": "#depends",
    "hx-params": "not csrfmiddlewaretoken",
    "hx-target": "#depends",
    "hx-select": "#depends",
    "hx-swap": "outerHTML",
}
DEVICES = [("auto", _("Automatic")), ("cpu", _("CPU")), ("cuda", _("GPU (CUDA)"))]


class HyperparameterField(forms.Field):
    """A number of the specification. Empty means its default; what is wrong is said by name, with the range."""

    widget = forms.TextInput

    def __init__(self, parameter: Hyperparameter) -> None:
        super().__init__(required=False, label=parameter.name, help_text=_(parameter.text))
        self.parameter = parameter
        self.initial = written(parameter.default)
        attrs = {"inputmode": "decimal", "autocomplete": "off", "placeholder": self.initial, "class": "font-monospace"}
        self.widget.attrs.update(attrs | self._hint())

    def _hint(self) -> dict[str, str]:
        """What static/js/trainform.js needs to say the same as Hyperparameter.hint while the value is typed."""
        usual = self.parameter.usual
        if usual is None:
            return {}
        text = gettext("%(value)s is unlikely to train well: usual values lie between %(low)s and %(high)s.")
        low, high = (written(bound) for bound in usual)
        hint = text % {"value": "%(value)s", "low": low, "high": high}
        return {"data-low": low, "data-high": high, "data-hint": hint}

    def clean(self, value: Any) -> int | float:
        text = str(value if value is not None else "").strip()
        if not text:
            return self.parameter.default
        try:
            number: Any = float(text) if self.parameter.type is float else int(text)
        except ValueError:
            number = text  # the specification says what is wrong with it
        try:
            return self.parameter.clean(number)
        except ValueError as error:
            raise ValidationError(message(error.args[0].as_json())) from error


class TrainingForm(ServiceForm):
    """`algorithm` decides which datasets, models, checkpoints and hyperparameters there are; None: not chosen yet."""

    name = forms.CharField(label=_("Name"), max_length=50)
    description = forms.CharField(label=_("Description"), max_length=255, required=False)
    experiment = forms.ModelChoiceField(
        Experiment.objects.none(), label=_("Experiment"), required=False, empty_label=_("No experiment")
    )
    new_experiment = forms.CharField(
        label=_("or a new one"), max_length=50, required=False, help_text=_("Its name; it is added with the training.")
    )
    algorithm = forms.ChoiceField(label=_("Algorithm"), choices=algorithms.CHOICES, widget=forms.RadioSelect)
    dataset = forms.ModelChoiceField(Dataset.objects.none(), label=_("Dataset"), empty_label=_("Choose a dataset"))
    initial_weights = forms.ChoiceField(label=_("Initial weights"), required=False)
    checkpoint = forms.ChoiceField(label=_("Checkpoint to start from"), required=False)
    device = forms.ChoiceField(label=_("Device"), choices=DEVICES, required=False)
    timeout_minutes = forms.IntegerField(
        label=_("Maximum time, in minutes"), min_value=1, max_value=settings.LONGEST_TRAINING_MINUTES, initial=1440
    )
    early_stopping = forms.IntegerField(
        label=_("Early stopping, in epochs"), min_value=0, max_value=LONGEST_PATIENCE, initial=0, required=False,
        help_text=_("End after so many epochs without a better validation figure. The best epoch is the model. 0: off"),
    )  # fmt: skip
    priority = forms.TypedChoiceField(
        label=_("Priority"), choices=Priority.choices, coerce=int, empty_value=None, initial=0, required=False,
        help_text=_("In the queue a higher priority comes first, then the older training."),
    )  # fmt: skip

    def __init__(self, *args: Any, project: Project, algorithm: Algorithm | None, **kwargs: Any) -> None:
        self.project, self.spec = project, algorithm
        known = algorithm.hyperparameters if algorithm else ()
        parameters = {f"{PREFIX}{h.name}": HyperparameterField(h) for h in known}
        self.base_fields = {**self.base_fields, **parameters}  # type: ignore[misc]  # this form's own, not the class's
        super().__init__(*args, **kwargs)
        self._field("experiment").queryset = Experiment.objects.filter(project=project).order_by("name")
        self._datasets()
        self._starts()
        if not algorithm:  # choosing a dataset then chooses its algorithm: what depends on that comes again
            self.fields["dataset"].widget.attrs |= {"hx-get": reverse("training_create", args=[project.pk]), **AGAIN}

    def _field(self, name: str) -> Any:
        return self.fields[name]

    def _datasets(self) -> None:
        """The READY ones of the algorithm. Before it is chosen: all, grouped by it, since a dataset chooses its own."""
        field = self._field("dataset")
        ready = Dataset.objects.filter(project=self.project, status=Dataset.Status.READY).order_by("name")
        field.queryset = ready.filter(algorithm=self.spec.key) if self.spec else ready
        if not self.spec:
            named = [(name, ready.filter(algorithm=key)) for key, name in algorithms.CHOICES]
            groups = [(name, [(d.pk, d.name) for d in found]) for name, found in named if found]
            field.widget.choices = [("", field.empty_label), *groups]

    @property
    def no_dataset(self) -> bool:
        return not self._field("dataset").queryset.exists()

    def _starts(self) -> None:
        """Where the weights may come from: the fixed choices, the project's models, and checkpoints of trainings."""
        key = self.spec.key if self.spec else ""
        models = Model.objects.filter(project=self.project, algorithm=key, status=Model.Status.ACTIVE)
        own = [(model.pk, model.name) for model in models]
        self._field("initial_weights").choices = [*WEIGHTS, *([(_("Models of this project"), own)] if own else [])]
        checkpoints = training_checkpoints(project=self.project, algorithm=key)
        self._field("checkpoint").choices = [("", _("None")), *((c["id"], c["label"]) for c in checkpoints)]

    def parameters(self) -> Iterable[tuple[forms.BoundField, Hyperparameter, str]]:
        """Each hyperparameter's bound field with its specification and the hint for the value that it shows."""
        for name, field in self.fields.items():
            if isinstance(field, HyperparameterField):
                yield self[name], field.parameter, self._hint(field, self[name].value())

    @staticmethod
    def _hint(field: HyperparameterField, value: Any) -> str:
        try:
            found = field.parameter.hint(field.clean(value))
        except ValidationError:
            return ""  # the field's error says more
        return message(found.as_json()) if found else ""

    def create(self, user: Any) -> Training | None:
        return self.call(self._create, user=user)

    @transaction.atomic
    def _create(self, user: Any) -> Training:
        """The new experiment and the training, or neither."""
        values = self.cleaned_data
        weights = values["initial_weights"] or "auto"
        model = Model.objects.filter(project=self.project, pk=weights).first()
        return training_create(
            project=self.project,
            user=user,
            **{key: values[key] for key in ("name", "description", "dataset", "algorithm", "checkpoint")},
            hyperparameters=self._hyperparameters(),
            initial_weights=weights,
            weights_folder=model_weights_folder(model=model) if model else "",
            experiment=self._experiment(user),
            device=values["device"] or "auto",
            timeout_minutes=values["timeout_minutes"],
            priority=values["priority"] or 0,
            early_stopping=values["early_stopping"] or 0,
        )

    def _hyperparameters(self) -> dict[str, Any]:
        """Those of the form, and what else was sent as one, for the service to refuse it by name."""
        sent = {name: value for name, value in self.data.items() if name.startswith(PREFIX)}
        known = {name: value for name, value in self.cleaned_data.items() if name.startswith(PREFIX)}
        return {name.removeprefix(PREFIX): value for name, value in {**sent, **known}.items()}

    def _experiment(self, user: Any) -> Experiment | None:
        name = self.cleaned_data["new_experiment"]
        if not name:
            chosen: Experiment | None = self.cleaned_data["experiment"]
            return chosen
        try:
            return experiment_create(project=self.project, user=user, name=name)
        except ValidationError as error:
            raise ValidationError({"new_experiment": error.messages}) from error


def chosen_algorithm(project: Project, values: Mapping[str, Any]) -> Algorithm | None:
    """The algorithm that a form's values name, else that of the dataset they name, else the only one with a dataset."""
    if values.get("algorithm") in algorithms.PACKAGES:
        return algorithms.get(values["algorithm"])
    ready = Dataset.objects.filter(project=project, status=Dataset.Status.READY)
    if values.get("dataset"):
        ready = ready.filter(pk=values["dataset"])
    keys = set(ready.values_list("algorithm", flat=True))
    return algorithms.get(keys.pop()) if len(keys) == 1 else None


def initial(values: Mapping[str, Any], algorithm: Algorithm | None) -> dict[str, Any]:
    """What a form begins with: values of a query string, or of a training that is copied.

    Hyperparameters are left out when they were shown for another algorithm: they take the new one's defaults.
    """
    given = values.get("hyperparameters")
    known = given if isinstance(given, Mapping) else {}  # a query string may hold anything
    nested = {f"{PREFIX}{name}": written(value) for name, value in known.items()}
    flat = {key: value for key, value in values.items() if key != "hyperparameters"} | nested
    key = algorithm.key if algorithm else ""
    if flat.get("shown_algorithm", key) != key:
        flat = {name: value for name, value in flat.items() if not name.startswith(PREFIX)}
    return flat | {"algorithm": key}

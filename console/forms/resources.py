"""Changing what a stage serves: another model, other engines."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from console.forms.base import ServiceForm
from endpoints import host
from endpoints.models import StageResource
from models_registry.models import Model


class ReplaceForm(ServiceForm):
    """Another of the project's ACTIVE models of the same algorithm; the present one takes a replacement back."""

    model = forms.ModelChoiceField(Model.objects.none(), label=_("Model"), empty_label=_("Choose a model"))

    def __init__(self, *args: Any, resource: StageResource, **kwargs: Any) -> None:
        super().__init__(*args, auto_id=f"id_%s_of_{resource.pk}", **kwargs)
        fitting = Model.objects.filter(
            project=resource.stage.project_id, algorithm=resource.model.algorithm, status=Model.Status.ACTIVE
        )
        if resource.next_model_id is None:
            fitting = fitting.exclude(pk=resource.model_id)
        field = self.fields["model"]
        assert isinstance(field, forms.ModelChoiceField)
        field.queryset = fitting.order_by("name")


class EnginesForm(ServiceForm):
    """Ranges are the service's business."""

    replicas = forms.IntegerField(
        label=_("Engines"), help_text=_("They share the calls. 0: as many as pay on this machine.")
    )
    batch_size = forms.IntegerField(
        label=_("Images in a batch"), required=False, help_text=_("At most so many at once. Empty: as measured.")
    )
    batch_window_ms = forms.FloatField(
        label=_("Wait for a batch (ms)"),
        required=False,
        help_text=_("How long a first image waits for others. Empty: as measured."),
    )

    def __init__(self, *args: Any, resource: StageResource, **kwargs: Any) -> None:
        present = {name: getattr(resource, name) for name in ("replicas", "batch_size", "batch_window_ms")}
        super().__init__(*args, auto_id=f"id_%s_of_{resource.pk}", initial=present, **kwargs)


@dataclass
class Setup:
    """What the page shows of one resource, and the forms that change it."""

    resource: StageResource
    replace: ReplaceForm
    engines: EnginesForm

    @classmethod
    def of(cls, resource: StageResource) -> "Setup":
        return cls(resource, ReplaceForm(resource=resource), EnginesForm(resource=resource))

    @property
    def wrong(self) -> bool:
        return bool(self.replace.errors or self.engines.errors)

    @property
    def ready(self) -> int:
        return len(self.resource.sockets)

    @property
    def wanted(self) -> int:
        return host.replicas(self.resource)


def setups(resources: Iterable[StageResource], wrong: Setup | None = None) -> list[Setup]:
    """`wrong`: that of the resource whose forms were refused, with what is wrong."""
    return [wrong if wrong and wrong.resource.pk == row.pk else Setup.of(row) for row in resources]

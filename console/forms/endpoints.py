from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from console.forms.base import ServiceForm
from endpoints.models import Access
from models_registry.models import Model
from training.models import Project

PATH_HELP = _("What follows the stage URL in a call.")


class _ServingForm(ServiceForm):
    """A form that chooses one of the project's ACTIVE models."""

    def __init__(self, *args: Any, project: Project, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["model"]
        assert isinstance(field, forms.ModelChoiceField)
        field.queryset = Model.objects.filter(project=project, status=Model.Status.ACTIVE).order_by("name")


class EndpointForm(_ServingForm):
    name = forms.CharField(label=_("Name"), max_length=50)
    model = forms.ModelChoiceField(Model.objects.none(), label=_("Model"), empty_label=_("Choose a model"))
    access = forms.ChoiceField(
        label=_("Who may call it"),
        choices=[(Access.KEY, _("Whoever has a key")), (Access.OPEN, _("Everybody who reaches this server"))],
        initial=Access.KEY,
        help_text=_("With a key, the first one is made for you and shown once. More can be added later."),
    )
    resource_path = forms.CharField(
        label=_("Resource path"), max_length=100, initial="/inference", required=False, help_text=PATH_HELP
    )
    description = forms.CharField(label=_("Description"), max_length=255, required=False)


class StageForm(_ServingForm):
    name = forms.CharField(label=_("Name"), max_length=30, help_text=_("Lowercase letters and digits, at most 30."))
    model = forms.ModelChoiceField(Model.objects.none(), label=_("Model"), empty_label=_("Choose a model"))
    resource_path = forms.CharField(
        label=_("Resource path"), max_length=100, initial="/inference", required=False, help_text=PATH_HELP
    )
    description = forms.CharField(label=_("Description"), max_length=255, required=False)


class ResourceForm(_ServingForm):
    """A second model on a stage."""

    model = forms.ModelChoiceField(Model.objects.none(), label=_("Model"), empty_label=_("Choose a model"))
    path = forms.CharField(
        label=_("Resource path"), max_length=100, help_text=_("Another one than those that the stage has already.")
    )

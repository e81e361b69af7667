from django import forms
from django.utils.translation import gettext_lazy as _

from console.forms.base import ServiceForm
from training.models import Project, Training


class ModelForm(ServiceForm):
    """A new model. Only a COMPLETE training makes one."""

    name = forms.CharField(label=_("Name"), max_length=50)
    training = forms.ModelChoiceField(Training.objects.none(), label=_("Training"), empty_label=_("Choose a training"))
    description = forms.CharField(label=_("Description"), max_length=255, required=False)

    def __init__(self, *args: object, project: Project, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["training"]
        assert isinstance(field, forms.ModelChoiceField)
        field.queryset = Training.objects.filter(project=project, status=Training.Status.COMPLETE)

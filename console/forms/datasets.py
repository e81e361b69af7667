from pathlib import PurePath

from django import forms
from django.utils.translation import gettext_lazy as _

from console.forms.base import ServiceForm
from training import algorithms


class DatasetForm(ServiceForm):
    algorithm = forms.ChoiceField(label=_("Algorithm"), choices=algorithms.CHOICES, widget=forms.RadioSelect)
    file = forms.FileField(label=_("Zip file"), widget=forms.FileInput({"accept": ".zip,application/zip"}))
    name = forms.CharField(
        label=_("Name"), max_length=50, required=False, help_text=_("The file's name when you leave it empty.")
    )
    description = forms.CharField(label=_("Description"), max_length=255, required=False)

    def clean(self) -> dict[str, object]:
        values = super().clean() or {}
        if not values.get("name") and values.get("file"):
            values["name"] = PurePath(values["file"].name).stem[:50]
        return values

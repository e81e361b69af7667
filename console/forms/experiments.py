from django import forms
from django.utils.translation import gettext_lazy as _

from console.forms.base import ServiceForm


class ExperimentForm(ServiceForm):
    name = forms.CharField(label=_("Name"), max_length=50)
    description = forms.CharField(label=_("Description"), max_length=255, required=False)

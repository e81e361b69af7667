from django import forms
from django.utils.translation import gettext_lazy as _

from console.forms.base import ServiceForm
from training import algorithms


class ImportForm(ServiceForm):
    kind = forms.CharField(widget=forms.HiddenInput)
    where = forms.CharField(required=False, widget=forms.HiddenInput)
    algorithm = forms.ChoiceField(label=_("Algorithm"), choices=[("", _("Choose an algorithm")), *algorithms.CHOICES])
    name = forms.CharField(
        label=_("Name"),
        max_length=50,
        required=False,
        help_text=_("The folder's or the file's when you leave it empty."),
    )
    description = forms.CharField(label=_("Description"), max_length=255, required=False)

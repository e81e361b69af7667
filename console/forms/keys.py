"""What can be said of a key of an endpoint."""

from datetime import datetime, time, timedelta

from django import forms
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from console.forms.base import ServiceForm

GRACES = {  # seconds that the old key stays valid
    "0": _("At once"),
    "3600": _("In an hour"),
    "86400": _("In a day"),
    "604800": _("In 7 days"),
}


class _Limited(ServiceForm):
    calls_per_minute = forms.IntegerField(
        label=_("Calls per minute"), required=False, min_value=1, help_text=_("Empty: any number.")
    )


class LimitForm(_Limited):
    pass


class KeyForm(_Limited):
    name = forms.CharField(label=_("Name of the new key"), max_length=50)
    expires_at = forms.DateField(
        label=_("Last day"),
        required=False,
        widget=forms.DateInput(attrs={"type": "date"}),
        help_text=_("Empty: it does not expire."),
    )
    field_order = ("name", "expires_at", "calls_per_minute")

    def clean_expires_at(self) -> datetime | None:
        """The end of that day."""
        day = self.cleaned_data["expires_at"]
        return timezone.make_aware(datetime.combine(day + timedelta(days=1), time.min)) if day else None


class RotateForm(ServiceForm):
    grace = forms.ChoiceField(choices=GRACES)

    def clean_grace(self) -> timedelta:
        return timedelta(seconds=int(self.cleaned_data["grace"]))

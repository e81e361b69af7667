"""What can be said of a key of an endpoint."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import Any

from django import forms
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from console.forms.base import ServiceForm
from endpoints.models import EndpointKey

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
    def __init__(self, *args: Any, key: EndpointKey, **kwargs: Any) -> None:
        present = {"calls_per_minute": key.calls_per_minute}
        super().__init__(*args, auto_id=f"id_%s_of_{key.prefix}", initial=present, **kwargs)


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
        """The last second of that day, so that the page names the day that was chosen."""
        day = self.cleaned_data["expires_at"]
        return timezone.make_aware(datetime.combine(day, time(23, 59, 59))) if day else None


class RotateForm(ServiceForm):
    grace = forms.ChoiceField(label=_("A new key; the old one is refused:"), choices=GRACES)

    def __init__(self, *args: Any, key: EndpointKey, **kwargs: Any) -> None:
        super().__init__(*args, auto_id=f"id_%s_of_{key.prefix}", **kwargs)

    def clean_grace(self) -> timedelta:
        return timedelta(seconds=int(self.cleaned_data["grace"]))


@dataclass
class Line:
    """A key on the page, and the forms that change it."""

    key: EndpointKey
    limit: LimitForm
    rotate: RotateForm

    @classmethod
    def of(cls, key: EndpointKey) -> "Line":
        return cls(key, LimitForm(key=key), RotateForm(key=key))

    @property
    def wrong(self) -> bool:
        return bool(self.limit.errors or self.rotate.errors)


def lines(keys: Iterable[EndpointKey], wrong: Line | None = None) -> list[Line]:
    """`wrong`: that of the key whose forms were refused, with what is wrong."""
    return [wrong if wrong and wrong.key.pk == key.pk else Line.of(key) for key in keys]

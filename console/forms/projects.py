from typing import Any

from django import forms
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AbstractBaseUser
from django.core.exceptions import ValidationError
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from console.forms.base import ServiceForm
from training.models import Role
from training.retention import MOST_DAYS


class ProjectForm(ServiceForm):
    name = forms.CharField(label=_("Name"), max_length=50)
    description = forms.CharField(label=_("Description"), max_length=255, required=False)


class MemberForm(ServiceForm):
    username = forms.CharField(label=_("Username"), max_length=150, widget=forms.TextInput({"autocomplete": "off"}))
    role = forms.ChoiceField(label=_("Role"), choices=Role.choices, initial=Role.EDITOR)

    def clean_username(self) -> AbstractBaseUser:
        name = self.cleaned_data["username"]
        user = get_user_model().objects.filter(username=name, is_active=True).first()
        if user is None:
            raise ValidationError(gettext("There is nobody with the username %(name)s."), params={"name": name})
        return user


def _days(label: Any, lost: Any) -> forms.IntegerField:
    number = forms.NumberInput({"placeholder": _("for ever")})
    return forms.IntegerField(
        label=label, required=False, min_value=1, max_value=MOST_DAYS, widget=number, help_text=lost
    )


class RetentionForm(ServiceForm):
    """Days that ended trainings keep each; empty: for ever."""

    logs = _days(_("Logs (days)"), _("What is lost: the log, line by line. Status, reason, figures and events stay."))
    tensorboard = _days(
        _("TensorBoard (days)"),
        _("What is lost: the TensorBoard page. The charts of the training's own page stay."),
    )
    checkpoints = _days(
        _("Checkpoints (days)"),
        _(
            "What is lost: new trainings cannot start from them, and a failed training that is resumed starts anew. "
            "A stopped training keeps its newest one."
        ),
    )


class TokenForm(ServiceForm):
    days = forms.TypedChoiceField(
        label=_("Valid for"),
        coerce=int,
        choices=((30, _("30 days")), (90, _("90 days")), (365, _("One year")), (0, _("Until it is revoked"))),
        initial=90,
    )

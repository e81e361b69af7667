"""Starting a rollout from the endpoint's page."""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from console.forms.base import ServiceForm
from endpoints.models import Endpoint, RolloutMode, Stage

MODES = [
    (RolloutMode.CANARY, _("Canary: it answers its share of the calls")),
    (RolloutMode.SHADOW, _("Shadow: it gets copies, and callers notice nothing")),
]


class RolloutForm(ServiceForm):
    """`candidates`: whether there is a stage that can be tried at all."""

    stage = forms.ModelChoiceField(Stage.objects.none(), label=_("Stage"), empty_label=_("Choose a stage"))
    mode = forms.ChoiceField(label=_("Mode"), choices=MODES, initial=RolloutMode.CANARY)
    share = forms.IntegerField(label=_("Share of the calls (%)"), initial=10, min_value=1, max_value=100)
    automatic = forms.BooleanField(
        label=_("Promote it, or roll it back, by itself"),
        required=False,
        help_text=_("It becomes the default stage if it keeps these limits, and gets no more calls if it does not."),
    )
    min_calls = forms.IntegerField(label=_("Decide after (calls)"), initial=100, min_value=1)
    max_error_percent = forms.FloatField(
        label=_("Highest error rate (%)"),
        initial=1,
        min_value=0,
        max_value=100,
        widget=forms.NumberInput({"step": "any"}),
    )
    max_p95_ms = forms.FloatField(
        label=_("Highest p95 (ms)"), required=False, min_value=1, help_text=_("Empty: however long it takes.")
    )

    def __init__(self, *args: Any, endpoint: Endpoint, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["stage"]
        assert isinstance(field, forms.ModelChoiceField)
        active = endpoint.stages.filter(status=Stage.Status.ACTIVE)
        field.queryset = active.exclude(pk=endpoint.default_stage_id).order_by("name")
        self.candidates = field.queryset.exists()

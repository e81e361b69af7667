"""Figures of trainings and models in templates."""

from json import dumps
from typing import Any

from django import template
from django.utils.formats import number_format
from django.utils.translation import gettext

from console import results
from training.algorithms.base import written
from training.algorithms.palette import as_hex, ink, palette

register = template.Library()


@register.simple_tag
def main_metric(source: Any) -> tuple[str, float | None]:
    """(name, value) of the one figure that stands for a training or a model."""
    return results.main_metric(source)


def rounded(value: float, digits: int) -> str:
    """In the reader's notation. Django's number_format alone cuts digits off."""
    return number_format(round(value, digits), digits)


@register.filter
def figure(value: float | None) -> str:
    """A metric's value with four digits after the point; a dash when there is none."""
    return "–" if value is None else rounded(value, 4)


@register.filter
def typed(value: float | None) -> str:
    """A hyperparameter's value as a person would type it: 0.0002, not 0.0002000."""
    return "–" if value is None else written(value)


@register.filter
def translated(text: str) -> str:
    """A specification's text in the reader's language."""
    return gettext(text) if text else ""


@register.filter
def share(value: float | None) -> str:
    """A share from 0 to 1 as a percentage. Cut after two digits, so that only all of it is 100 %."""
    if value is None:
        return "–"
    percent = value * 100
    digits = 0 if percent == int(percent) else 2
    return f"{number_format(percent, digits)} %"


@register.filter
def scientific(value: float | None) -> str:
    """A small number as 1.2e-06; a dash when there is none."""
    return "–" if value is None else f"{value:.1e}"


@register.filter
def milliseconds(value: float | None) -> str:
    """A time to answer: 8.3 ms, 120 ms, 2.4 s; a dash when there is none."""
    if value is None:
        return "–"
    if value >= 1000:
        return f"{rounded(value / 1000, 1)} s"
    return f"{rounded(value, 1 if value < 10 else 0)} ms"


@register.filter
def coloured(labels: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A model's labels, each with the colour that the previews of its dataset have for it, and that of text on it."""
    return [
        {**label, "colour": as_hex(colour), "ink": as_hex(ink(colour))}
        for label, colour in zip(labels, palette(len(labels)), strict=True)
    ]


@register.filter
def json(value: Any) -> str:
    """For a data attribute that a script reads."""
    return dumps(value, ensure_ascii=False)

"""What templates say of engines and their figures."""

from datetime import datetime

from django import template

register = template.Library()

RUNTIMES = {"onnxruntime": "ONNX Runtime", "openvino": "OpenVINO", "torch": "PyTorch"}


@register.filter
def runtime_name(name: str) -> str:
    """As its makers write it."""
    return RUNTIMES.get(name, name)


@register.filter
def moment(text: str) -> datetime:
    """The time that a JSON field holds in ISO 8601."""
    return datetime.fromisoformat(text)

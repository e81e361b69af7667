"""`GET algorithms/`: what can be trained, with every hyperparameter's default and range."""

from typing import Any

from django.utils.translation import gettext
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, viewsets
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from training import algorithms
from training.algorithms.base import Algorithm, Hyperparameter


class HyperparameterSerializer(serializers.Serializer):
    name = serializers.CharField()
    type = serializers.ChoiceField(choices=["int", "float"])
    default = serializers.FloatField()
    minimum = serializers.FloatField()
    maximum = serializers.FloatField(allow_null=True, help_text="null: no upper limit")
    range = serializers.CharField(help_text="the guide's notation, [4 ~ ∞)")
    usual = serializers.ListField(
        child=serializers.FloatField(), allow_null=True, help_text="the range that normally trains well"
    )
    text = serializers.CharField()


class MetricSerializer(serializers.Serializer):
    name = serializers.CharField()
    per_class = serializers.BooleanField()
    text = serializers.CharField()


class AlgorithmSerializer(serializers.Serializer):
    key = serializers.CharField()
    name = serializers.CharField()
    architecture = serializers.CharField()
    text = serializers.CharField()
    hyperparameters = HyperparameterSerializer(many=True)
    dataset_layout = serializers.CharField()
    splits = serializers.DictField(child=serializers.BooleanField(), help_text="{split: whether it is required}")
    metrics = MetricSerializer(many=True)


class AlgorithmViewSet(viewsets.ViewSet):
    """What can be trained."""

    lookup_field = "key"
    lookup_value_regex = r"\w+"

    @extend_schema(responses=AlgorithmSerializer(many=True))
    def list(self, request: Request) -> Response:
        """All of them: a plain list, there are only a few."""
        return Response([_algorithm(algorithm) for algorithm in algorithms.all_algorithms()])

    @extend_schema(responses=AlgorithmSerializer)
    def retrieve(self, request: Request, key: str) -> Response:
        if key not in algorithms.PACKAGES:
            raise NotFound
        return Response(_algorithm(algorithms.get(key)))


def _algorithm(algorithm: Algorithm) -> dict[str, Any]:
    return {
        "key": algorithm.key,
        "name": gettext(algorithm.name),
        "architecture": algorithm.architecture,
        "text": gettext(algorithm.text),
        "hyperparameters": [_hyperparameter(h) for h in algorithm.hyperparameters],
        "dataset_layout": algorithm.layout,
        "splits": dict(algorithm.splits),
        "metrics": [{"name": m.name, "per_class": m.per_class, "text": gettext(m.text)} for m in algorithm.metrics],
    }


def _hyperparameter(h: Hyperparameter) -> dict[str, Any]:
    return {
        "name": h.name,
        "type": h.type.__name__,
        "default": h.default,
        "minimum": h.minimum,
        "maximum": h.maximum,
        "range": h.range_text,
        "usual": h.usual,
        "text": gettext(h.text),
    }

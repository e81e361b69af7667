"""Trainings: create, follow, stop, resume."""

from collections import defaultdict
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.http import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from console import space
from console.api.base import OwnedViewSet
from console.api.logs import log_answer
from console.api.space import FreedSerializer
from console.api.training_fields import (
    EventSerializer,
    PrioritySerializer,
    SeriesSerializer,
    TrainingCreateSerializer,
    TrainingRowSerializer,
    TrainingSerializer,
)
from models_registry.models import Model
from models_registry.services import model_weights_folder
from training import services
from training.models import Experiment, Project, Training


class TrainingViewSet(OwnedViewSet):
    """Trainings of a project, newest first."""

    queryset = Training.objects.select_related("created_by", "experiment", "dataset")
    serializer_class = TrainingSerializer
    row_serializer_class = TrainingRowSerializer
    filters = {"status": "status", "algorithm": "algorithm", "dataset": "dataset", "experiment": "experiment"}
    ordering_fields = (*OwnedViewSet.ordering_fields, "algorithm", "started_at", "finished_at")

    @extend_schema(request=TrainingCreateSerializer, responses={201: TrainingSerializer})
    def create(self, request: Request) -> Response:
        """Queue a training. `name` and `dataset` suffice; hyperparameters that are left out take their default."""
        body = self.body(TrainingCreateSerializer)
        project = self.project_for(body, refers_to=body["dataset"])
        algorithm = body.get("algorithm") or body["dataset"].algorithm
        body["weights_folder"] = _weights_folder(project, algorithm, body.get("initial_weights", ""))
        with transaction.atomic():  # a refused training leaves no new experiment behind
            body["experiment"] = _experiment(project, request.user, body.get("experiment", ""))
            training = services.training_create(project=project, user=request.user, **body)
        return self.answer(training, status=201)

    @extend_schema(request=PrioritySerializer, responses=TrainingSerializer)
    def partial_update(self, request: Request, pk: str) -> Response:
        """Change the priority of a queued training. 409 when it has begun."""
        training = self.get_object()
        services.training_set_priority(training=training, user=request.user, **self.body(PrioritySerializer))
        return self.answer(training)

    def destroy(self, request: Request, pk: str) -> Response:
        """409 names the models that were made of it, or says that it has not ended."""
        services.training_delete(training=self.get_object(), user=request.user)
        return Response(status=204)

    @extend_schema(responses={200: FreedSerializer})
    @action(detail=True, methods=["delete"])
    def checkpoints(self, request: Request, pk: str) -> Response:
        """Delete the checkpoints of an ended training. 409 names the trainings that are to start from them."""
        training = self.get_object()
        freed = services.training_checkpoints_delete(training=training, user=request.user)
        space.forget(training.project)
        return Response(FreedSerializer({"freed_bytes": freed}).data)

    @extend_schema(request=None, responses=TrainingSerializer)
    @action(detail=True, methods=["post"])
    def stop(self, request: Request, pk: str) -> Response:
        """Ask for a stop. A running training saves a checkpoint first."""
        training = self.get_object()
        services.training_stop(training=training, user=request.user)
        return self.answer(training)

    @extend_schema(request=None, responses=TrainingSerializer)
    @action(detail=True, methods=["post"])
    def resume(self, request: Request, pk: str) -> Response:
        """Queue a stopped or failed training again, from its newest checkpoint."""
        training = self.get_object()
        services.training_resume(training=training, user=request.user)
        return self.answer(training)

    @extend_schema(
        parameters=[
            OpenApiParameter("offset", int, description="Leave out so many bytes. X-Next-Offset says how to go on."),
            OpenApiParameter("tail", int, description="Only the last so many lines."),
        ],
        responses={(200, "text/plain"): OpenApiTypes.STR},
    )
    @action(detail=True)
    def log(self, request: Request, pk: str) -> HttpResponseBase:
        """The trainer's log as text."""
        return log_answer(request, self.get_object().log_path)

    @extend_schema(responses=SeriesSerializer)
    @action(detail=True)
    def metrics(self, request: Request, pk: str) -> Response:
        """Every series that was logged, as [step, value] pairs, and the epoch of every step."""
        series: dict[str, list[list[float]]] = defaultdict(list)
        epochs: dict[int, float] = {}
        rows = self.get_object().points.order_by("step").values_list("name", "step", "epoch", "value")
        for name, step, epoch, value in rows.iterator():
            series[name].append([step, value])
            epochs[step] = epoch
        return Response({"series": series, "epochs": [[step, epoch] for step, epoch in epochs.items()]})

    @extend_schema(responses=EventSerializer(many=True), filters=False)
    @action(detail=True)
    def events(self, request: Request, pk: str) -> Response:
        """What happened to it, newest first."""
        page = self.paginate_queryset(self.get_object().events().select_related("actor"))
        return self.get_paginated_response(EventSerializer(page, many=True, context={"request": request}).data)


def _experiment(project: Project, user: Any, given: str) -> Experiment | None:
    """The experiment of that id or name; a name that is new makes one, as the form does in place."""
    if not given:
        return None
    mine = Experiment.objects.filter(project=project)
    known = mine.filter(pk=given).first() or mine.filter(name=given.strip()).first()
    try:
        return known or services.experiment_create(project=project, user=user, name=given)
    except ValidationError as error:  # the body's "name" is the training's
        raise ValidationError({"experiment": error.messages}) from error


def _weights_folder(project: Project, algorithm: str, initial_weights: str) -> str:
    """The folder of the model that `initial_weights` names; "" when it names no ACTIVE model of that algorithm."""
    mine = Model.objects.filter(project=project, algorithm=algorithm, status=Model.Status.ACTIVE)
    model = mine.filter(pk=initial_weights).first()
    return model_weights_folder(model=model) if model else ""

"""Experiments: groups of trainings."""

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from console.api.base import CreateSerializer, OwnedSerializer, OwnedViewSet
from training import services
from training.models import Experiment


class ExperimentSerializer(OwnedSerializer):
    class Meta:
        model = Experiment
        fields = OwnedSerializer.OWNED


class ExperimentViewSet(OwnedViewSet):
    """Experiments of a project, newest first."""

    queryset = Experiment.objects.select_related("created_by")
    serializer_class = ExperimentSerializer
    filters = {"status": "status"}

    @extend_schema(request=CreateSerializer, responses={201: ExperimentSerializer})
    def create(self, request: Request) -> Response:
        body = self.body(CreateSerializer)
        project = self.project_for(body)
        return self.answer(services.experiment_create(project=project, user=request.user, **body), status=201)

    def destroy(self, request: Request, pk: str) -> Response:
        """409 names the trainings that are in the way."""
        services.experiment_delete(experiment=self.get_object(), user=request.user)
        return Response(status=204)

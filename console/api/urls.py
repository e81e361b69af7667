"""Everything under /api/v1/. A missing slash at the end is forgiven; an unknown path is an error of the API's shape."""

from django.urls import URLPattern, URLResolver, include, path, re_path
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView
from rest_framework.decorators import api_view
from rest_framework.routers import SimpleRouter

from console.api.algorithms import AlgorithmViewSet
from console.api.datasets import DatasetViewSet
from console.api.endpoints import EndpointViewSet, StageViewSet
from console.api.errors import not_found
from console.api.experiments import ExperimentViewSet
from console.api.keys import KeyViewSet
from console.api.models import ModelViewSet
from console.api.projects import ProjectViewSet
from console.api.rollouts import RolloutViewSet
from console.api.space import SpaceView
from console.api.trainings import TrainingViewSet
from console.tus import UploadsView, UploadView

router = SimpleRouter()
router.trailing_slash = "/?"
router.register("algorithms", AlgorithmViewSet, basename="api-algorithm")
router.register("projects", ProjectViewSet, basename="api-project")
router.register("datasets", DatasetViewSet, basename="api-dataset")
router.register("experiments", ExperimentViewSet, basename="api-experiment")
router.register("trainings", TrainingViewSet, basename="api-training")
router.register("models", ModelViewSet, basename="api-model")
router.register("endpoints", EndpointViewSet, basename="api-endpoint")
router.register("rollouts", RolloutViewSet, basename="api-rollout")
router.register("stages", StageViewSet, basename="api-stage")
router.register("keys", KeyViewSet, basename="api-key")

nothing_here = api_view(["GET", "POST", "PUT", "PATCH", "DELETE"])(not_found)
nothing_here.cls.schema = None

urlpatterns: list[URLPattern | URLResolver] = [
    path("schema/", SpectacularAPIView.as_view(), name="api-schema"),
    re_path(r"^space/?$", SpaceView.as_view(), name="api-space"),
    path("docs/", SpectacularSwaggerSplitView.as_view(url_name="api-schema"), name="api-docs"),
    re_path(r"^datasets/upload/?$", UploadsView.as_view(), name="api-uploads"),
    re_path(r"^datasets/upload/(?P<pk>[^/]+)/?$", UploadView.as_view(), name="api-upload"),
    path("", include(router.urls)),
    re_path(r"", nothing_here),
]

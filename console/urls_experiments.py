from django.urls import path

from console.views import experiments

urlpatterns = [
    path("projects/<str:project>/experiments/", experiments.experiments, name="experiments"),
    path("projects/<str:project>/experiments/new/", experiments.experiment_create, name="experiment_create"),
    path("projects/<str:project>/experiments/<str:pk>/", experiments.experiment, name="experiment"),
    path(
        "projects/<str:project>/experiments/<str:pk>/delete/", experiments.experiment_delete, name="experiment_delete"
    ),
]

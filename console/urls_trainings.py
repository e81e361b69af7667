from django.urls import path

from console.views import tensorboard, trainings

urlpatterns = [
    path("projects/<str:project>/trainings/", trainings.trainings, name="trainings"),
    path("projects/<str:project>/trainings/new/", trainings.training_create, name="training_create"),
    path("projects/<str:project>/trainings/<str:pk>/", trainings.training, name="training"),
    path("projects/<str:project>/trainings/<str:pk>/copy/", trainings.training_copy, name="training_copy"),
    path("projects/<str:project>/trainings/<str:pk>/stop/", trainings.training_stop, name="training_stop"),
    path("projects/<str:project>/trainings/<str:pk>/resume/", trainings.training_resume, name="training_resume"),
    path("projects/<str:project>/trainings/<str:pk>/priority/", trainings.training_priority, name="training_priority"),
    path("projects/<str:project>/trainings/<str:pk>/delete/", trainings.training_delete, name="training_delete"),
    path("projects/<str:project>/trainings/<str:pk>/log/", trainings.training_log, name="training_log"),
    path("projects/<str:project>/trainings/<str:pk>/metrics/", trainings.training_metrics, name="training_metrics"),
    path("projects/<str:project>/trainings/<str:pk>/tensorboard/", tensorboard.proxy, name="tensorboard"),
    path(
        "projects/<str:project>/trainings/<str:pk>/tensorboard/<path:path>", tensorboard.proxy, name="tensorboard_path"
    ),
]

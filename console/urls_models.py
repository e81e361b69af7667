from django.urls import path

from console.views import models

urlpatterns = [
    path("projects/<str:project>/models/", models.models, name="models"),
    path("projects/<str:project>/models/new/", models.model_create, name="model_create"),
    path("projects/<str:project>/models/<str:pk>/", models.model, name="model"),
    path("projects/<str:project>/models/<str:pk>/download/", models.model_download, name="model_download"),
    path("projects/<str:project>/models/<str:pk>/delete/", models.model_delete, name="model_delete"),
]

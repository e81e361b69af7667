from django.urls import path

from console.views import datasets, imports

urlpatterns = [
    path("projects/<str:project>/datasets/", datasets.datasets, name="datasets"),
    path("projects/<str:project>/datasets/new/", datasets.dataset_create, name="dataset_create"),
    path("projects/<str:project>/datasets/import/", imports.dataset_import, name="dataset_import"),
    path("projects/<str:project>/datasets/sample/", datasets.dataset_sample, name="dataset_sample"),
    path("projects/<str:project>/datasets/<str:pk>/", datasets.dataset, name="dataset"),
    path("projects/<str:project>/datasets/<str:pk>/delete/", datasets.dataset_delete, name="dataset_delete"),
    path("projects/<str:project>/datasets/<str:pk>/check/", datasets.dataset_check, name="dataset_check"),
    path("projects/<str:project>/datasets/<str:pk>/mend/", datasets.dataset_mend, name="dataset_mend"),
    path("projects/<str:project>/datasets/<str:pk>/image/", datasets.dataset_image, name="dataset_image"),
]

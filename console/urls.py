"""Every area of the console has its own list of routes: console/urls_<area>.py."""

from django.urls import URLPattern, URLResolver, include, path

from console import health, metrics

handler500 = "console.failures.server_error"
urlpatterns: list[URLPattern | URLResolver] = [
    path("healthz", health.healthz, name="healthz"),
    path("readyz", health.readyz, name="readyz"),
    path("metrics", metrics.metrics, name="metrics"),
    path("api/v1/", include("console.api.urls")),
    path("", include("console.urls_account")),
    path("", include("console.urls_projects")),
    path("", include("console.urls_datasets")),
    path("", include("console.urls_experiments")),
    path("", include("console.urls_trainings")),
    path("", include("console.urls_models")),
    path("", include("console.urls_endpoints")),
]

from django.urls import path

from console.views import dashboard, projects, space

urlpatterns = [
    path("", dashboard.home, name="home"),
    path("projects/new/", projects.project_create, name="project_create"),
    path("projects/<str:project>/", dashboard.dashboard, name="dashboard"),
    path("projects/<str:project>/settings/", projects.project_settings, name="project_settings"),
    path("projects/<str:project>/settings/retention/", projects.retention_set, name="retention_set"),
    path("projects/<str:project>/space/", space.page, name="space"),
    path("projects/<str:project>/space/logs/delete/", space.logs_delete, name="logs_delete"),
    path("projects/<str:project>/space/<str:pk>/delete/", space.checkpoints_delete, name="checkpoints_delete"),
    path("projects/<str:project>/members/", projects.member_set, name="member_set"),
    path("projects/<str:project>/members/<int:user>/remove/", projects.member_remove, name="member_remove"),
]

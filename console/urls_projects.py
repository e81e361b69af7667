from django.urls import path

from console.views import dashboard, projects

urlpatterns = [
    path("", dashboard.home, name="home"),
    path("projects/new/", projects.project_create, name="project_create"),
    path("projects/<str:project>/", dashboard.dashboard, name="dashboard"),
    path("projects/<str:project>/settings/", projects.project_settings, name="project_settings"),
    path("projects/<str:project>/members/", projects.member_set, name="member_set"),
    path("projects/<str:project>/members/<int:user>/remove/", projects.member_remove, name="member_remove"),
]

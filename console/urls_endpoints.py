from django.urls import path

from console.views import capacity, endpoints, figures, keys, logs, resources, rollouts, stages, tryit

ENDPOINT = "projects/<str:project>/endpoints/<str:pk>/"
STAGES = "projects/<str:project>/endpoints/<str:endpoint>/stages/"
STAGE = f"{STAGES}<str:pk>/"

urlpatterns = [
    path("projects/<str:project>/endpoints/", endpoints.endpoints, name="endpoints"),
    path("projects/<str:project>/endpoints/new/", endpoints.endpoint_create, name="endpoint_create"),
    path(ENDPOINT, endpoints.endpoint, name="endpoint"),
    path(f"{ENDPOINT}delete/", endpoints.endpoint_delete, name="endpoint_delete"),
    path(f"{ENDPOINT}default/<str:stage>/", endpoints.endpoint_default, name="endpoint_default"),
    path(f"{ENDPOINT}keys/", keys.key_create, name="key_create"),
    path(f"{ENDPOINT}keys/<str:prefix>/limit/", keys.key_limit, name="key_limit"),
    path(f"{ENDPOINT}keys/<str:prefix>/rotate/", keys.key_rotate, name="key_rotate"),
    path(f"{ENDPOINT}keys/<str:prefix>/revoke/", keys.key_revoke, name="key_revoke"),
    path(f"{ENDPOINT}rollouts/", endpoints.rollout_start, name="rollout_start"),
    path(f"{ENDPOINT}rollouts/<str:rollout>/", rollouts.rollout, name="rollout"),
    path(f"{ENDPOINT}rollouts/<str:rollout>/promote/", rollouts.rollout_promote, name="rollout_promote"),
    path(f"{ENDPOINT}rollouts/<str:rollout>/roll-back/", rollouts.rollout_roll_back, name="rollout_roll_back"),
    path(f"{ENDPOINT}rollouts/<str:rollout>/end/", rollouts.rollout_end, name="rollout_end"),
    path(f"{STAGES}new/", stages.stage_create, name="stage_create"),
    path(STAGE, stages.stage, name="stage"),
    path(f"{STAGE}delete/", stages.stage_delete, name="stage_delete"),
    path(f"{STAGE}redeploy/", stages.stage_redeploy, name="stage_redeploy"),
    path(f"{STAGE}resources/", stages.resource_add, name="resource_add"),
    path(f"{STAGE}resources/<str:resource>/model/", resources.resource_replace, name="resource_replace"),
    path(f"{STAGE}resources/<str:resource>/engines/", resources.resource_configure, name="resource_configure"),
    path(f"{STAGE}resources/<str:resource>/log/", logs.resource_log, name="resource_log"),
    path(f"{STAGE}resources/<str:resource>/log/file/", logs.resource_log_file, name="resource_log_file"),
    path(f"{STAGE}resources/<str:resource>/capacity/", capacity.capacity, name="capacity"),
    path(f"{STAGE}resources/<str:resource>/capacity/measure/", capacity.capacity_measure, name="capacity_measure"),
    path(f"{STAGE}try/", tryit.stage_try, name="stage_try"),
    path(f"{STAGE}input.json", tryit.stage_input, name="stage_input"),
    path(f"{STAGE}sample/", tryit.stage_sample, name="stage_sample"),
    path(f"{STAGE}statistics/", figures.stage_statistics, name="stage_statistics"),
    path(f"{STAGE}images/", figures.stage_keep_images, name="stage_keep_images"),
    path(f"{STAGE}requests/<int:record>/image/", figures.stage_request_image, name="stage_request_image"),
]

"""Everything that changes an endpoint, a stage or a key: see docs/contracts.md."""

from endpoints.figures import stage_statistics
from endpoints.services.capacity import capacities_order, capacity_measure
from endpoints.services.endpoints import endpoint_create, endpoint_delete, endpoint_refresh, endpoint_set_default
from endpoints.services.images import stage_keep_images
from endpoints.services.keys import key_create, key_limit_set, key_revoke, key_rotate
from endpoints.services.logs import rotated_logs_delete
from endpoints.services.resources import resource_configure, resource_replace
from endpoints.services.rollouts import rollout_end, rollout_promote, rollout_roll_back, rollout_start
from endpoints.services.stages import resource_add, stage_create, stage_delete, stage_redeploy, stage_remove

__all__ = [
    "capacities_order",
    "capacity_measure",
    "endpoint_create",
    "endpoint_delete",
    "endpoint_refresh",
    "endpoint_set_default",
    "key_create",
    "key_limit_set",
    "key_revoke",
    "key_rotate",
    "resource_add",
    "resource_configure",
    "resource_replace",
    "rollout_end",
    "rollout_promote",
    "rollout_roll_back",
    "rollout_start",
    "rotated_logs_delete",
    "stage_create",
    "stage_delete",
    "stage_keep_images",
    "stage_redeploy",
    "stage_remove",
    "stage_statistics",
]

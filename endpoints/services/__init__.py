"""Everything that changes an endpoint, a stage or a key: see docs/contracts.md."""

from endpoints.services.capacity import capacities_order, capacity_measure
from endpoints.services.endpoints import endpoint_create, endpoint_delete, endpoint_refresh, endpoint_set_default
from endpoints.services.keys import key_create, key_revoke
from endpoints.services.logs import rotated_logs_delete
from endpoints.services.stages import resource_add, stage_create, stage_delete, stage_redeploy, stage_remove
from endpoints.statistics import stage_statistics

__all__ = [
    "capacities_order",
    "capacity_measure",
    "endpoint_create",
    "endpoint_delete",
    "endpoint_refresh",
    "endpoint_set_default",
    "key_create",
    "key_revoke",
    "resource_add",
    "rotated_logs_delete",
    "stage_create",
    "stage_delete",
    "stage_redeploy",
    "stage_remove",
    "stage_statistics",
]

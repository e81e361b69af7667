"""Everything that changes a project, a dataset, an experiment or a training: see docs/contracts.md."""

from training.services.datasets import (
    dataset_can_check,
    dataset_check,
    dataset_create,
    dataset_create_sample,
    dataset_delete,
)
from training.services.experiments import experiment_create, experiment_delete
from training.services.files import training_checkpoints_delete
from training.services.imports import dataset_import
from training.services.mending import dataset_mend, dataset_mends, dataset_versions
from training.services.projects import member_remove, member_set, project_create, project_retention_set
from training.services.training_fields import training_checkpoints
from training.services.training_queue import (
    training_expected_start,
    training_places,
    training_position,
    training_set_priority,
)
from training.services.trainings import (
    training_copy_values,
    training_create,
    training_delete,
    training_resume,
    training_stop,
)
from training.services.uploads import dataset_upload_append, dataset_upload_begin, dataset_upload_finish

__all__ = [
    "dataset_can_check",
    "dataset_check",
    "dataset_create",
    "dataset_create_sample",
    "dataset_delete",
    "dataset_import",
    "dataset_mend",
    "dataset_mends",
    "dataset_upload_append",
    "dataset_upload_begin",
    "dataset_upload_finish",
    "dataset_versions",
    "experiment_create",
    "experiment_delete",
    "member_remove",
    "member_set",
    "project_create",
    "project_retention_set",
    "training_checkpoints",
    "training_checkpoints_delete",
    "training_copy_values",
    "training_create",
    "training_delete",
    "training_expected_start",
    "training_places",
    "training_position",
    "training_resume",
    "training_set_priority",
    "training_stop",
]

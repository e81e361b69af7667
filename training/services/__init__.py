"""Everything that changes a project, a dataset, an experiment or a training: see docs/contracts.md."""

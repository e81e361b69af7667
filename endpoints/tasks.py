"""What a worker runs, called by dotted name."""

from endpoints import capacity


def capacity_measure(resource_id: str) -> None:
    capacity.measure(resource_id)

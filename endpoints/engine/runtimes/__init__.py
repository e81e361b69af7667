"""What runs the network. `choose` takes the fastest runtime that may answer; each imports its library when made."""

from endpoints.engine.runtimes.choice import Choice, choose

__all__ = ["Choice", "choose"]

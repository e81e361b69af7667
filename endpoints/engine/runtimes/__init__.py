"""What runs the network. `choose` takes the fastest runtime that may answer; each imports its library when made."""

from endpoints.engine.runtimes.choice import SLOW_MS, Choice, choose

__all__ = ["SLOW_MS", "Choice", "choose"]

"""The sums of a rollout, Rollout.figures: what both sides answered, how fast, and how often they agreed.

{"default": {"calls", "errors", "latencies"}, "candidate": {the same}, "compared": n, "agreed": n, "dropped": n}, each
part there once it was counted. `latencies` is a histogram as in `statistics`; calls that failed are not in it.
"""

from collections.abc import Mapping
from typing import Any

from endpoints.statistics import percentile

Seen = dict[str, Any]
SIDES = ("default", "candidate")


def add(total: Seen, more: Mapping[str, Any]) -> None:
    """Add figures to others, in place."""
    for name, value in more.items():
        if isinstance(value, Mapping):
            add(total.setdefault(name, {}), value)
        else:
            total[name] = total.get(name, 0) + value


def summary(figures: Mapping[str, Any]) -> dict[str, Any]:
    """For people: {"default": {"calls", "errors", "error_percent", "p50", "p95", "p99" (ms)}, "candidate": {the same},
    "compared", "agreed", "agreed_percent", "dropped"}; None for what nothing was counted of."""
    compared, agreed = figures.get("compared", 0), figures.get("agreed", 0)
    return {
        **{side: _side(figures.get(side, {})) for side in SIDES},
        "compared": compared,
        "agreed": agreed,
        "agreed_percent": round(100 * agreed / compared, 1) if compared else None,
        "dropped": figures.get("dropped", 0),
    }


def _side(sums: Mapping[str, Any]) -> dict[str, Any]:
    calls, errors, latencies = sums.get("calls", 0), sums.get("errors", 0), sums.get("latencies", {})
    return {
        "calls": calls,
        "errors": errors,
        "error_percent": round(100 * errors / calls, 2) if calls else None,
        **{f"p{share}": percentile(latencies, share / 100) for share in (50, 95, 99)},
    }

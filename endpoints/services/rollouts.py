"""Rollouts: a stage is tried beside the default one, and becomes the default by hand or by doing well."""

from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from endpoints import rollout_figures, routes
from endpoints.models import Endpoint, Rollout, RolloutMode, Stage
from endpoints.rollout_figures import Seen
from endpoints.services import checks
from endpoints.services.endpoints import endpoint_set_default
from training import lifecycle
from training.algorithms.base import Message, gettext_noop
from training.errors import Conflict

STARTED = {
    RolloutMode.CANARY.value: gettext_noop("%(stage)s answers %(share)s %% of the calls."),
    RolloutMode.SHADOW.value: gettext_noop("%(stage)s gets a copy of %(share)s %% of the calls."),
}


@transaction.atomic
def rollout_start(
    *,
    endpoint: Endpoint,
    user: Any,
    stage: Stage,
    mode: str,
    share: int,
    automatic: bool = False,
    min_calls: int = 100,
    max_error_percent: float = 1.0,
    max_p95_ms: float | None = None,
) -> Rollout:
    """Try `stage` with `share` percent of the calls of the endpoint's own URL: it answers them (canary), or a copy of
    them (shadow). If `automatic`, it is decided after `min_calls` of them.

    Raises ValidationError with every wrong field; Conflict while the stage cannot be tried.
    """
    row = checks.lock(endpoint)
    errors = {
        "mode": [] if mode in RolloutMode.values else [_("Choose canary or shadow.")],
        "share": checks.between(share, 1, 100),
        "min_calls": checks.between(min_calls, 1, 1_000_000),
        "max_error_percent": checks.between(max_error_percent, 0, 100),
        "max_p95_ms": [] if max_p95_ms is None else checks.between(max_p95_ms, 1, 60_000),
    }
    checks.require(errors)
    limits = {"min_calls": min_calls, "max_error_percent": max_error_percent, "max_p95_ms": max_p95_ms}
    tried = {"stage": _candidate(row, stage), "mode": mode, "share": share}
    rollout = Rollout.objects.create(endpoint=row, **tried, automatic=automatic, **limits, created_by=user)
    reason = Message(STARTED[mode], {"stage": rollout.name, "share": share})
    lifecycle.record(rollout, rollout.status, reason=reason, actor=user)
    transaction.on_commit(routes.publish)
    return rollout


def _candidate(endpoint: Endpoint, stage: Stage) -> Stage:
    """The stage's row, if it can be tried now. Raises Conflict."""
    running = endpoint.rollouts.filter(status=Rollout.Status.RUNNING).select_related("stage").first()
    if running:
        text = gettext_noop("A rollout of %(name)s is running already: end it first.")
        raise Conflict(Message(text, {"name": running.name}), [running.stage])
    row = endpoint.stages.select_for_update().filter(pk=stage.pk).first()
    if row is None or row.status != Stage.Status.ACTIVE:
        text = gettext_noop("The stage %(name)s is not ACTIVE, so it cannot be tried.")
        raise Conflict(Message(text, {"name": stage.name}), [stage])
    if row.pk == endpoint.default_stage_id:
        text = gettext_noop("%(name)s is the default stage itself: choose another one to try.")
        raise Conflict(Message(text, {"name": row.name}), [row])
    missing = _missing(endpoint.default_stage, row)
    if missing:
        text = gettext_noop(
            "%(name)s has no model of the same algorithm under %(path)s, where the default stage has one."
        )
        raise Conflict(Message(text, {"name": row.name, "path": missing}), [row])
    return row


def _missing(default: Stage | None, candidate: Stage) -> str:
    """The first path of the default stage that the candidate cannot answer for it, "" if there is none."""
    if default is None:
        return ""
    theirs = set(candidate.resources.values_list("path", "model__algorithm"))
    rows = default.resources.values_list("path", "model__algorithm")
    return next((path for path, algorithm in rows if (path, algorithm) not in theirs), "")


@transaction.atomic
def rollout_promote(*, rollout: Rollout, user: Any) -> None:
    """Make the candidate the default stage. Raises Conflict when it is not ACTIVE, or the rollout has ended."""
    _promote(_running(rollout), user, None)
    rollout.refresh_from_db()


@transaction.atomic
def rollout_roll_back(*, rollout: Rollout, user: Any) -> None:
    """The candidate gets no more calls: it was found wanting. Raises Conflict when the rollout has ended."""
    _end(_running(rollout), Rollout.Status.ROLLED_BACK, user, None)
    rollout.refresh_from_db()


@transaction.atomic
def rollout_end(*, rollout: Rollout, user: Any) -> None:
    """The candidate gets no more calls, and nothing is said about it. Raises Conflict when the rollout has ended."""
    _end(_running(rollout), Rollout.Status.ENDED, user, None)
    rollout.refresh_from_db()


def _running(rollout: Rollout) -> Rollout:
    """The row of a rollout that has not ended. Its endpoint's row is locked first: everybody locks in that order."""
    checks.lock(rollout.endpoint)
    row = Rollout.objects.select_for_update(of=("self",)).select_related("endpoint", "stage").get(pk=rollout.pk)
    if row.status != Rollout.Status.RUNNING:
        text = gettext_noop("The rollout of %(name)s has ended already.")
        raise Conflict(Message(text, {"name": row.name}))
    return row


def _promote(row: Rollout, user: Any, reason: Message | None) -> None:
    endpoint_set_default(endpoint=row.endpoint, stage=row.stage, user=user, why=reason)


def _end(row: Rollout, to: str, user: Any, reason: Message | None) -> None:
    lifecycle.move(row, to, reason=reason, actor=user)
    transaction.on_commit(routes.publish)


def rollout_count(seen: dict[str, Seen]) -> None:
    """Add what was seen of rollouts, {id: figures}, and decide those that decide themselves. What is written is taken
    out of `seen`; what is seen of a rollout that has ended is dropped."""
    for pk in list(seen):
        with transaction.atomic():
            row = _countable(pk)
            if row is not None:
                rollout_figures.add(row.figures, seen[pk])
                row.save(update_fields=["figures", "updated_at"])
                _decide(row)
        del seen[pk]


def rollouts_decide() -> None:
    """Decide every running rollout that decides itself: what a web process that was killed had counted is enough."""
    for pk in Rollout.objects.filter(status=Rollout.Status.RUNNING, automatic=True).values_list("pk", flat=True):
        with transaction.atomic():
            row = _countable(pk)
            if row is not None:
                _decide(row)


def _countable(pk: str) -> Rollout | None:
    rollout = Rollout.objects.select_related("endpoint").filter(pk=pk, status=Rollout.Status.RUNNING).first()
    try:
        return _running(rollout) if rollout else None
    except (Conflict, Rollout.DoesNotExist):  # it ended, or its endpoint is being deleted
        return None


def _decide(row: Rollout) -> None:
    """Promote or roll back when the rule says so. A candidate that is not ACTIVE at the moment is promoted later."""
    found = verdict(row) if row.automatic else None
    if found is None:
        return
    to, reason = found
    if to == Rollout.Status.ROLLED_BACK:
        _end(row, to, None, reason)
    elif row.stage.status == Stage.Status.ACTIVE:
        _promote(row, None, reason)


def verdict(row: Rollout) -> tuple[str, Message] | None:
    """-> what the figures say of the candidate, and why; None while they say nothing yet.

    It is rolled back early once it has more errors than the calls that are waited for could excuse.
    """
    side = rollout_figures.summary(row.figures)["candidate"]
    calls, errors, p95 = side["calls"], side["errors"], side["p95"]
    if errors > row.max_error_percent / 100 * max(calls, row.min_calls):
        text = gettext_noop("%(errors)s of %(calls)s calls failed, more than %(limit)s %%.")
        params = {"errors": errors, "calls": calls, "limit": f"{row.max_error_percent:g}"}
        return Rollout.Status.ROLLED_BACK, Message(text, params)
    if calls < row.min_calls:
        return None
    if row.max_p95_ms is not None and (p95 is None or p95 > row.max_p95_ms):
        text = gettext_noop("The p95 of %(calls)s calls was %(p95)s ms, more than %(limit)s ms.")
        params = {"calls": calls, "p95": "-" if p95 is None else f"{p95:g}", "limit": f"{row.max_p95_ms:g}"}
        return Rollout.Status.ROLLED_BACK, Message(text, params)
    text = gettext_noop("%(errors)s of %(calls)s calls failed, and the p95 was %(p95)s ms.")
    params = {"errors": errors, "calls": calls, "p95": "-" if p95 is None else f"{p95:g}"}
    return Rollout.Status.PROMOTED, Message(text, params)

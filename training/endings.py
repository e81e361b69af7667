"""What an ended attempt makes of its training: COMPLETE, STOPPED, failed, or queued for another attempt."""

from dataclasses import dataclass, field
from typing import Any

from django.conf import settings
from django.utils import timezone

from training.algorithms.base import Message, gettext_noop
from training.lifecycle import allowed, move
from training.models import Training
from training.verdict import Verdict

# A trainer that is quick can be done before its phases were relayed: the steps in between are not skipped.
ON_THE_WAY = {"CREATE_IN_PROGRESS": "RUNNING", "RUNNING": "COMPLETE_IN_PROGRESS"}


@dataclass(frozen=True)
class Ending:
    to: str
    reason: Message | None = None
    fields: dict[str, Any] = field(default_factory=dict)


def conclude(training: Training, verdict: Verdict, interrupted: str, **fields: Any) -> bool:
    """Move `training` to where this attempt leads; `fields` are written with that move.

    `interrupted` is why the runner ended the attempt: "stop", "timeout", "shutdown" or "" (it ended by itself).
    Returns True when another attempt is to follow at once.
    """
    while True:  # a person may ask for a stop at any moment: then it is decided anew
        ending = decide(training, verdict, interrupted)
        if _move_to(training, ending, fields):
            return "attempts" in ending.fields


def decide(training: Training, verdict: Verdict, interrupted: str) -> Ending:
    if verdict.kind == "complete":
        return Ending("COMPLETE")
    if verdict.kind == "failed":
        return Ending(_failed(training), verdict.reason)
    if training.status == "STOP_IN_PROGRESS":
        said = training.status_reason
        return Ending("STOPPED", Message.from_json(said) if said else None)
    if interrupted == "timeout":
        text = gettext_noop("It reached its maximum time (%(minutes)s min).")
        return Ending("FAIL_TRAIN", Message(text, {"minutes": training.timeout_minutes}))
    if interrupted == "shutdown":
        text = gettext_noop("The console was shut down; the training goes on when it starts again.")
        return Ending("CREATE_REQUESTED", Message(text))
    fields = {"settings_used": _half_the_batch(training)} if verdict.kind == "out_of_memory" else {}
    return _resume_or_fail(training, verdict.reason, fields)


def _half_the_batch(training: Training) -> dict[str, Any]:
    """What the next attempt starts from, a batch in twice as many parts: else it would come to the same end."""
    used = training.settings_used
    return {**used, "gradient_accumulation_steps": used.get("gradient_accumulation_steps", 1) * 2}


def _resume_or_fail(training: Training, why: Message | None, fields: dict[str, Any]) -> Ending:
    """After a crash: go on from the newest checkpoint, but not for ever."""
    if training.attempts >= settings.MAX_AUTOMATIC_RESUMES:
        return Ending(_failed(training), why, fields)
    attempts = training.attempts + 1
    text = gettext_noop("It ended unexpectedly and was resumed automatically (%(attempt)s of at most %(most)s times).")
    message = Message(text, {"attempt": attempts, "most": settings.MAX_AUTOMATIC_RESUMES})
    others = [warning for warning in training.warnings if warning["code"] not in ("resumed", "crashed")]
    warnings = [*others, {"code": "resumed", **message.as_json()}]
    if why:
        warnings.append({"code": "crashed", **why.as_json()})
    return Ending("CREATE_REQUESTED", message, {**fields, "attempts": attempts, "warnings": warnings})


def _failed(training: Training) -> str:
    """CREATE_FAILED when it never came to train."""
    return "CREATE_FAILED" if training.status == "CREATE_IN_PROGRESS" and not training.step else "FAIL_TRAIN"


def _move_to(training: Training, ending: Ending, fields: dict[str, Any]) -> bool:
    """False when someone else moved the training meanwhile."""
    while not allowed(training, ending.to):
        if not move(training, ON_THE_WAY[training.status]):
            return False
    over = {} if ending.to == "CREATE_REQUESTED" else {"finished_at": timezone.now(), "phase": ""}
    written = {"eta_seconds": None, **over, **fields, **ending.fields}
    return move(training, ending.to, reason=ending.reason, **written)

"""How an attempt ended: what the trainer's exit, its outcome file and its events say together."""

import signal
from dataclasses import dataclass

from training import disk, memory, runfolder
from training.algorithms.base import Message, gettext_noop
from training.models import Training
from training.processes import ProcessId

EXIT_COMPLETE, EXIT_FAILED, EXIT_STOPPED, EXIT_DISK = 0, 1, 3, 4
OUTCOMES = {"complete": EXIT_COMPLETE, "failed": EXIT_FAILED, "stopped": EXIT_STOPPED}


@dataclass(frozen=True)
class Verdict:
    """`kind`: "complete"; "stopped" (told to, with a checkpoint); "failed" (final); "crashed" (worth a resume);
    "out_of_memory" (worth one with half the batch)."""

    kind: str
    reason: Message | None = None


def judge(training: Training, trainer: ProcessId | None, exit_code: int | None, memory_share: float = 0.0) -> Verdict:
    """`exit_code` is None when the trainer was not this process's child: its outcome file tells, if it got that far.

    `memory_share` is the most, from 0 to 1, that the trainer was seen to hold of the memory that it could have.
    """
    found = runfolder.outcome(training)
    code = OUTCOMES.get(found["outcome"], exit_code) if found else exit_code
    if code == EXIT_COMPLETE:
        if runfolder.model_complete(training):
            return Verdict("complete")
        return Verdict("failed", Message(gettext_noop("The trainer ended without writing the model.")))
    if code == EXIT_STOPPED:
        return Verdict("stopped", Message(gettext_noop("The trainer was told to stop by the system.")))
    own_words = runfolder.failure(training, trainer)
    if code == EXIT_DISK and not own_words:
        own_words = disk.probe(training.folder) or disk.FULL  # the trainer could not write it down
    if own_words or code == EXIT_FAILED:
        return Verdict(
            "failed", own_words or Message(gettext_noop("The trainer failed before it could say why: see the log."))
        )
    if shortage := _shortage(training, code, memory_share):
        return Verdict("out_of_memory", shortage)
    return Verdict("crashed", _crash(code))


def _shortage(training: Training, code: int | None, memory_share: float) -> Message | None:
    """Why it is known, or likely, that a trainer was killed for want of memory; None when nothing says so."""
    if code not in (None, -signal.SIGKILL):
        return None
    if memory.system_killed(training):
        return Message(gettext_noop("The training ran out of memory: the system killed the trainer."))
    if code is not None and memory_share >= memory.NEAR:
        text = gettext_noop(
            "The trainer was killed (SIGKILL) while it held %(percent)s %% of the memory that it could have: most "
            "likely it ran out of memory."
        )
        return Message(text, {"percent": min(100, round(memory_share * 100))})
    return None


def _crash(code: int | None) -> Message:
    """Plain words for an end that the trainer did not choose. Negative codes are signals (see subprocess)."""
    if code == -signal.SIGKILL:
        return Message(
            gettext_noop(
                "The trainer was killed (SIGKILL). Often the machine ran out of memory: try a smaller batch size "
                "or smaller images, or look at the system's log."
            )
        )
    if code is None:
        return Message(gettext_noop("The trainer is gone: it or the whole machine was stopped."))
    if code < 0:
        name = signal.Signals(-code).name
        return Message(gettext_noop("The trainer crashed (%(signal)s): see the log."), {"signal": name})
    return Message(gettext_noop("The trainer ended with exit code %(code)s: see the log."), {"code": code})

"""One training on this host: spawn its trainer, follow it, relay what it says, stop it, judge its end.

The trainer lives in a session of its own and tells everything by files, so a runner may die at any moment:
the next one takes the lease, finds the trainer by pid and start time and goes on following it, or, when
the trainer is gone too, starts it again from its newest checkpoint. A trainer of another host that may still
live, unseen, is fenced off first: see training/trainer/fence.py.
"""

import logging
import os
import secrets
import subprocess
import sys
import time
from functools import partial
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from training import disk, gpus, lease, memory, relay, runfolder, shutdown
from training.algorithms.base import Message, gettext_noop
from training.endings import conclude
from training.lifecycle import move, record
from training.models import MetricPoint, Training
from training.patience import for_now, patiently
from training.processes import ProcessId, end_session, kill_session, leaders_running, spawn_session
from training.verdict import Verdict, judge

logger = logging.getLogger(__name__)
POLL_SECONDS = 0.5


def run(training_id: str) -> bool:
    """Run one training until it has ended or this worker shuts down.

    Returns False, having done nothing, when there is nothing to run or another runner has it.
    """
    training = Training.objects.filter(pk=training_id, status__in=Training.UNFINISHED).first()
    owner = lease.take(training) if training else ""
    if training is None or not owner:
        return False
    hands = Run(training, owner)
    try:
        if training.status in Training.UNFINISHED:
            hands.until_the_end()
    except lease.LeaseLost:
        logger.warning("training %s: another runner has taken it over", training_id)
        hands.let_go()
    finally:
        lease.release(training_id, owner)
    return True


class Run:
    """A training in the hands of the runner that holds its lease."""

    def __init__(self, training: Training, owner: str) -> None:
        self.training = training
        self.owner = owner
        self.child: subprocess.Popen[bytes] | None = None
        self.trainer: ProcessId | None = None
        self.elsewhere: ProcessId | None = None  # the trainer of a host that is gone: known by name only
        self.renewed = time.monotonic()
        self.attempt = ""
        self.memory_share = 0.0  # the most that the trainer held of what it could have

    def until_the_end(self) -> None:
        """Attempt after attempt: each ends the training or is followed by an automatic resume."""
        if self.training.status != "CREATE_REQUESTED":
            self.find_trainer()
        elif not self.start():
            return
        again = True
        while again:
            interrupted = self.follow()
            self.clean_up()
            exit_code = self.child.wait() if self.child else None
            verdict = judge(self.training, self.trainer or self.elsewhere, exit_code, self.memory_share)
            again = patiently(partial(self.end, verdict, interrupted)) and self.start()

    def end(self, verdict: Verdict, interrupted: str) -> bool:
        """Write how the attempt ended. -> whether another follows at once. Raises LeaseLost."""
        self.training.refresh_from_db()  # what a transaction that failed had changed in it
        with transaction.atomic():  # by the one who holds the lease, or not at all
            lease.confirm(self.training.pk, self.owner)
            return conclude(self.training, verdict, interrupted, **self.account())

    def start(self) -> bool:
        """CREATE_REQUESTED -> CREATE_IN_PROGRESS with a trainer. False when it did not come to that."""
        training = self.training
        began = training.started_at or timezone.now()
        if shutdown.requested() or not move(training, "CREATE_IN_PROGRESS", phase="preparing", started_at=began):
            return False  # it stays queued, or it has just been stopped
        self.child = self.trainer = self.elsewhere = None
        self.memory_share = 0.0
        try:
            self.prepare()
            self.renew()  # checksums of large checkpoints take their time
            self.spawn()
        except (OSError, ValueError) as error:
            logger.exception("training %s cannot be started", training.pk)
            text = gettext_noop("The training could not be started: %(error)s")
            conclude(training, Verdict("failed", Message(text, {"error": disk.reason(error) or str(error)})), "")
            return False
        return True

    def prepare(self) -> None:
        """A folder for another attempt. The steps after its checkpoint are trained, and charted, again."""
        training = self.training
        for stray in strays(training):
            kill_session(stray)
        if training.dataset is None or not training.dataset.data_folder.is_dir():
            raise FileNotFoundError(f"the dataset {training.dataset_name} is no longer there")
        self.attempt = secrets.token_hex(8)
        step = runfolder.prepare(training, self.remaining_seconds(), self.attempt)
        memory.note(training)
        relay.rewind(training)
        MetricPoint.objects.filter(training=training, step__gt=step).delete()

    def spawn(self) -> None:
        environment = {**os.environ, "PYTHONUNBUFFERED": "1", "TRAINING_ATTEMPT": self.attempt}
        environment.pop("Q_CLUSTER_NAME", None)
        command = [sys.executable, "-m", "training.trainer", str(self.training.folder)]
        with gpus.choosing():
            environment |= gpus.choose(self.training)
            self.child = spawn_session(command, self.training.log_path, settings.BASE_DIR, environment)
            self.trainer = ProcessId.of(self.child.pid)
            if self.trainer:
                fields = {"pid": self.trainer.pid, "pid_started": self.trainer.started, "host": lease.host_name()}
                Training.objects.filter(pk=self.training.pk).update(**fields)

    def find_trainer(self) -> None:
        """The trainer of the runner that died; it may still be alive, but it is not this process's child."""
        training = self.training
        if training.pid and training.pid_started and training.host not in ("", lease.host_name()):
            self.elsewhere = ProcessId(training.pid, training.pid_started)
        elif training.pid and training.pid_started:
            self.trainer = ProcessId(training.pid, training.pid_started)
        else:  # the runner died between the spawn and the note
            self.trainer = next(iter(strays(training)), None)
        if self.alive():
            reason = Message(gettext_noop("The worker was restarted; the training went on meanwhile."))
            record(training, "reattached", reason=reason)
        else:
            runfolder.fence(training)

    def alive(self) -> bool:
        if self.child is not None:
            return self.child.poll() is None
        return self.trainer is not None and self.trainer.alive()

    def follow(self) -> str:
        """Until the trainer has ended: relay, renew, and end it when that is due.

        Returns why this runner ended it: "stop", "timeout", "shutdown", or "" when it ended by itself.
        """
        why = ""
        while self.alive() and not why:
            self.look()
            why = self.reason_to_end()
            if not why:
                time.sleep(POLL_SECONDS)
        if why and self.trainer:
            end_session(self.trainer, settings.STOP_GRACE_SECONDS, while_waiting=self.look)
        patiently(partial(relay.drain, self.training, self.owner))
        return why

    def look(self) -> None:
        """Reap the trainer if it is a child that has ended, hold the lease, bring the database up to date."""
        self.alive()
        with for_now():
            if time.monotonic() - self.renewed > lease.renew_seconds():
                self.renew()
            relay.drain(self.training, self.owner)
        self.memory_share = max(self.memory_share, memory.share(self.trainer, settings.TRAINER_MEMORY_BYTES))

    def renew(self) -> None:
        """Raises LeaseLost."""
        lease.renew(self.training.pk, self.owner)
        self.renewed = time.monotonic()

    def reason_to_end(self) -> str:
        self.training.refresh_from_db(fields=["status", "status_reason"])
        if self.training.status == "STOP_IN_PROGRESS":
            return "stop"
        if shutdown.requested():
            return "shutdown"
        return "timeout" if self.remaining_seconds() <= 0 else ""

    def remaining_seconds(self) -> float:
        """Of the maximum time, which counts the training itself and not the waiting between attempts."""
        now = time.time() - self.trainer.started if self.trainer else 0.0
        return self.training.timeout_minutes * 60 - self.training.run_seconds - now

    def clean_up(self) -> None:
        """No process of the trainer's session is left, and nothing half-written."""
        if self.trainer:
            kill_session(self.trainer)
        patiently(self.renew)  # what is half-written may be another host's by now
        runfolder.remove_temporary(self.training)

    def let_go(self) -> None:
        """The lease is lost. Another runner of this host finds the trainer; one of another host cannot even see it."""
        if self.trainer is None:
            return
        row = Training.objects.filter(pk=self.training.pk).first()
        noted = row and not row.lease_owner and (row.host, row.pid) == (lease.host_name(), self.trainer.pid)
        if not (row and (noted or lease.held_here(row))):
            kill_session(self.trainer)

    def account(self) -> dict[str, Any]:
        """What the end of an attempt writes: no process any more, and the time it trained added up."""
        ended = time.time() if self.child else runfolder.last_sign(self.training)
        trainer = self.trainer or self.elsewhere
        seconds = max(0.0, ended - trainer.started) if trainer else 0.0
        return {"pid": None, "pid_started": None, "run_seconds": self.training.run_seconds + seconds}


def strays(training: Training) -> list[ProcessId]:
    """Trainers of this folder, noted or not: a runner may die between the spawn and the note."""
    return leaders_running(["-m", "training.trainer", str(training.folder)])

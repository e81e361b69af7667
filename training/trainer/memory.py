"""Does a batch fit into memory? If not, it is trained in parts, and their gradients are added up.

The batch itself stays as it was asked for: steps, epochs, checkpoints and the place in the data keep their meaning.
"""

import gc
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from training.algorithms.base import Message, gettext_noop
from training.disk import readable
from training.trainer import limits
from training.trainer.events import Events
from training.trainer.failures import Failure, is_out_of_memory

SHARE = 0.9  # of what is available: evaluation, and others on this machine, need some as well
PARTS_TRIED = 2  # gradients are there only from the second part on
MOMENTS = 2  # AdamW keeps two numbers for each weight, from its first step on


class Memory:
    """In how many parts a batch of `batch` images is trained; each has at least `smallest` images.

    `most` is the memory, in bytes, that the trainer may come to hold on a CPU; 0: as much as there is. It is a plan,
    not a limit of the process: at such a limit not only a batch fails, but whatever asks next.
    """

    def __init__(self, batch: int, smallest: int, events: Events, *, parts: int = 1, most: int = 0) -> None:
        self.batch, self.smallest, self.events, self.parts, self.most = batch, smallest, events, 1, most
        if parts > 1:
            self._divide(parts)
            self.tell()

    @property
    def size(self) -> int:
        """Images that the network sees at once."""
        return math.ceil(self.batch / self.parts)

    def settings(self) -> dict[str, int]:
        return {"per_device_train_batch_size": self.size, "gradient_accumulation_steps": self.parts}

    def halve(self) -> None:
        """Twice as many parts, or as many as there can be. Raises Failure when a part has no images to spare."""
        self._divide(self.parts * 2)

    def _divide(self, parts: int) -> None:
        """Into `parts`, or as many as are possible. Half as many have failed already, so those will not do."""
        possible = max(1, min(parts, self.batch // self.smallest))
        if possible * 2 <= parts:
            self.parts = possible
            self.events.setting(**self.settings())
            text = gettext_noop(
                "Memory does not suffice even for the smallest batch, %(size)s image(s) at a time. Choose smaller "
                "images, stop what else uses the memory of this machine, or train on a machine with more of it."
            )
            raise Failure("out_of_memory", Message(text, {"size": self.size}))
        self.parts = possible

    def tell(self) -> None:
        """That, and in how many parts, a batch is trained."""
        self.events.setting(**self.settings())
        text = gettext_noop(
            "Memory does not suffice for %(batch)s images at a time. They are trained %(size)s at a time, in "
            "%(parts)s parts a step: the effective batch stays %(batch)s."
        )
        advice = gettext_noop(
            "Nothing needs to be done. Steps are faster with smaller images, a smaller batch or more memory."
        )
        names = {"batch": self.batch, "size": self.size, "parts": self.parts}
        self.events.notice("batch_halved", Message(text, names), Message(advice))

    def pieces(self, inputs: Mapping[str, Any]) -> list[tuple[dict[str, Any], float]]:
        """The parts of a batch, each with its share of the images. A last, smaller batch has fewer parts."""
        rows = _rows(inputs)
        count = max(1, min(math.ceil(rows / self.size), rows // self.smallest))
        edges = [rows * part // count for part in range(count + 1)]
        spans = [(edges[part], edges[part + 1]) for part in range(count)]
        return [(cut(inputs, first, last), (last - first) / rows) for first, last in spans]


def _rows(inputs: Mapping[str, Any]) -> int:
    return len(next(iter(inputs.values())))


def cut(inputs: Mapping[str, Any], first: int, last: int) -> dict[str, Any]:
    """Images `first` to `last` (not included) of a batch of tensors and lists."""
    return {name: value[first:last] for name, value in inputs.items()}


def largest_rows(data: Any, count: int) -> list[int]:
    """The rows of `data` that make the biggest batch when they are padded to one size: by their shape, if it varies.

    A batch is as tall as its tallest and as wide as its widest image, so these two come first.
    """
    rows = range(len(data))
    shapes = {row: data.shape(row) for row in rows}
    if not shapes[0]:
        return list(rows[:count])
    by_area = sorted(rows, key=lambda row: -math.prod(shapes[row]))
    extremes = [max(rows, key=lambda row: shapes[row][0]), max(rows, key=lambda row: shapes[row][1])]
    first = extremes if count > 1 else []
    return list(dict.fromkeys([*first, *by_area]))[:count]


def pixel_bytes(shape: Sequence[int]) -> int:
    """Of an image of (height, width) `shape`, in three channels of fp32; 0 when the shape is not known beforehand."""
    return 12 * math.prod(shape) if shape else 0


class Probe:
    """Before the first epoch: one forward and backward of the largest batch, after which all is as it was before."""

    def __init__(self, trainer: Any) -> None:
        self.trainer, self.memory, self.network = trainer, trainer.memory, trainer.network
        self.device = self.network.device
        self.searches = trainer.args.auto_find_batch_size and trainer.state.global_step == 0

    def run(self) -> None:
        """Halves the batch until it fits. Raises Failure when no batch does; when the batch size is searched for, what
        accelerate takes for a full memory: it then tries a smaller one."""
        data, self.memory.batch, before = self.trainer.data, self.trainer.batch_size, self.memory.parts
        rows = largest_rows(data, self.memory.batch)
        self._foresee(len(rows) * pixel_bytes(data.shape(rows[0])))
        with untouched(self.network):
            batch = self.trainer.data_collator([data[row] for row in rows])
            fits = self._grows(batch) if self.device.type == "cpu" else True
            while not (fits and self._fits(batch)):
                if self.searches:
                    raise RuntimeError("The largest batch: out of memory. A smaller one is tried.")
                self.memory.halve()
                fits = True
        if self.memory.parts > before:
            self.memory.tell()

    def _foresee(self, images: int) -> None:
        """Raises Failure when the pixels of one batch alone, `images` bytes, are more than may be held: loading them
        would already fill the memory. In a batch they are there twice, as rows and put together."""
        left = limits.left_bytes(self.memory.most)
        if self.device.type != "cpu" or images * 2 <= left:
            return
        if self.searches:
            raise RuntimeError("The pixels of the largest batch: out of memory. A smaller one is tried.")
        text = gettext_noop(
            "The images of one batch alone take %(needed)s of memory, and %(left)s are free. Choose smaller images or "
            "a smaller batch, or train on a machine with more memory."
        )
        raise Failure("out_of_memory", Message(text, {"needed": readable(images * 2), "left": readable(left)}))

    def _fits(self, batch: Mapping[str, Any]) -> bool:
        """Try the parts of the batch, beside the room that the optimiser will need."""
        return self._tried(
            [piece for piece, _share in self.memory.pieces(batch)[:PARTS_TRIED]], self._optimiser_bytes()
        )

    def _tried(self, pieces: Sequence[Mapping[str, Any]], room: int = 0) -> bool:
        """Whether forward and backward of `pieces`, gradients added up, fit beside `room` bytes."""
        try:
            kept_free = torch.empty(room, dtype=torch.uint8, device=self.device)
            for piece in pieces:
                self.trainer.forward_backward(piece)
            del kept_free
        except Exception as error:
            if not is_out_of_memory(error):
                raise
        else:
            return True
        finally:
            self.network.zero_grad(set_to_none=True)
        free()
        return False

    def _grows(self, batch: Mapping[str, Any]) -> bool:
        """On a CPU, whose memory is never full (the process is just killed): from the smallest part on, twice as many
        images each time, and none that would not fit by what the one before it took. Halves the batch to what fits."""
        before = limits.resident_bytes()
        room = limits.left_bytes(self.memory.most) * SHARE - self._optimiser_bytes()
        count = min(self.memory.smallest, self.memory.size)
        while count < self.memory.size:
            an_image = self._peak(cut(batch, 0, count), before) / count
            following = min(count * 2, self.memory.size)
            if an_image * following <= room:
                count = following
            elif self.searches:
                return False
            else:
                self.memory.halve()
        return True

    def _peak(self, piece: Mapping[str, Any], before: int) -> float:
        """The bytes, beyond those held before, that one part takes at most; infinity when it does not fit."""
        limits.forget_peak()
        return max(0, limits.peak_bytes() - before) if self._tried([piece]) else math.inf

    def _optimiser_bytes(self) -> int:
        """What AdamW will take at its first step; 0 once it has it."""
        if self.trainer.optimizer.state:
            return 0
        return MOMENTS * sum(p.numel() * p.element_size() for p in self.network.parameters() if p.requires_grad)


def make_moments(optimiser: Any) -> bool:
    """Have AdamW take before its first step the memory that it needs in all of them; False when there is not enough.

    It would take it within the step, a group of weights at a time, when those of the group before are changed already.
    So nothing has changed when this fails, and the step can be tried again.
    """
    if optimiser.state:
        return True
    try:
        for group in optimiser.param_groups:
            optimiser._init_group(group, [], [], [], [], [], [])
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        optimiser.state.clear()  # half of a weight's moments would pass for all of them
        return False
    return True


def free() -> None:
    """Give back what a step that failed still holds."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


@contextmanager
def untouched(network: torch.nn.Module) -> Iterator[None]:
    """Random numbers, gradients and statistics (batch norm's) are afterwards what they were."""
    kept = {name: buffer.clone() for name, buffer in network.named_buffers()}
    device = next(network.parameters()).device
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        try:
            yield
        finally:
            network.zero_grad(set_to_none=True)
            with torch.no_grad():
                for name, buffer in network.named_buffers():
                    buffer.copy_(kept[name])

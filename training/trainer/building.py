"""Builds a Hugging Face model from a folder of weights, or from its configuration alone."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel

from training.algorithms.base import Message, gettext_noop
from training.trainer.failures import Failure

Labels = Sequence[Mapping[str, Any]]


def label_fields(labels: Labels) -> dict[str, Any]:
    """The configuration's fields that name the classes; they also set their number."""
    names = [label["name"] for label in labels]
    return {"id2label": dict(enumerate(names)), "label2id": {name: i for i, name in enumerate(names)}}


def from_folder(
    model_class: type[PreTrainedModel], folder: Path, labels: Labels, head: tuple[str, ...], **fields: Any
) -> PreTrainedModel:
    """Load weights; parts whose names start with `head` may be missing or of another size.

    They start anew, and do so as well when the folder's labels are as many but others than `labels`. Raises
    Failure when anything else is missing: the folder holds another network.
    """
    loaded: Any = model_class.from_pretrained(
        folder,
        dtype=torch.float32,
        ignore_mismatched_sizes=True,
        output_loading_info=True,
        **label_fields(labels),
        **fields,
    )
    model, info = loaded
    names = [*info["missing_keys"], *(name for name, *_ in info["mismatched_keys"])]
    wrong = [name for name in names if not name.startswith(head) and not name.endswith("num_batches_tracked")]
    if wrong:
        text = gettext_noop("The weights in %(folder)s do not fit this network: %(count)s parts differ, e.g. %(name)s.")
        raise Failure("wrong_weights", Message(text, {"folder": folder.name, "count": len(wrong), "name": wrong[0]}))
    trained: PreTrainedModel = model
    if _label_names(folder) != [label["name"] for label in labels]:
        for part in head:
            _start_anew(trained.get_submodule(part))
    return trained


def _label_names(folder: Path) -> list[str]:
    """The labels that the model in the folder was trained on."""
    names = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("id2label") or {}
    return [names[key] for key in sorted(names, key=int)]


def _start_anew(part: torch.nn.Module) -> None:
    for module in part.modules():
        if isinstance(module, torch.nn.Linear | torch.nn.Conv2d | torch.nn.BatchNorm2d):
            module.reset_parameters()

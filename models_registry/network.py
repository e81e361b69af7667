"""A model folder's network in PyTorch. For the export's own process and the CUDA engine: imports torch."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from torch import nn

from training.algorithms.semantic_segmentation.head import fused, multiplied

CLASSES: dict[str, Any] = {
    "image_classification": transformers.AutoModelForImageClassification,
    "semantic_segmentation": transformers.AutoModelForSemanticSegmentation,
    "object_detection": transformers.AutoModelForObjectDetection,
}
# By algorithm: what the network gives, under the names that `predict.postprocess` knows.
OUTPUTS: Mapping[str, tuple[str, ...]] = {
    "image_classification": ("logits",),
    "semantic_segmentation": ("logits",),
    "object_detection": ("logits", "pred_boxes"),
}


class Network(nn.Module):
    """`pixel_values` (N, 3, H, W) float32 [, `pixel_mask` (N, H, W) int64] -> one tensor an `output_names`."""

    def __init__(self, model: nn.Module, outputs: tuple[str, ...]) -> None:
        super().__init__()
        self.model = model
        self.output_names = outputs

    def forward(self, pixel_values: torch.Tensor, pixel_mask: torch.Tensor | None = None) -> tuple[torch.Tensor, ...]:
        mask = {} if pixel_mask is None else {"pixel_mask": pixel_mask}
        answer = self.model(pixel_values=pixel_values, **mask)
        return tuple(answer[name] for name in self.output_names)


def load_network(folder: Path, algorithm: str) -> Network:
    """The network of a Hugging Face folder, in evaluation mode, fp32. Only safetensors are read, never pickle."""
    model = CLASSES[algorithm].from_pretrained(folder, use_safetensors=True, local_files_only=True, dtype=torch.float32)
    return Network(model.eval(), OUTPUTS[algorithm]).eval()


class FoldedHead(nn.Module):
    """SegFormer's decode head with what is linear before its ReLU multiplied out once, batch norm included.

    See training/algorithms/semantic_segmentation/head.py. Same answers, in half the time and a fifth of the memory.
    """

    def __init__(self, head: Any) -> None:
        super().__init__()
        head = head.double()  # so that multiplying out loses nothing; the products are fp32 again
        norm = head.batch_norm
        scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
        matrices, bias = multiplied(head)
        self.matrices = nn.ParameterList((scale[:, None] * matrix).float() for matrix in matrices)
        self.bias = nn.Parameter((norm.bias + scale * (bias - norm.running_mean)).float())
        self.classifier = head.classifier.float()

    def forward(self, encoder_hidden_states: tuple[torch.Tensor, ...], **_: Any) -> torch.Tensor:
        """The encoder's maps, (N, C_i, H / 2^(i+2), W / 2^(i+2)) -> logits (N, classes, H / 4, W / 4)."""
        return self.classifier(torch.relu(fused(encoder_hidden_states, list(self.matrices), self.bias)))


def fold(network: Network) -> Network:
    """Replace SegFormer's decode head, if this network has one, by its folded twin. Changes `network`."""
    head = getattr(network.model, "decode_head", None)
    if head is not None:
        with torch.no_grad():
            network.model.decode_head = FoldedHead(head)  # type: ignore[assignment]
    return network


DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class TorchNetwork:
    """A network on `device`, in `precision` (a key of DTYPES). Takes and gives fp32 arrays; changes `network`."""

    def __init__(self, network: Network, precision: str, device: str) -> None:
        self.dtype, self.device = DTYPES[precision], device
        torch.backends.cudnn.allow_tf32 = False  # a GPU would round fp32's convolutions to 10 bits
        self._network = fold(network).to(device=device, dtype=self.dtype)

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The network's inputs by name, N rows each -> its outputs by name."""
        with torch.inference_mode():
            outputs = self._network(*map(self._tensor, inputs.values()))
        names = self._network.output_names
        return {name: value.float().cpu().numpy() for name, value in zip(names, outputs, strict=True)}

    def _tensor(self, array: np.ndarray) -> torch.Tensor:
        tensor = torch.from_numpy(array).to(self.device)
        return tensor.to(self.dtype) if tensor.is_floating_point() else tensor  # a mask stays whole numbers


def half_precision() -> str:
    """What CUDA's cards of this host compute quickly beside fp32: "bf16", or "fp16" on older ones."""
    return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"

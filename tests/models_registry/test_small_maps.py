"""ResNet rewritten for small images: the same answers, fewer weights, whatever the side and the kind of layers."""

import copy
import json
import shutil
from pathlib import Path

import onnx
import pytest
import torch
from torch import nn
from transformers import ResNetConfig, ResNetForImageClassification

from models_registry.network import Network
from models_registry.small_maps import Dense, Flat, fold_small_maps
from tests.exported import export, trained


def network(layer_type: str = "bottleneck") -> Network:
    """Random weights, and batch norms that have seen something."""
    torch.manual_seed(0)
    config = ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 16, 24, 32], depths=[2, 1, 3, 2], layer_type=layer_type, num_labels=5
    )
    model = ResNetForImageClassification(config).eval()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            for tensor in (module.weight, module.bias, module.running_mean):
                torch.nn.init.uniform_(tensor, -0.5, 1.0)
            torch.nn.init.uniform_(module.running_var, 0.2, 2.0)
    return Network(model, ("logits",)).eval()


@pytest.mark.parametrize("layer_type", ["bottleneck", "basic"])
@pytest.mark.parametrize("side", [4, 9, 28, 33, 64, 96])
def test_the_answers_are_those_of_the_network_as_it_was_trained(layer_type, side):
    stock = network(layer_type)
    ours = fold_small_maps(copy.deepcopy(stock), side)
    images = torch.randn(3, 3, side, side)
    with torch.inference_mode():
        expected, found = stock(images)[0], ours(images)[0]
        alone = torch.cat([ours(image[None])[0] for image in images])
    assert (found - expected).norm() <= 1e-5 * expected.norm()
    assert (alone - expected).norm() <= 1e-5 * expected.norm()


def kinds(network: Network) -> list[type]:
    return [type(module) for module in network.modules()]


def test_what_only_meets_the_padding_is_left_out_and_images_share_what_is_small():
    third, fourth = fold_small_maps(network(), 28).model.resnet.encoder.stages[2:]
    border, flat = third.layers  # its first layer gets maps of 4 x 4 and gives some of 2 x 2
    assert [type(border.layer[number].convolution) for number in range(3)] == [nn.Conv2d, nn.Conv2d, Flat]
    assert kinds(flat).count(Dense) == 2
    (flat,) = fourth.layers
    reduced, kept = (layer.layer[1].convolution.product.weight for layer in flat.inner)
    assert reduced.shape == (8, 4 * 8, 1, 1)  # of 3 x 3 weights over 2 x 2 pixels with stride 2, four
    assert kept.shape == (8, 8, 1, 1)  # over one pixel, one


def test_large_images_keep_their_convolutions():
    assert not {Flat, Dense} & set(kinds(fold_small_maps(network(), 224)))


def test_a_classifier_of_small_images_is_exported_so_and_answers_as_pytorch_does(tmp_path):
    folder = Path(shutil.copytree(trained("image_classification"), tmp_path / "model"))
    manifest = json.loads((folder / "model.json").read_text())
    manifest["preprocessing"]["input_size"] = 14
    (folder / "model.json").write_text(json.dumps(manifest))
    assert export(folder).returncode == 0
    shapes = {tuple(tensor.dims) for tensor in onnx.load(folder / "model.onnx").graph.initializer}
    assert (64, 4 * 32, 1, 1) in shapes  # the last stage's first convolution, over 2 x 2 pixels
    assert (64, 32, 3, 3) not in shapes
    report = json.loads((folder / "export_report.json").read_text())
    assert report["largest_relative_difference"] < 1e-4
    assert report["inputs"][0]["shape"] == [-1, 3, 14, 14]

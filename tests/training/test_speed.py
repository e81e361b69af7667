"""What makes training quicker leaves the result as it is: the folded head, the loss by parts, bf16, channels last."""

import copy
import json

import numpy as np
import pytest
import torch
from transformers import SegformerForSemanticSegmentation
from transformers.models.segformer.modeling_segformer import SegformerDecodeHead

from tests.runs import ARCHITECTURES, events_of, labels_of, make_dataset, make_run
from training import algorithms
from training.algorithms.image_classification import train as classification
from training.algorithms.object_detection import train as detection
from training.algorithms.semantic_segmentation import train as segmentation
from training.algorithms.semantic_segmentation.head import TrainedHead
from training.trainer import small_maps, speed
from training.trainer.__main__ import main
from training.trainer.failures import Failure
from training.trainer.weights import Weights

pytestmark = pytest.mark.usefixtures("in_this_process")

needs_bf16 = pytest.mark.skipif(not speed.cpu_has_bf16(), reason="this CPU does not compute in bf16")


def close(one, other, share=1e-9):
    """Whether two tensors differ by less than `share` of their length."""
    return (one - other).norm() <= share * other.norm()


def segformer():
    torch.manual_seed(0)
    return segmentation.build(
        ARCHITECTURES["semantic_segmentation"], labels_of("semantic_segmentation"), Weights("scratch")
    )


def heads():
    """-> (transformers' own head, ours), of the same random weights, fp64, their dropout off: it draws by chance."""
    config = segformer().config
    stock = SegformerDecodeHead(config).double().train()
    stock.dropout.p = 0.0
    torch.nn.init.uniform_(stock.batch_norm.weight, 0.5, 2.0)
    torch.nn.init.normal_(stock.batch_norm.bias)
    return stock, TrainedHead(copy.deepcopy(stock))


def maps():
    """What the encoder gives for two images of 64 x 96 pixels."""
    sizes = zip(ARCHITECTURES["semantic_segmentation"]["hidden_sizes"], (4, 8, 16, 32), strict=True)
    return [torch.randn(2, width, 64 // by, 96 // by, dtype=torch.float64, requires_grad=True) for width, by in sizes]


@pytest.mark.parametrize("training", [True, False])
def test_the_multiplied_head_has_the_outputs_and_gradients_of_transformers_own(training):
    stock, ours = (head.train(training) for head in heads())
    given = maps()
    again = [tensor.detach().clone().requires_grad_() for tensor in given]
    expected, found = stock(given), ours(again)
    assert close(found, expected)
    weight = torch.randn_like(expected)
    (expected * weight).sum().backward()
    (found * weight).sum().backward()
    assert all(close(one.grad, other.grad) for one, other in zip(again, given, strict=True))
    parameters = dict(ours.named_parameters())
    for name, parameter in stock.named_parameters():
        if not (training and name.endswith("proj.bias")):  # the batch's mean takes a bias away: its gradient is 0
            assert close(parameters[name].grad, parameter.grad), name
        assert (parameters[name].grad - parameter.grad).abs().max() < 1e-9, name
    assert close(ours.batch_norm.running_var, stock.batch_norm.running_var)
    assert close(ours.batch_norm.running_mean, stock.batch_norm.running_mean)


def test_a_network_with_the_multiplied_head_is_saved_as_an_ordinary_segformer(tmp_path):
    model = speed.arrange(segformer(), rows(512), "cpu").eval()
    model.save_pretrained(tmp_path)
    ordinary = SegformerForSemanticSegmentation.from_pretrained(tmp_path).eval()
    assert set(ordinary.state_dict()) == set(model.state_dict())
    assert json.loads((tmp_path / "config.json").read_text())["architectures"] == ["SegformerForSemanticSegmentation"]
    pixels = torch.randn(1, 3, 64, 64)
    assert close(model(pixels).logits, ordinary(pixels).logits, 1e-5)


def detr():
    torch.manual_seed(0)
    return detection.build(ARCHITECTURES["object_detection"], labels_of("object_detection"), Weights("scratch"))


def detection_batch():
    rows = [
        {
            "pixels": np.random.default_rng(seed).normal(size=(3, 96, 128)).astype(np.float32),
            "boxes": np.array([[0.5, 0.5, 0.2, 0.3], [0.3, 0.4, 0.1, 0.1]][: seed + 1], dtype=np.float32),
            "classes": np.array([0, 1][: seed + 1]),
        }
        for seed in range(2)
    ]
    return detection.collate(rows)


def ended_after(model, layers):
    """The same network with a decoder of so many layers."""
    shorter = copy.deepcopy(model)
    shorter.model.decoder.layers = shorter.model.decoder.layers[:layers]
    return shorter


def test_detections_loss_is_that_of_decoders_that_end_after_each_layer():
    model, batch = detr().eval(), detection_batch()
    layers = model.config.decoder_layers
    assert layers > 1
    expected = sum(ended_after(model, count)(**batch).loss for count in range(1, layers + 1)) / layers
    found = detection.loss(model, batch)
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)
    found.backward()
    assert all(parameter.grad is not None for parameter in model.parameters() if parameter.requires_grad)


def test_training_computes_the_network_that_is_evaluated_and_served():
    model, batch = detr().eval(), detection_batch()
    with torch.no_grad():
        served = model(batch["pixel_values"], pixel_mask=batch["pixel_mask"])
        trained = model.class_labels_classifier(detection.decoder_states(model, batch)[-1])
    assert close(trained, served.logits, 1e-6)


class Rows(list):
    """Images of one size, as a dataset."""

    def shape(self, row):
        return self[row]["pixels"].shape[:0:-1]


def rows(*sides):
    return Rows({"pixels": np.zeros((3, side, 200), dtype=np.float32)} for side in sides)


def test_precision_is_bf16_where_the_cpu_has_it_and_images_are_large_enough():
    chosen = "bf16" if speed.cpu_has_bf16() else "fp32"
    assert speed.choose_precision("cpu", rows(320, 64)) == chosen
    assert speed.choose_precision("cpu", rows(320, 63)) == "fp32"
    assert speed.choose_precision("cpu", rows(320), "bf16") == "bf16"
    assert speed.choose_precision("cpu", rows(320), "fp32") == "fp32"
    with pytest.raises(Failure, match=r"fp8.*auto, fp32, bf16"):
        speed.choose_precision("cpu", rows(320), "fp8")


def test_channels_last_changes_neither_names_nor_values():
    model = segformer()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    assert all(t.is_contiguous() for t in speed.arrange(model, rows(28), "cpu").state_dict().values())
    after = speed.arrange(model, rows(512), "cpu").state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[name], before[name]) for name in before)
    assert any(t.dim() == 4 and not t.is_contiguous() for t in after.values())


def passed(conv, pixels):
    """-> (output, gradients of the pixels and of the weights), with weights of the output that chance has chosen."""
    pixels = pixels.clone().requires_grad_()
    conv.zero_grad()
    result = conv(pixels)
    result.backward(torch.sin(torch.arange(result.numel(), dtype=result.dtype)).view(result.shape))
    return result, pixels.grad, *(parameter.grad for parameter in conv.parameters())


@pytest.mark.parametrize("side", [1, 2, 3, 7])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize(("kernel", "padding"), [(1, 0), (3, 1)])
def test_a_convolution_as_a_product_has_the_outputs_and_gradients_of_pytorchs_own(kernel, padding, stride, side):
    torch.manual_seed(0)
    stock = torch.nn.Conv2d(5, 6, kernel, stride, padding).double()
    ours = small_maps.use_products(copy.deepcopy(stock))
    assert isinstance(ours, small_maps.SmallMapConv2d)
    pixels = torch.randn(2, 5, side, side + side % 2, dtype=torch.float64)
    for found, expected in zip(passed(ours, pixels), passed(stock, pixels), strict=True):
        assert found.shape == expected.shape
        assert close(found, expected)


@pytest.mark.parametrize(
    "form",
    [
        {"groups": 5},
        {"dilation": 2},
        {"padding": 0},
        {"padding_mode": "reflect"},
        {"stride": (1, 2)},
        {"kernel_size": 7},
    ],
    ids=str,
)
def test_other_convolutions_stay_pytorchs_own(form):
    conv = torch.nn.Conv2d(**{"in_channels": 5, "out_channels": 5, "kernel_size": 3, "padding": 1, **form})
    assert type(small_maps.use_products(conv)) is torch.nn.Conv2d


def test_products_are_for_small_images_on_a_cpu():
    def are_used(side, device):
        model = classification.build(
            ARCHITECTURES["image_classification"], labels_of("image_classification"), Weights("scratch")
        )
        modules = speed.arrange(model, rows(side), device).modules()
        return any(isinstance(module, small_maps.SmallMapConv2d) for module in modules)

    assert are_used(28, "cpu")
    assert not are_used(28, "cuda")
    assert not are_used(64, "cpu")


def convolutions(model, pixels):
    """Every convolution with the shape of its input."""
    found = []
    for module in model.modules():
        if isinstance(module, torch.nn.Conv2d):
            module.register_forward_hook(lambda conv, given, result: found.append((conv, given[0].shape)))
    with torch.no_grad():
        model(pixels)
    return found


def gradients(conv, shape, precision):
    torch.manual_seed(0)
    pixels = torch.randn(shape).to(precision).requires_grad_()
    weight = conv.weight.detach().to(precision).requires_grad_()
    result = torch.nn.functional.conv2d(pixels, weight, None, conv.stride, conv.padding)
    weights = torch.randn(result.shape).to(precision)
    dirt = [torch.full((2**power,), torch.nan) for power in range(6, 22)]
    del dirt  # memory that is not cleared: what reads beyond its own shows
    result.backward(weights)
    return [tensor.float() for tensor in (result.detach(), pixels.grad, weight.grad)]


@needs_bf16
def test_bf16_is_right_for_every_convolution_of_resnet_50_from_the_smallest_size_on():
    """PyTorch 2.13 gives NaN or nonsense for some of them at 16 pixels: this says whether the limit is high enough."""
    model = classification.build({}, labels_of("image_classification"), Weights("scratch"))
    side = speed.SMALL_IMAGE
    for conv, shape in convolutions(model, torch.zeros(2, 3, side, side)):
        expected = gradients(conv, shape, torch.float32)
        for _ in range(3):
            pairs = zip(gradients(conv, shape, torch.bfloat16), expected, strict=True)
            assert all(close(bf16, fp32, 0.02) for bf16, fp32 in pairs), (conv, shape)


def losses(key, folder, data, precision, **hyperparameters):
    run = make_run(key, folder / precision, data, precision=precision, hyperparameters=hyperparameters)
    assert main(run) == 0
    assert events_of(run, "setting")[0]["values"]["precision"] == precision
    return np.array([e["values"]["loss"] for e in events_of(run, "metric") if "loss" in e["values"]])


@needs_bf16
@pytest.mark.parametrize("key", algorithms.PACKAGES)
def test_the_loss_curves_of_bf16_and_fp32_stay_together(tmp_path, key):
    data = make_dataset(key, tmp_path, {"train": 16, "validation": 2})
    size = {"input_size": 64} if key == "image_classification" else {}
    steps = {"num_train_epochs": 8, "per_device_train_batch_size": 4, "learning_rate": 1e-3, "logging_steps": 1}
    fp32, bf16 = (losses(key, tmp_path, data, precision, **steps, **size) for precision in ("fp32", "bf16"))
    assert len(fp32) == len(bf16) == 32
    assert np.abs(bf16 - fp32)[:4].max() < 0.05 * fp32[:4].mean()  # before small differences have grown
    smooth = [np.convolve(curve, np.ones(8) / 8, "valid") for curve in (fp32, bf16)]
    assert np.abs(smooth[1] - smooth[0]).max() < 0.1 * fp32[:8].mean()
    assert all(curve[-1] < curve[0] for curve in smooth)

"""The other side of parity.py: what PyTorch's libraries make of random weights.

Run by the Python of an environment with torch, timm, torchvision and transformers; it knows
nothing of bcjax.

  PEER/bin/python benchmarks/peer.py answer "timm resnet18" FOLDER 64 75
  PEER/bin/python benchmarks/peer.py step "timm resnet18" FOLDER 64
  PEER/bin/python benchmarks/peer.py names > tests/support/published_tensors.json
  PEER/bin/python benchmarks/peer.py logits > tests/support/published_logits.json
"""

import contextlib
import json
import sys
import tempfile
import zlib
from pathlib import Path

with contextlib.suppress(ImportError):
    import torchvision_ops  # noqa: F401  # where torchvision comes without its compiled operators

import numpy as np
import safetensors
import timm
import torch
import torchvision
import transformers

CLASSES = 1000
RATE = 0.1  # of the step of SGD
BATCH = 8

# Networks that transformers describes by a config: those that were published.
CONFIGS = {
    "resnet18": lambda: transformers.ResNetConfig(
        depths=[2, 2, 2, 2], hidden_sizes=[64, 128, 256, 512], layer_type="basic"
    ),
    "resnet50": lambda: transformers.ResNetConfig(),
    "convnext_tiny": lambda: transformers.ConvNextConfig(),
    "efficientnet_b0": lambda: transformers.EfficientNetConfig(
        width_coefficient=1.0, depth_coefficient=1.0, hidden_dim=1280, image_size=224
    ),
    "mobilenet_v1": lambda: transformers.MobileNetV1Config(),
    "mobilenet_v2": lambda: transformers.MobileNetV2Config(),
    "vit_tiny": lambda: transformers.ViTConfig(
        hidden_size=192, num_attention_heads=3, intermediate_size=768, layer_norm_eps=1e-6
    ),
}


def build(case: str) -> torch.nn.Module:
    """Returns the network that "LIBRARY NAME" names, with 1,000 classes."""
    library, name = case.split()
    if library == "timm":
        # Positions are interpolated for pictures of other sizes.
        more = {"dynamic_img_size": True} if "_patch16_" in name else {}
        return timm.create_model(name, num_classes=CLASSES, **more)
    if library == "torchvision":
        return torchvision.models.get_model(name, num_classes=CLASSES)
    config = CONFIGS[name]()
    config.num_labels = CLASSES
    return transformers.AutoModelForImageClassification.from_config(config)


def randomise(model: torch.nn.Module, seed: int) -> None:
    """Draws parameters and batch statistics anew, so that no layer is at its neutral values."""
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            noise = torch.randn(tensor.shape, generator=draw)
            share = torch.rand(tensor.shape, generator=draw)
            if name.endswith("num_batches_tracked"):
                continue
            if name.endswith("running_var"):
                tensor.copy_(0.5 + share)
            elif tensor.squeeze().ndim > 1:  # kernels, by the number of what they add up
                tensor.copy_(noise * (2 / tensor[0].numel()) ** 0.5)
            elif name.endswith(("weight", "gamma", "layer_scale", "layer_scale_parameter")):
                tensor.copy_(0.5 + share)
            else:
                tensor.copy_(0.1 * noise)


def pictures(size: int, count: int) -> torch.Tensor:
    """Returns uint8 (count, size, size, 3)."""
    draw = torch.Generator().manual_seed(size)
    return torch.randint(0, 256, (count, size, size, 3), generator=draw, dtype=torch.uint8)


def logits(model: torch.nn.Module, images: torch.Tensor) -> torch.Tensor:
    """What a network answers to pictures in 0..1, normalised by nothing."""
    more = {"interpolate_pos_encoding": True} if hasattr(model, "vit") else {}
    answer = model(images.permute(0, 3, 1, 2).float() / 255, **more)
    return getattr(answer, "logits", answer)


def save(model: torch.nn.Module, folder: Path) -> None:
    """Saves as each library's users do: a folder, or a state dict."""
    if isinstance(model, transformers.PreTrainedModel):
        model.save_pretrained(folder)
        return
    torch.save(model.state_dict(), folder / "weights.pth")
    if cfg := getattr(model, "pretrained_cfg", None):
        page = {"architecture": cfg["architecture"], "pretrained_cfg": cfg}
        (folder / "config.json").write_text(json.dumps(page, default=list))


def answer(case: str, folder: Path, sizes: list[int]) -> None:
    """Saves a network with random weights, and its logits for pictures of each size."""
    model = build(case).eval()
    randomise(model, seed=1)
    save(model, folder)
    told = {}
    for size in sizes:
        images = pictures(size, 2)
        with torch.no_grad():
            told[f"logits_{size}"] = logits(model, images).numpy()
        told[f"images_{size}"] = images.numpy()
    np.savez(folder / "told.npz", **told)


def step(case: str, folder: Path, size: int) -> None:
    """Saves a network before and after one step of SGD, the batch, and its labels."""
    model = build(case).train()
    randomise(model, seed=2)
    save(model, folder)
    images = pictures(size, BATCH)
    labels = torch.arange(BATCH) * 7
    loss = torch.nn.functional.cross_entropy(logits(model, images), labels)
    loss.backward()
    torch.optim.SGD(model.parameters(), RATE).step()
    (folder / "after").mkdir()
    save(model, folder / "after")
    np.savez(folder / "told.npz", images=images.numpy(), labels=labels.numpy(), rate=RATE)


# Networks whose tensors' names and shapes the tests hold the importer to.
NAMED = (
    "timm resnet18", "timm resnet50", "transformers resnet18", "transformers resnet50",
    "torchvision alexnet", "timm convnext_atto", "torchvision convnext_tiny",
    "transformers convnext_tiny", "timm efficientnet_b0", "torchvision efficientnet_b0",
    "transformers efficientnet_b0", "timm mobilenetv2_100", "torchvision mobilenet_v2",
    "transformers mobilenet_v2", "timm mobilenetv1_100", "transformers mobilenet_v1",
    "torchvision vgg11", "timm vgg11_bn", "torchvision vgg16_bn", "torchvision googlenet",
    "timm deit_tiny_patch16_224", "torchvision vit_b_16", "transformers vit_tiny",
)  # fmt: skip


def saved(model: torch.nn.Module) -> dict[str, tuple[int, ...]]:
    """Returns the shape of each tensor under its name in the file that a library writes."""
    if not isinstance(model, transformers.PreTrainedModel):
        return {name: tensor.shape for name, tensor in model.state_dict().items()}
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        with safetensors.safe_open(f"{folder}/model.safetensors", "np") as file:
            return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118


def names() -> None:
    """Prints the name and shape of each tensor of the networks in `NAMED`, a line for each."""
    lines = []
    for case in NAMED:
        shapes = {name: list(shape) for name, shape in saved(build(case)).items()}
        lines.append(f"{json.dumps(case)}: {json.dumps(shapes, separators=(',', ':'))}")
    print("{", ",\n".join(lines), "}", sep="\n")


# Networks whose logits the tests hold ours to, without this environment, and a size of pictures.
ANSWERING = {"torchvision googlenet": 64, "timm deit_tiny_patch16_224": 64}


def drawn(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Returns the numbers that a tensor of this name always has: see tests/support/published.py."""
    numbers = np.random.default_rng(zlib.crc32(name.encode())).standard_normal(shape, np.float32)
    if len(shape) in (2, 4):
        return numbers * np.float32((1.5 / np.prod(shape[1:])) ** 0.5)
    if name.endswith("running_var") or (name.endswith("weight") and len(shape) == 1):
        return 1 + 0.2 * np.abs(numbers)
    return 0.1 * numbers


def told_logits() -> None:
    """Prints the first ten logits of each network in `ANSWERING`, for two pictures."""
    told = {}
    for case, size in ANSWERING.items():
        model = build(case).eval()
        for name, tensor in model.state_dict().items():
            if tensor.ndim:
                tensor.copy_(torch.from_numpy(drawn(name, tuple(tensor.shape))))
        images = np.random.default_rng(0).standard_normal((2, size, size, 3), np.float32)
        with torch.no_grad():
            answer = model(torch.from_numpy(images).permute(0, 3, 1, 2))[:, :10]
        told[case] = {"size": size, "logits": answer.tolist()}
    print(json.dumps(told, indent=1))


if __name__ == "__main__":
    torch.set_num_threads(2)
    task, *arguments = sys.argv[1:]
    if task == "names":
        names()
    elif task == "logits":
        told_logits()
    elif task == "answer":
        answer(arguments[0], Path(arguments[1]), [int(size) for size in arguments[2:]])
    else:
        step(arguments[0], Path(arguments[1]), int(arguments[2]))

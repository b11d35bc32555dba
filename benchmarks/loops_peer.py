"""A training loop as a script of PyTorch would write it, over files; run by loops.py.

The network is timm's, the pictures a folder of class folders, augmented with torchvision's
transforms in a DataLoader. Prints one JSON line: images_per_s is of whole steps, loading included,
once the loader's queues are full.

  PEERS/bin/python benchmarks/loops_peer.py --model=resnet50 --data=FOLDER --workers=2
"""

import argparse
import json
import os
import time

import torchvision_policy  # first, for timm imports torchvision

# isort: split
import timm
import torch
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True, help="timm's name")
    parser.add_argument("--data", required=True)
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--steps", type=int, default=8, help="timed")
    options = parser.parse_args()
    torch.set_num_threads(os.cpu_count() or 1)

    resize = v2.Resize((options.size, options.size))
    augment = v2.Compose([resize, torchvision_policy.of_picture()])
    pictures = ImageFolder(options.data, augment)
    classes = len(pictures.classes)
    mix = torchvision_policy.of_batch(classes)
    to_float = v2.Compose([v2.ToDtype(torch.float32, scale=True), v2.Normalize([0.5], [0.5])])

    def collate(examples: list) -> tuple[torch.Tensor, torch.Tensor]:
        images, labels = torch.utils.data.default_collate(examples)
        return mix(to_float(images), labels)

    warm_up = 2 + 3 * options.workers  # batches until the queues are in their steady state
    # As many again behind them, so that the workers do not run out of work while it is timed.
    count = (2 * warm_up + options.steps) * options.batch
    loader = torch.utils.data.DataLoader(
        pictures,
        options.batch,
        sampler=torch.utils.data.RandomSampler(pictures, replacement=True, num_samples=count),
        num_workers=options.workers,
        collate_fn=collate,
    )
    model = timm.create_model(options.model, num_classes=classes).train()
    model = model.to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)

    began = 0.0
    for i, (images, labels) in enumerate(loader):
        if i == warm_up:
            began = time.perf_counter()
        if i == warm_up + options.steps:
            break
        answers = model(images.to(memory_format=torch.channels_last))
        torch.nn.functional.cross_entropy(answers, labels).backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    seconds = time.perf_counter() - began
    rate = options.steps * options.batch / seconds
    asked = {key: value for key, value in vars(options).items() if key != "data"}
    print(json.dumps(asked | {"images_per_s": rate, "step_ms": 1e3 * seconds / options.steps}))


if __name__ == "__main__":
    main()

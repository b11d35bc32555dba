"""torchvision's augmentation of pictures in memory, in images/s; run by augment.py.

Each picture has its own flips and RandAugment, so they are applied picture by picture; mixing is
applied to the batch. In one process with PyTorch's threads, and with one DataLoader worker for each
core.
"""

import argparse
import json
import os
import statistics
import time

import numpy as np
import torch
import torchvision_policy
from PIL import Image
from torchvision.transforms import v2

BATCH, CLASSES = 64, 8


class Pictures(torch.utils.data.Dataset):
    """Endless: the same pictures over and over, each augmented when it is asked for."""

    def __init__(self, images: list[Image.Image], augment: v2.Transform, length: int):
        self.images, self.augment, self.length = images, augment, length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, position: int) -> tuple[torch.Tensor, int]:
        return self.augment(self.images[position % len(self.images)]), position % CLASSES


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--pictures", required=True)
    parser.add_argument("--batches", type=int, required=True)
    options = parser.parse_args()
    images = [Image.fromarray(pixels) for pixels in np.load(options.pictures)]
    augment, mix = torchvision_policy.of_picture(), torchvision_policy.of_batch(CLASSES)
    to_float = v2.ToDtype(torch.float32, scale=True)

    def finish(batch: torch.Tensor, labels: torch.Tensor) -> None:
        mix(to_float(batch), labels)

    def in_process() -> float:
        torch.set_num_threads(os.cpu_count() or 1)
        times = []
        for i in range(options.batches + 1):
            rows = [images[(i * BATCH + j) % len(images)] for j in range(BATCH)]
            began = time.perf_counter()
            finish(torch.stack([augment(row) for row in rows]), torch.arange(BATCH) % CLASSES)
            times.append(time.perf_counter() - began)
        return BATCH / statistics.median(times[1:])

    def with_workers() -> float:
        workers = os.cpu_count() or 1
        warm_up = 4 * workers  # batches until the queues are in their steady state
        count = (options.batches + warm_up) * BATCH
        data = Pictures(images, augment, count)
        loader = torch.utils.data.DataLoader(data, batch_size=BATCH, num_workers=workers)
        began = 0.0
        for i, (batch, labels) in enumerate(loader):
            if i == warm_up:
                began = time.perf_counter()
            finish(batch, labels)
        return (options.batches - 1) * BATCH / (time.perf_counter() - began)

    print(json.dumps({"in_process": in_process(), "with_workers": with_workers()}))


if __name__ == "__main__":
    main()

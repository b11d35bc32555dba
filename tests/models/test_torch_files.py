"""State dicts of PyTorch are read without torch, and nothing in them is run."""

import collections
import contextlib
import os
import pickle
import zipfile

import numpy as np
import pytest
import torch_format

from bcjax.models.pretrained import files, torch_files
from bcjax.runtime.errors import UserError

TENSORS = {
    "conv.weight": np.arange(24, dtype=np.float32).reshape(2, 3, 2, 2),
    "turned.weight": np.arange(6, dtype=np.float32).reshape(2, 3).T,
    "half.bias": np.array([1, 2.5], np.float16),
    "bn.num_batches_tracked": np.array(7),
}


def same(read, tensors=TENSORS):
    assert list(read) == list(tensors)
    for name, tensor in tensors.items():
        np.testing.assert_array_equal(read[name], tensor)
        assert read[name].dtype == tensor.dtype


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "before 1.6"])
@pytest.mark.parametrize(
    "wrap",
    [
        lambda tensors: tensors,
        collections.OrderedDict,
        lambda tensors: {"epoch": 3, "arch": "resnet18", "state_dict": tensors},
        lambda tensors: {"model": {}, "state_dict_ema": tensors, "best": [0.5, None]},
        lambda tensors: {"state_dict": {f"module.{name}": t for name, t in tensors.items()}},
    ],
    ids=["plain", "ordered", "of a training script", "averages first", "of several devices"],
)
def test_a_state_dict_is_read_whatever_it_is_wrapped_in(tmp_path, wrap, legacy):
    path = torch_format.save(tmp_path / "w.pth", wrap(TENSORS), legacy=legacy)
    tensors, kind = files.read(path)
    same(tensors)
    assert kind.startswith("PyTorch")


def test_bfloat16_is_read(tmp_path):
    halves = torch_format.half({"w": TENSORS["conv.weight"]})
    same(torch_files.read(torch_format.save(tmp_path / "w.pt", halves)), halves)


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "before 1.6"])
@pytest.mark.parametrize("function", [os.mkdir, os.system, eval, getattr, np.fromfile])
def test_code_in_a_pickle_is_named_and_not_run(tmp_path, function, legacy):
    made = tmp_path / "made"
    argument = f"__import__('os').mkdir({str(made)!r})" if function is eval else str(made)
    argument = f"mkdir {made}" if function is os.system else argument
    content = {"state_dict": TENSORS, "code": torch_format.Named(function, argument)}
    path = torch_format.save(tmp_path / "w.pth", content, legacy=legacy)
    with pytest.raises(UserError, match=rf"asks for \S+\.{function.__name__}"):
        files.read(path)
    assert not made.exists()


def test_a_bare_pickle_is_not_run_either(tmp_path):
    path = tmp_path / "w.pkl"
    path.write_bytes(pickle.dumps(torch_format.Named(os.mkdir, str(tmp_path / "made"))))
    with pytest.raises(UserError, match=r"asks for posix\.mkdir"):
        files.read(path)
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    ("offset", "shape", "strides"),
    [(0, (7,), (1,)), (5, (2,), (1,)), (-1, (2,), (1,)), (0, (2,), (-1,)), (0, (2,), (6,)),
     (0, (1 << 40,), (0,))],
)  # fmt: skip
def test_a_tensor_may_not_reach_beyond_its_storage(offset, shape, strides):
    storage = torch_files._Storage("0", np.dtype(np.float32), 6)
    tensor = torch_files._Tensor(storage, offset, shape, strides)
    with pytest.raises(ValueError, match="storage"):
        tensor.read(lambda _: bytes(24))


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "before 1.6"])
def test_half_a_file_is_a_sentence(tmp_path, legacy):
    path = torch_format.save(tmp_path / "w.pth", TENSORS, legacy=legacy)
    whole = path.read_bytes()
    for length in range(1, len(whole), 37):
        path.write_bytes(whole[:length])
        with pytest.raises(UserError, match=r"w\.pth"):
            files.read(path)


def test_flipped_bytes_are_a_sentence_or_weights(tmp_path):
    path = torch_format.save(tmp_path / "w.pth", TENSORS)
    with zipfile.ZipFile(path) as archive:
        page = archive.read("archive/data.pkl")
    rng = np.random.default_rng(0)
    for _ in range(200):
        changed = bytearray(page)
        changed[rng.integers(len(page))] = rng.integers(256)
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("archive/data.pkl", bytes(changed))
            for key in range(4):
                archive.writestr(f"archive/data/{key}", bytes(96))
        with contextlib.suppress(UserError):  # anything else would be a defect
            assert all(isinstance(t, np.ndarray) for t in torch_files.read(path).values())


@pytest.mark.parametrize("content", [{}, {"epoch": 3}, [1, 2], 5])
def test_a_file_without_weights_is_a_sentence(tmp_path, content):
    with pytest.raises(UserError, match="holds no state dict"):
        files.read(torch_format.save(tmp_path / "w.pth", content))

"""Files of Keras in every form are read to the same arrays, and what does not fit is said."""

import shutil
import zipfile
from pathlib import Path

import h5py
import keras_applications as reference
import numpy as np
import pytest
from keras_applications import keras

from bcjax import config as configs
from bcjax.engine import weights
from bcjax.models.pretrained import families, keras_files, keras_names
from bcjax.runtime.errors import UserError

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

NAME, OPTIONS = "mobilenet_v2", {"alpha": 0.35}


@pytest.fixture(scope="module")
def model():
    return reference.build("MobileNetV2", 32, **OPTIONS)


@pytest.fixture(scope="module")
def saved(model, tmp_path_factory):
    """The same model in three files, by suffix."""
    folder = tmp_path_factory.mktemp("keras")
    files = {suffix: folder / f"model{suffix}" for suffix in (".weights.h5", ".keras", ".h5")}
    for file in files.values():
        reference.save(model, file)
    return files


@pytest.fixture(scope="module")
def tensors(model):
    """The model's variables, by layer and name."""
    return {v.path: np.asarray(v.value) for v in model.variables if "seed" not in v.path}


def same(read, expected):
    return read.keys() == expected.keys() and all(
        np.array_equal(read[name], expected[name]) for name in expected
    )


@pytest.mark.parametrize("suffix", [".weights.h5", ".h5"])
def test_what_is_not_finite_is_refused_with_the_variables_name(saved, tmp_path, suffix):
    path = shutil.copy(saved[suffix], tmp_path / f"bad{suffix}")
    with h5py.File(path, "r+") as file:
        kernels = []
        file.visititems(lambda at, o: kernels.append(at) if getattr(o, "ndim", 0) == 4 else None)
        file[kernels[0]][0, 0, 0, 0] = np.nan
    config = configs.default()
    config.update_from_flattened_dict(
        {"model.name": NAME, "model.alpha": OPTIONS["alpha"], "data.image_size": 32}
    )
    with pytest.raises(UserError, match=r"bad.*h5 holds NaN in \w+/kernel: save"):
        weights.read(path, config, 8)


def without_names(source: Path, to: Path) -> Path:
    """Turns a file into what Keras before 3.6 wrote, which did not name the layers."""
    shutil.copy(source, to)
    if zipfile.is_zipfile(to):
        with zipfile.ZipFile(source) as archive:
            pages = {name: archive.read(name) for name in archive.namelist()}
        weights = to.with_suffix(".inner")
        weights.write_bytes(pages["model.weights.h5"])
        pages["model.weights.h5"] = without_names(weights, to.with_suffix(".bare")).read_bytes()
        with zipfile.ZipFile(to, "w") as archive:
            for name, page in pages.items():
                archive.writestr(name, page)
        return to
    with h5py.File(to, "r+") as file:
        file.visititems(lambda _, group: group.attrs.pop("name", None))
    return to


def as_tensorflow(tensors: dict[str, np.ndarray], to: Path) -> Path:
    """Writes what the applications' published files are: TensorFlow's names, no other group."""
    with h5py.File(to, "w") as file:
        file.attrs["layer_names"] = sorted({name.split("/")[0] for name in tensors})
        for name, tensor in tensors.items():
            layer, variable = name.split("/")
            depthwise = "depthwise_" if layer.endswith("depthwise") else ""
            file[f"{layer}/{layer}/{depthwise}{variable}:0"] = tensor
    return to


@pytest.mark.parametrize("suffix", [".weights.h5", ".keras", ".h5"])
def test_every_form_gives_the_models_variables(saved, tensors, suffix):
    assert same(keras_files.read(saved[suffix]), tensors)


def test_published_files_of_tensorflow_give_the_models_variables(tensors, tmp_path):
    assert same(keras_files.read(as_tensorflow(tensors, tmp_path / "published.h5")), tensors)


def test_an_archive_names_the_layers_where_its_weights_do_not(saved, tensors, tmp_path):
    assert same(keras_files.read(without_names(saved[".keras"], tmp_path / "m.keras")), tensors)


def placed(file, name):
    """A file's arrays, by our paths."""
    read = keras_files.read(file)
    naming = families.best(families.namings(name), read)
    return {naming.place(name): array for name, array in naming.prepare(read).items()}


@pytest.mark.parametrize(
    ("application", "name", "options"),
    [
        ("MobileNetV2", NAME, OPTIONS),
        ("MobileNet", "mobilenet_v1", {"alpha": 0.25}),
        ("ResNet50", "resnet50", {}),
        ("EfficientNetB0", "efficientnet_b0", {}),
        ("ConvNeXtTiny", "convnext_tiny", {}),
    ],
)
def test_layers_without_names_are_known_by_their_order(application, name, options, tmp_path):
    file = tmp_path / "new.weights.h5"
    reference.save(reference.build(application, 32, **options), file)
    old = placed(without_names(file, tmp_path / "old.weights.h5"), name)
    assert None not in old
    assert "params/head/logits/kernel" in old
    assert same(old, placed(file, name))


@pytest.fixture(scope="module")
def base():
    return reference.build("MobileNetV2", 32, include_top=False, **OPTIONS)


def nested(base, *behind):
    """A model for transfer: an application without its top, and what a notebook puts behind it."""
    pooled = keras.layers.GlobalAveragePooling2D()
    return keras.Sequential([keras.Input((32, 32, 3)), base, pooled, *behind])


def test_an_application_inside_a_model_is_found_in_every_form(base, tmp_path):
    transfer = nested(base, keras.layers.Dense(5))
    file = tmp_path / "transfer.weights.h5"
    reference.save(transfer, file)

    for other in (tmp_path / "transfer.keras", tmp_path / "transfer.h5"):
        reference.save(transfer, other)
        assert same(placed(other, NAME), placed(file, NAME))
    old = without_names(file, tmp_path / "old.weights.h5")
    assert same(placed(old, NAME), placed(file, NAME))

    weights, pictures = reference.imported(file, NAME, 32, **OPTIONS), reference.pictures(32)
    expected = reference.logits(transfer, pictures / 127.5 - 1)
    got = reference.our_logits(weights, pictures)
    assert got.shape == (2, 5)
    assert np.abs(got - expected).max() <= 1e-4 * np.abs(expected).max()


def test_layers_of_ones_own_behind_an_application_are_dropped_and_listed(base, tmp_path):
    own = [keras.layers.Dense(16), keras.layers.BatchNormalization(), keras.layers.Dense(5)]
    file = tmp_path / "transfer.weights.h5"
    reference.save(nested(base, *own), file)
    weights = reference.imported(file, NAME, 32, head="drop", **OPTIONS)
    assert weights.outputs == 0
    assert "head" not in weights.variables["params"]
    assert all(layer.name in " ".join(weights.notes) for layer in own)
    with pytest.raises(UserError, match="classifier"):
        reference.imported(file, NAME, 32, **OPTIONS)


def test_a_trained_model_is_read_without_its_optimizer_and_seeds(tmp_path):
    layers = [keras.layers.Conv2D(4, 3), keras.layers.Dropout(0.1), keras.layers.Dense(5)]
    trained = keras.Sequential([keras.Input((8, 8, 3)), *layers])
    trained.compile("adam", "mse")
    trained.optimizer.build(trained.trainable_variables)
    expected = {"/".join(v.path.split("/")[-2:]) for v in trained.weights}
    for suffix in (".weights.h5", ".keras", ".h5"):
        file = tmp_path / f"trained{suffix}"
        reference.save(trained, file)
        assert keras_files.read(file).keys() == expected


@pytest.mark.parametrize(
    ("variance", "expected"),
    [
        # ImageNet's: the deviations stand where the variances belong, and another layer mends it.
        ((0.229, 0.224, 0.225), {}),
        ((0.04, 0.09, 0.16), {"mean": (0.5, 0.4, 0.3), "std": (0.2, 0.3, 0.4)}),
    ],
)
def test_what_an_efficientnet_normalises_with_is_used(variance, expected):
    found = keras_names.EFFICIENTNET[0].settings_in(
        {
            "normalization_1/mean": np.array((0.5, 0.4, 0.3)),
            "normalization_1/variance": np.array(variance),
            "normalization_1/count": np.array(7),
        }
    )
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        np.testing.assert_allclose(found[key], value)


def refused(path, match):
    with pytest.raises(UserError, match=match) as error:
        keras_files.read(path)
    assert str(path) in str(error.value)
    assert str(error.value).count("\n") == 0


@pytest.mark.parametrize("suffix", [".weights.h5", ".keras", ".h5"])
def test_half_a_file_is_refused(saved, suffix, tmp_path):
    half = tmp_path / f"half{suffix}"
    content = saved[suffix].read_bytes()
    half.write_bytes(content[: len(content) // 2])
    refused(half, "not a whole file")


def test_what_is_not_of_keras_is_refused(tmp_path):
    other = tmp_path / "other.h5"
    other.write_text("layers")
    refused(other, "not a whole file")
    with h5py.File(other, "w") as file:
        file["temperature"] = [20.5, 21.0]
    refused(other, "holds no layers")
    with zipfile.ZipFile(tmp_path / "other.keras", "w") as archive:
        archive.writestr("config.json", '{"config": {}}')
    refused(tmp_path / "other.keras", r"not a \.keras archive")


def test_a_file_that_reads_another_file_is_refused(tmp_path):
    (tmp_path / "secret").write_bytes(bytes(16))
    with h5py.File(tmp_path / "sly.h5", "w") as file:
        group = file.create_group("layers/dense/vars")
        group.create_dataset("0", (2, 2), "f4", external=[(str(tmp_path / "secret"), 0, 16)])
    refused(tmp_path / "sly.h5", "in another file")


@pytest.mark.parametrize(
    ("name", "options", "match"),
    [
        (NAME, {"alpha": 0.5}, "have another shape"),
        ("mobilenet_v1", {}, "they look like MobileNetV2 of keras"),
    ],
)
def test_weights_of_another_network_are_refused(saved, name, options, match):
    with pytest.raises(UserError, match=match):
        reference.imported(saved[".h5"], name, 32, **options)

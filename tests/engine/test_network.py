import jax
import numpy as np
import pytest
from tiny import SIZE, Network, same_bits

from bcjax import config as configs
from bcjax import models
from bcjax.engine import checkpoint, network
from bcjax.engine import state as states
from bcjax.engine.checkpoint import Checkpoints
from bcjax.runtime import mesh as meshes
from bcjax.runtime.errors import UserError

MESH = meshes.create()
CLASSES = ("eosinophil", "monocyte", "platelet")
ACCURACY = {1: 0.5, 2: 0.75, 3: 0.6}


@pytest.fixture(autouse=True)
def _tiny_in_the_table(monkeypatch):
    entry = models.NetworkInfo(
        Network, input_size=SIZE, parameters=0, macs=0, stages=(), paper="",
        mean=(0.1,) * 3, std=(0.2,) * 3,
    )  # fmt: skip
    monkeypatch.setitem(models.MODELS, "tiny", entry)


def make_config(**optim):
    config = configs.default()
    config.model.name = "tiny"
    config.data.image_size = SIZE
    config.optim.update(optim)
    return config


def write_run(workdir, config):
    """Writes a run of three checkpoints; returns the state of each."""
    init = states.initializer(Network(), config)
    abstract = states.shapes(lambda: init(0), MESH, 1 << 30)
    start, saved = states.compile_init(init, abstract)(0), {}
    configs.save(config, workdir / "config.json")
    checkpoints = Checkpoints(workdir, keep=3, metric=config.checkpoint.best)
    for step, accuracy in ACCURACY.items():
        # The averages stand elsewhere than the parameters.
        state = jax.tree.map(lambda a, step=step: a + np.asarray(step, a.dtype), start)
        state = state.replace(
            step=np.int32(step), ema=jax.tree.map(lambda a, step=step: -a * step, start.ema)
        )
        checkpoints.save(state, checkpoint.about_page(config, CLASSES, {"accuracy": accuracy}))
        saved[step] = state
    checkpoints.close()
    return saved


@pytest.mark.parametrize(
    ("which", "step"), [("best", 2), ("latest", 3), ("1", 1), ("2", 2), ("3", 3)]
)
def test_a_network_is_rebuilt_from_its_workdir(tmp_path, which, step):
    config = make_config()
    states = write_run(tmp_path, config)
    trained = network.load(tmp_path, which, MESH)
    assert trained.step == step
    assert trained.classes == CLASSES
    assert trained.config == config
    assert same_bits(trained.variables, states[step].variables)
    logits = trained.model.apply(trained.variables, np.zeros((2, SIZE, SIZE, 3)), train=False)
    assert logits.shape == (2, len(CLASSES))


def test_where_a_run_kept_averages_they_are_the_network(tmp_path):
    states = write_run(tmp_path, make_config(ema=0.9))
    trained = network.load(tmp_path, "best", MESH)
    assert same_bits(trained.variables, states[2].ema)
    assert not same_bits(trained.variables, states[2].variables)


@pytest.mark.parametrize("which", ["4", "-1", "newest", ""])
def test_an_unknown_checkpoint_names_those_there_are(tmp_path, which):
    write_run(tmp_path, make_config())
    with pytest.raises(UserError, match="choose best, latest or one of 1, 2, 3"):
        network.load(tmp_path, which, MESH)


def test_without_an_evaluation_the_best_is_the_latest(tmp_path):
    config = make_config()
    config.checkpoint.best = "macro_auc"
    write_run(tmp_path, config)
    assert network.load(tmp_path, "best", MESH).step == 3


def test_a_folder_without_a_run_is_named(tmp_path):
    with pytest.raises(UserError, match="holds no run"):
        network.load(tmp_path, "best", MESH)


def test_a_run_without_a_checkpoint_is_named(tmp_path):
    configs.save(make_config(), tmp_path / "config.json")
    with pytest.raises(UserError, match="holds no checkpoint yet"):
        network.load(tmp_path, "best", MESH)


def test_reading_a_run_changes_nothing_in_it(tmp_path):
    write_run(tmp_path, make_config())
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    network.load(tmp_path, "best", MESH)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_the_networks_own_normalisation_fills_what_the_config_leaves_open():
    config = network.resolve(make_config())
    assert (config.model.mean, config.model.std) == ((0.1,) * 3, (0.2,) * 3)
    config = make_config()
    config.model.mean = (0.7,) * 3
    config = network.resolve(config)
    assert (config.model.mean, config.model.std) == ((0.7,) * 3, (0.2,) * 3)


def test_options_that_are_set_reach_the_network():
    config = make_config()
    config.model.update(dropout=0.25, dtype="bfloat16")
    built = network.build(config, classes=5)
    assert (built.classes, built.dropout, built.dtype) == (5, 0.25, models.DTYPES["bfloat16"])


def test_an_option_that_the_network_does_not_have_is_a_mistake():
    config = make_config()
    config.model.small_stem = True
    with pytest.raises(UserError, match="small_stem"):
        network.build(config, classes=5)

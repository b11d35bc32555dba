import dataclasses
import datetime
import json

import pytest

from bcjax import config as configs
from bcjax.runtime.run_dir import RunDir
from bcjax.runtime.training_sessions import Session, different_conditions
from bcjax.training import loggers
from bcjax.training.loggers import sessions as energy
from bcjax.training.loggers.sessions import Counter, session_now


@pytest.fixture
def config(tmp_path):
    config = configs.default()
    config.workdir = str(tmp_path)
    config.train.batch_size = 8
    return config


def sessions(config):
    return loggers.read(RunDir(config.workdir).sessions)


def test_a_session_says_when_how_much_and_on_what(config):
    before = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
    session = loggers.SessionLog(config, step=10)
    session.scalars(14, {})
    (line,) = sessions(config)
    began = datetime.datetime.fromisoformat(line["began"])
    assert before <= began <= datetime.datetime.now(datetime.UTC)
    assert (line["first_step"], line["last_step"], line["images"]) == (10, 14, 32)
    assert line["seconds"] >= 0
    assert (line["device"], line["processes"]) == ("cpu", 1)
    assert line["devices"] >= 1
    assert line["host"]["cores"] >= 1
    assert set(line["host"]) == {"cpu", "cores", "platform", "features"}  # and not its name
    assert {"bcjax", "jax", "jaxlib"} <= set(line["versions"])


def test_a_session_says_what_besides_config_pictures_and_seed_changes_a_result(monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "--xla_cpu_max_isa=AVX")
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "0")
    now = session_now(0)
    assert now.compiler["XLA_FLAGS"] == "--xla_cpu_max_isa=AVX"
    assert now.compiler["NVIDIA_TF32_OVERRIDE"] == "0"
    assert {"x64", "matmul_precision"} <= now.compiler.keys()
    assert all(feature == feature.lower() for feature in now.host.features)


def test_other_conditions_are_named_and_where_things_lie_is_none(monkeypatch):
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "/here")
    before = session_now(0)
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "/there")
    assert different_conditions(before, session_now(4)) == []
    host = dataclasses.replace(before.host, cores=64, features=["avx512f"])
    here = dataclasses.replace(
        before, host=host, compiler=before.compiler | {"XLA_FLAGS": "--a"},
        versions=before.versions | {"jax": "9.9"},
    )  # fmt: skip
    named = [line.partition(" ")[0] for line in different_conditions(before, here)]
    assert named == ["XLA_FLAGS", "cores", "instructions", "jax"]
    assert "64 now)" in different_conditions(before, here)[1]


def test_what_an_earlier_version_did_not_write_down_is_not_compared():
    line = dataclasses.asdict(session_now(0))
    del line["compiler"], line["host"]["features"]
    assert different_conditions(Session.from_dict(line), session_now(0)) == []


def test_a_session_is_written_anew_at_each_log_line_and_a_resumed_run_adds_its_own(config):
    first = loggers.SessionLog(config, step=0)
    assert sessions(config) == []  # nothing was done yet
    first.scalars(2, {})
    first.scalars(4, {})
    second = loggers.SessionLog(config, step=4)  # the first was killed: it closed nothing
    second.scalars(5, {})
    second.scalars(8, {})
    second.close()
    assert [(line["first_step"], line["last_step"]) for line in sessions(config)] == [
        (0, 4),
        (4, 8),
    ]


def test_a_run_leaves_a_session(trained):
    (line,) = loggers.read(RunDir(trained.workdir).sessions)
    assert (line["first_step"], line["last_step"], line["images"]) == (0, 6, 48)


def counter(readings, **options):
    return Counter("processors", lambda: next(readings), **options)


def test_energy_is_what_the_counters_add_up_to():
    meter = energy.EnergyMeter(
        [counter(iter([100.0, 130.0, 150.0])), counter(iter([7.0, 8.0, 8.5]))]
    )
    assert meter.joules() == 31.0
    assert meter.joules() == 51.5
    assert meter.of == ["processors"]


def test_a_counter_that_begins_anew_goes_on():
    meter = energy.EnergyMeter([counter(iter([90.0, 5.0, 25.0]), wraps=100.0)])
    assert meter.joules() == 15.0
    assert meter.joules() == 35.0


def test_where_nothing_counts_the_energy_is_not_known():
    assert energy.EnergyMeter([]).joules() is None


def test_packages_are_read_and_not_their_parts(tmp_path):
    for zone, microjoules in (
        ("intel-rapl:0", 5_000_000),
        ("intel-rapl:1", 7_000_000),
        ("intel-rapl:0:0", 1_000_000),
    ):
        folder = tmp_path / zone
        folder.mkdir()
        (folder / "energy_uj").write_text(f"{microjoules}\n")
        (folder / "max_energy_range_uj").write_text("262143328850\n")
    found = list(energy._rapl(tmp_path))
    assert [counter.read() for counter in found] == [5.0, 7.0]
    assert all(counter.wraps == pytest.approx(262143.32885) for counter in found)


def test_a_session_is_one_line_of_json(config):
    session = loggers.SessionLog(config, step=0)
    session.scalars(1, {})
    text = (RunDir(config.workdir).sessions).read_text()
    assert text.count("\n") == 1
    assert json.loads(text)["joules"] is None or json.loads(text)["joules"] >= 0

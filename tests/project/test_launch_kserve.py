"""`launch/kserve.yaml`: what it starts is understood, and what it asks is there."""

import pytest
import yaml
from places import ROOT

from bcjax.cli import flags
from bcjax.cli import serve as command


@pytest.fixture
def container():
    manifest = yaml.safe_load((ROOT / "launch" / "kserve.yaml").read_text())
    assert manifest["kind"] == "InferenceService"
    (found,) = manifest["spec"]["predictor"]["containers"]
    return found


def test_its_command_is_understood(container):
    name, *words = container["args"]
    assert name == "serve"
    arguments = flags.parse(command, name, words)
    assert arguments.workdir == ["cells=/mnt/models"]
    assert arguments.port == container["ports"][0]["containerPort"]
    assert any(each["name"] == command.TOKEN_VARIABLE for each in container["env"])


def test_its_probes_ask_what_there_is_without_a_token(container):
    pytest.importorskip("fastapi", reason="the extra 'serve' is not installed")
    from bcjax.serve import app

    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        asked = container[probe]["httpGet"]
        assert asked["path"] in app.OPEN
        assert asked["port"] == container["ports"][0]["containerPort"]

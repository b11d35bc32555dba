"""The benchmark command: what it measures, what it says of it, and the counts behind that."""

import gzip
import json

import jax
import jax.numpy as jnp
import pytest
from commandline import ROOT, refused, run_bcjax
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from bcjax.benchmark import SUBJECTS, machine, roofline, tables, trace
from bcjax.benchmark.machine import Machine, Peaks
from bcjax.benchmark.operations import KINDS, Program
from bcjax.benchmark.roofline import Cost
from bcjax.benchmark.suite import Benchmark

CONFIG = f"--config={ROOT / 'tests' / 'support' / 'quick_config.py'}"
ROOF = {
    "flops", "bytes_accessed", "peak_memory_mb", "share_of_compute_peak",
    "share_of_bandwidth_peak", "flops_per_byte", "roof", "share_of_roof",
}  # fmt: skip


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """Every subject, measured once: what was printed, the file, and the folder of the profile."""
    folder = tmp_path_factory.mktemp("benchmark")
    ran = run_bcjax(
        "benchmark", CONFIG, "--config.augment.ops=('brightness(0.2)',)",
        f"--what={','.join(SUBJECTS)}", "--steps=2", "--repeats=1", "--json",
        f"--out={folder / 'figures.json'}", f"--trace={folder / 'profile'}",
    )  # fmt: skip
    assert ran.status == 0, ran
    return ran.out, folder / "figures.json", folder / "profile"


@pytest.fixture(scope="module")
def page(measured):
    return json.loads(measured[0])


def figures(tree):
    """All numbers in a tree of dicts and lists."""
    if isinstance(tree, dict):
        return [number for value in tree.values() for number in figures(value)]
    if isinstance(tree, list):
        return [number for value in tree for number in figures(value)]
    return [tree] if isinstance(tree, int | float) else []


# The command


def test_every_subject_asked_for_is_in_the_printed_object(page):
    assert {
        "command",
        "about",
        "config",
        "peaks",
        "stolen_share",
        "trace",
        *SUBJECTS,
    } == page.keys()
    assert page["command"].startswith("bcjax benchmark --config=")
    assert page["config"] == {
        "model": "quick", "image_size": 16, "batch_size": 8, "dtype": "float32", "store": "host",
        "steps_per_call": 1,
    }  # fmt: skip


def test_the_file_holds_what_was_printed(measured):
    printed, file, _ = measured
    assert file.read_text() == printed
    assert [path.name for path in file.parent.iterdir() if path.is_file()] == [file.name]


def test_every_figure_is_positive(page):
    for name in {"peaks", *SUBJECTS} - {"input"}:
        assert min(figures(page[name])) > 0, name
    for kind in ("disk", "host", "device"):
        assert page["input"][kind]["images_per_s"] > 0


def test_the_step_has_its_rate_its_time_and_its_first_call(page):
    step = page["step"]
    assert step.keys() == {"images_per_s", "step_ms", "first_step_s", *ROOF}
    assert step["images_per_s"] == pytest.approx(8 / (step["step_ms"] / 1e3))
    assert step["roof"] in ("compute", "bandwidth")


def test_the_whole_run_goes_from_one_evaluation_to_the_next(page):
    whole = page["train"]["whole"]
    assert (whole["steps"], whole["images"], whole["evaluated"]) == (2, 16, 16)
    assert whole["images_per_s"] == pytest.approx(16 / whole["seconds"])
    assert whole["share_of_bare_step"] > 0
    assert page["train"]["share_of_bare_step"] == pytest.approx(
        page["train"]["images_per_s"] / page["train"]["bare_images_per_s"]
    )


def test_augmentation_and_evaluation_are_held_to_the_roof_too(page):
    assert page["augment"]["ops"] == ["brightness(0.2)"]
    assert page["augment"].keys() >= ROOF
    assert page["evaluate"]["forward"].keys() >= ROOF
    assert (page["evaluate"]["split"], page["evaluate"]["images"]) == ("val", 16)


def test_answers_are_timed_up_to_the_batch_of_evaluation(page):
    batches = page["predict"]["batches"]
    assert [each["batch_size"] for each in batches] == [1, 8]
    for each in batches:
        assert each["p50_ms"] <= each["p99_ms"]
        assert each.keys() >= ROOF
    # The same network on eight times the pictures.
    assert batches[1]["flops"] == pytest.approx(8 * batches[0]["flops"], rel=0.2)


def test_a_start_is_cold_then_warm_and_its_parts_make_the_whole(page):
    assert list(page["start"]) == ["cold", "warm"]
    for each in page["start"].values():
        parts = each["import_s"] + each["build_s"] + each["first_step_s"]
        assert each["seconds"] == pytest.approx(parts)


def test_a_checkpoint_is_on_disk_after_training_may_go_on(page):
    saved = page["checkpoint"]
    assert saved["save_ms"] <= saved["on_disk_ms"]
    assert saved["restore_ms"] > 0
    assert 0 < saved["state_mb"] <= saved["disk_mb"]


def test_the_profile_is_where_the_page_says(measured, page):
    found = page["trace"]
    assert found["xprof"] == str(measured[2])
    with gzip.open(found["perfetto"]) as file:
        assert json.load(file)["traceEvents"]
    assert set(found["shares"]) == set(KINDS)
    assert sum(found["shares"].values()) == pytest.approx(1)
    assert found["shares"]["convolution"] > 0
    assert found["longest"][0]["share"] == max(each["share"] for each in found["longest"])


def test_the_table_says_each_subject_and_the_machine(page):
    console = Console(width=220)
    with console.capture() as capture:
        console.print(tables.table(Benchmark.from_dict(page)))
    text = capture.get()
    for said in (
        "quick, 16 px, 8 pictures a step, float32, host store", "bare step", "training loop",
        "whole run", "augmentation", "evaluation", "answers, batch 8", "to the first step, cold",
        "checkpoint restored", "binds", page["trace"]["perfetto"], page["about"]["processor"],
    ):  # fmt: skip
        assert said in text, (said, text)


def test_about_names_day_device_and_versions():
    about = machine.about()
    assert about.device == jax.devices()[0].device_kind
    assert about.versions["jax"] == jax.__version__
    assert about.cores >= 1
    assert Machine.from_dict(json.loads(json.dumps(about.to_dict()))) == about


def test_a_page_that_was_written_can_be_read_again(page):
    assert {"command": page["command"]} | Benchmark.from_dict(page).to_dict() == page


# Mistakes


@pytest.mark.parametrize(
    ("flag", "named"),
    [
        ("--what=step,trian", "'train'"),
        ("--what=", "''"),
        ("--what=augment", "config.augment.ops"),
        ("--out=nowhere/figures.json", "nowhere"),
        ("--steps=0", "steps"),
        ("--config.eval.split=test2", "test2"),
    ],
)
def test_a_mistake_is_one_sentence(flag, named):
    refused(run_bcjax("benchmark", CONFIG, flag), named)


def test_a_profile_that_cannot_be_written_is_refused_before_anything_is_timed(tmp_path):
    (tmp_path / "file").write_text("")
    ran = run_bcjax("benchmark", CONFIG, f"--trace={tmp_path / 'file'}")
    refused(ran, f"--trace={tmp_path / 'file'}")


# Costs and roofs


@settings(max_examples=10)  # each compiles
@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 40))
def test_a_matrix_product_costs_two_operations_a_multiply_add(m, n, k):
    shapes = [jax.ShapeDtypeStruct(s, jnp.float32) for s in ((m, k), (k, n))]
    cost = roofline.cost(jax.jit(jnp.matmul).lower(*shapes))
    assert cost.flops == 2 * m * n * k


def test_a_matrix_product_reads_its_operands_and_writes_its_output_once():
    shapes = [jax.ShapeDtypeStruct(s, jnp.float32) for s in ((64, 32), (32, 128))]
    cost = roofline.cost(jax.jit(jnp.matmul).lower(*shapes))
    moved = 4 * (64 * 32 + 32 * 128 + 64 * 128)
    assert cost.bytes_accessed == moved
    assert cost.peak_memory >= moved


def test_a_call_of_a_library_counts_what_it_reads_and_writes():
    lowered = jax.jit(jnp.linalg.cholesky).lower(jax.ShapeDtypeStruct((32, 32), jnp.float32))
    compiled = lowered.compile()
    uncounted = compiled.cost_analysis()["bytes accessed"]
    # In and out a matrix, and the status of the library's call.
    assert roofline.cost(lowered).bytes_accessed - uncounted == 2 * 4 * 32 * 32 + 4


def test_the_calls_of_a_gpu_program_are_read_from_its_text():
    hlo = """
ENTRY %main.7 (p0: bf16[8,4,4,3], p1: bf16[16,3,3,3]) -> bf16[8,4,4,16] {
  %p0.1 = bf16[8,4,4,3]{3,2,1,0} parameter(0)
  %p1.1 = bf16[16,3,3,3]{3,2,1,0} parameter(1)
  %conv.2 = (bf16[8,4,4,16]{3,2,1,0}, u8[100]{0}) custom-call(%p0.1, %p1.1), window={size=3x3}
  %get.3 = bf16[8,4,4,16]{3,2,1,0} get-tuple-element(%conv.2), index=0
  ROOT %gelu.4 = bf16[8,4,4,16]{3,2,1,0} fusion(%get.3), kind=kLoop, calls=%fused
}
"""
    read, written = 2 * (8 * 4 * 4 * 3 + 16 * 3 * 3 * 3), 2 * 8 * 4 * 4 * 16 + 100
    assert roofline.in_libraries(Program(hlo)) == read + written


def test_what_other_programs_do_is_not_the_step_s_time():
    program = Program(jax.jit(jnp.sin).lower(jnp.ones(64)).compile().as_text())
    (sine,) = (operation for operation, _ in program.dispatched())
    found = trace.shares(program, {sine.name: 2.0, "of_another": 6.0})
    assert found["shares"]["element-wise"] == 1
    assert trace.shares(program, {"of_another": 6.0}) == {}


def test_the_roof_that_asks_for_more_time_binds():
    peaks = Peaks(flops_per_s=100.0, bytes_per_s=10.0)
    dense = roofline.against(Cost(flops=400, bytes_accessed=20, peak_memory=8), 8.0, peaks)
    assert (dense["roof"], dense["share_of_roof"]) == ("compute", 0.5)
    assert dense["share_of_bandwidth_peak"] == 0.25
    assert dense["flops_per_byte"] == 20
    thin = roofline.against(Cost(flops=100, bytes_accessed=40), 8.0, peaks)
    assert (thin["roof"], thin["share_of_roof"]) == ("bandwidth", 0.5)


POSITIVE = st.floats(1e-3, 1e15)


@given(POSITIVE, POSITIVE, POSITIVE, POSITIVE, st.floats(1e-6, 1e6))
def test_no_time_below_the_roofs_is_possible(flops, moved, flops_peak, bytes_peak, seconds):
    found = roofline.against(
        Cost(flops, moved), seconds, Peaks(flops_per_s=flops_peak, bytes_per_s=bytes_peak)
    )
    least = max(flops / flops_peak, moved / bytes_peak)
    assert found["share_of_roof"] == pytest.approx(least / seconds)


@given(st.sampled_from(["flops", "bytes_accessed", "peak_memory"]))
def test_what_the_backend_does_not_say_is_left_out(known):
    found = roofline.against(Cost(**{known: 2}), 1.0, Peaks(flops_per_s=1.0, bytes_per_s=1.0))
    assert "roof" not in found
    assert {"flops", "bytes_accessed", "peak_memory_mb"} & found.keys() == {
        "peak_memory_mb" if known == "peak_memory" else known
    }


# The clock


def test_works_take_turns():
    done = []
    times = machine.in_turns(3, a=lambda: done.append("a"), b=lambda: done.append("b"))
    assert "".join(done) == "ababab"
    assert {name: len(each) for name, each in times.items()} == {"a": 3, "b": 3}


def test_time_that_the_host_gave_to_others_is_told():
    peaks = Peaks(flops_per_s=1e11, bytes_per_s=3e10)
    assert "12.0 % of the processors' time" in tables.peaks(peaks, 0.12)
    assert "host" not in tables.peaks(peaks, 0.01)
    before = machine.processors()
    assert 0 <= before.stolen <= before.wanted
    assert 0 <= machine.stolen_share(before) <= 1

"""The claims of published projects: what is compared can be trained, and how verdicts follow."""

import json
import sys

import pytest
from commandline import ROOT

from bcjax import config as configs

sys.path.append(str(ROOT / "benchmarks"))

import claims
from claim_list import CLAIMS, Comparison

NUMBERS = [claim.number for claim in CLAIMS]


def test_every_claim_has_a_number_of_its_own():
    assert list(range(1, 16)) == NUMBERS


@pytest.mark.parametrize("claim", CLAIMS, ids=NUMBERS)
def test_what_a_claim_compares_can_be_trained_and_differs(claim):
    found = {
        name: configs.flatten(configs.get(arm.config, arm.changes))
        for name, arm in claim.arms.items()
    }
    compared = {(each.first, each.second) for each in claim.comparisons}
    assert all(found[first] != found[second] for first, second in compared)
    assert {name for pair in compared for name in pair} == set(found)


def test_the_page_names_the_claims_that_are_not_tested_yet():
    kept = json.loads((ROOT / "benchmarks" / "results" / "claims.json").read_text())
    tested = dict(list(kept["claims"].items())[:-1])
    shown = claims.table(kept | {"claims": tested})
    rows = [line for line in shown.splitlines() if line.startswith("| ")][1:]
    listed = shown.partition("Not tested yet:")[2].count("- **")
    assert len(rows) == len(tested)
    assert len(rows) + listed == len(CLAIMS)


@pytest.mark.parametrize(
    ("comparison", "low", "high", "said"),
    [
        (Comparison("a", "b"), 0.01, 0.05, claims.HOLDS),
        (Comparison("a", "b"), -0.01, 0.05, claims.OPEN),
        (Comparison("a", "b"), -0.05, -0.01, claims.FAILS),
        (Comparison("a", "b"), None, None, claims.OPEN),
        (Comparison("a", "b", 2.5), 0.01, 0.05, claims.HOLDS),
        (Comparison("a", "b", 2.5), 0.01, 0.02, claims.LESS),
        (Comparison("a", "b", 2.5), -0.01, 0.02, claims.FAILS),
        (Comparison("a", "b", says="alike"), -0.01, 0.01, claims.HOLDS),
        (Comparison("a", "b", says="alike"), -0.03, 0.01, claims.OPEN),
        (Comparison("a", "b", says="alike"), 0.03, 0.05, claims.FAILS),
    ],
)
def test_an_interval_decides_or_does_not(comparison, low, high, said):
    assert claims.decided(comparison, low, high) == said


def test_a_claim_is_as_good_as_the_worst_of_what_it_says():
    claim = next(each for each in CLAIMS if each.faster)
    alike = [{"low": -0.01, "high": 0.01}]
    assert claims.verdict(claim, alike, 1.6) == claims.HOLDS
    assert claims.verdict(claim, alike, 1.2) == claims.FAILS
    assert claims.verdict(claim, [{"low": -0.05, "high": 0.01}], 1.6) == claims.OPEN

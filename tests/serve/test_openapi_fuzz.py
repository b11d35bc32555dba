"""Requests that schemathesis makes of the OpenAPI page: none ends in 5xx, all as the page says."""

import hypothesis
import pytest
import schemathesis
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi import checks

EXAMPLES = 6  # of each road and mode; benchmarks/serve.py --fuzz makes thousands
CHECKS = (
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
)


@pytest.fixture
def roads(threads):
    host, port = threads()
    schema = schemathesis.openapi.from_url(f"http://{host}:{port}/openapi.json")
    return [found.ok() for found in schema.get_all_operations()]


@pytest.mark.parametrize("mode", list(schemathesis.GenerationMode))
def test_every_answer_is_as_the_page_says(roads, mode):
    assert len(roads) > 10
    asked = 0
    for road in roads:

        @hypothesis.settings(
            max_examples=EXAMPLES, suppress_health_check=list(hypothesis.HealthCheck)
        )
        @hypothesis.given(case=road.as_strategy(generation_mode=mode))
        def ask(case):
            nonlocal asked
            asked += 1
            case.call_and_validate(checks=CHECKS)

        try:
            ask()
        except hypothesis.errors.Unsatisfiable:  # nothing about this road can be wrong
            continue
    assert asked > EXAMPLES * 5

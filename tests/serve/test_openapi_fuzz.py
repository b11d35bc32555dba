"""Requests that schemathesis makes of the OpenAPI page: none ends in 5xx, all as the page says."""

import httpx
import hypothesis
import pytest
import schemathesis
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi import checks

THERE = {"name": ["clinic"], "model": ["clinic"], "version": ["6"]}
EXAMPLES = 6  # of each road and mode; benchmarks/serve.py --fuzz makes thousands
CHECKS = (
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
)


@pytest.fixture
def roads(threads):
    url = "http://{}:{}".format(*threads())
    page = httpx.get(f"{url}/openapi.json", trust_env=False).json() | {"servers": [{"url": url}]}
    for methods in page["paths"].values():
        for road in methods.values():
            for parameter in road.get("parameters", ()):
                if parameter["name"] in THERE:  # else all of them would end in 404
                    parameter["schema"] = {"enum": THERE[parameter["name"]]}
    schema = schemathesis.openapi.from_dict(page)
    return url, [found.ok() for found in schema.get_all_operations()]


@pytest.mark.parametrize("mode", list(schemathesis.GenerationMode))
def test_every_answer_is_as_the_page_says(roads, mode):
    url, found = roads
    assert len(found) > 10
    asked = 0
    for road in found:

        @hypothesis.settings(
            max_examples=EXAMPLES, suppress_health_check=list(hypothesis.HealthCheck)
        )
        @hypothesis.given(case=road.as_strategy(generation_mode=mode))
        def ask(case):
            nonlocal asked
            asked += 1
            case.call_and_validate(base_url=url, checks=CHECKS)

        try:
            ask()
        except hypothesis.errors.Unsatisfiable:  # nothing about this road can be wrong
            continue
    assert asked >= 3 * EXAMPLES

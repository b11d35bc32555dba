"""The refusals of a road, as the OpenAPI page states them."""

from typing import Any

from bcjax.serve.answers import ErrorAnswer

_MEANINGS = {
    400: "The body cannot be read.",
    401: "The token is missing or wrong.",
    404: "There is no such model.",
    405: "There is no such method here.",
    408: "The request did not arrive in time.",
    413: "The body, a picture or their number is too large.",
    415: "The body is of another type than those above.",
    422: "The body holds no picture, or the only picture cannot be read.",
    429: "The queue is full: again after Retry-After seconds.",
    503: "The answer took too long, or the service is ending: again after Retry-After seconds.",
}


def refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Returns FastAPI's `responses` for some statuses."""
    return {status: {"model": ErrorAnswer, "description": _MEANINGS[status]} for status in statuses}

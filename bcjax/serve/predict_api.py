"""`POST /v1/predict`: pictures in, answers out; and `GET /v1/models`."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request

from bcjax.serve import answers, bodies
from bcjax.serve.answers import Json, Models, PredictAnswer
from bcjax.serve.documented import refusals
from bcjax.serve.refusals import Refused
from bcjax.serve.request_records import note
from bcjax.serve.service import Service, Unanswered

router = APIRouter(tags=["pictures"])

_PICTURE = {"type": "string", "format": "binary"}
_BASE64 = {"type": "string", "contentEncoding": "base64"}
_BODY = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": ["pictures"],
                "properties": {
                    "pictures": {"type": "array", "items": _PICTURE, "minItems": 1},
                },
            }
        },
        "application/json": {
            "schema": {
                "type": "object",
                "required": ["pictures"],
                "properties": {
                    "pictures": {
                        "type": "array",
                        "minItems": 1,
                        "items": {
                            "anyOf": [
                                _BASE64,
                                {
                                    "type": "object",
                                    "required": ["data"],
                                    "properties": {"name": {"type": "string"}, "data": _BASE64},
                                },
                            ]
                        },
                    }
                },
            }
        },
        "image/*": {"schema": _PICTURE},
        "application/octet-stream": {"schema": _PICTURE},
    },
}


@router.post(
    "/v1/predict",
    summary="Label pictures",
    response_model=PredictAnswer,
    responses=refusals(400, 401, 404, 408, 413, 415, 422, 429, 503),
    openapi_extra={"requestBody": _BODY},
)
async def predict(
    request: Request,
    model: Annotated[str | None, Query(description="Its name; default: the first one.")] = None,
) -> Json:
    """Answers one or many pictures, of any format that bcjax reads.

    A picture that cannot be read is an entry with `error` among the others; if it is the only one,
    the request is refused with 422, or with 413 if it is too large.
    """
    service: Service = request.app.state.service
    run = service.run(model)
    pictures = await bodies.pictures(request, service.settings)
    note(request.scope, model=run.name, pictures=len(pictures))
    answered = await service.answer(run.name, run.loaded, pictures)
    (first, *others) = answered.answers
    if isinstance(first, Unanswered) and not others:
        raise Refused(first.status, first.error)
    return Json(answers.predictions(run, answered))


@router.get("/v1/models", summary="What is served", response_model=Models, responses=refusals(401))
async def models(request: Request) -> Json:
    service: Service = request.app.state.service
    found: list[dict[str, Any]] = [run.about() for run in service.runs.values()]
    return Json({"models": found})

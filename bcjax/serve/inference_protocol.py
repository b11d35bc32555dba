"""The Open Inference Protocol, version 2: what KServe, Triton and their clients speak."""

from importlib import metadata
from typing import Annotated, Any

import pydantic
from fastapi import APIRouter, Header, Request
from starlette.concurrency import run_in_threadpool

from bcjax.serve import health_api, tensors
from bcjax.serve.answers import Json
from bcjax.serve.documented import refusals
from bcjax.serve.health_api import Alive, Ready, check_ready
from bcjax.serve.refusals import Refused
from bcjax.serve.request_records import note
from bcjax.serve.served_run import USE, ServedRun
from bcjax.serve.service import Service, Unanswered

router = APIRouter(prefix="/v2", tags=["Open Inference Protocol"])


class TensorAbout(pydantic.BaseModel):
    """A tensor's name, type and shape; -1: any number of pictures."""

    name: str
    datatype: str
    shape: list[int]


class Tensor(TensorAbout):
    """A tensor with its numbers."""

    data: list[Any] | None = None
    parameters: dict[str, Any] | None = None


class ServerAbout(pydantic.BaseModel):
    """The server."""

    name: str
    version: str
    extensions: list[str]


class TensorsAbout(pydantic.BaseModel):
    """A model."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorAbout]
    outputs: list[TensorAbout]


class ModelReady(pydantic.BaseModel):
    """A model is ready."""

    name: str
    ready: bool


class InferAnswer(pydantic.BaseModel):
    """What is known of them."""

    model_name: str
    model_version: str
    id: str | None = None
    parameters: dict[str, Any]
    outputs: list[Tensor]


_NAMED = {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}}
_TENSOR = {
    "type": "object",
    "required": ["name", "datatype", "shape"],
    "properties": {
        "name": {"const": tensors.INPUT},
        "datatype": {"enum": ["UINT8", "BYTES"]},
        "shape": {"type": "array", "items": {"type": "integer", "minimum": 0}},
        "data": {"type": "array", "description": "Pixels from 0 to 255, or files in base64."},
        "parameters": {"type": "object"},
    },
}
_REQUEST = {
    "type": "object",
    "required": ["inputs"],
    "properties": {
        "id": {"type": "string"},
        "parameters": {"type": "object"},
        "inputs": {"type": "array", "items": _TENSOR, "minItems": 1, "maxItems": 1},
        "outputs": {"type": "array", "items": _NAMED},
    },
}
_BODY = {
    "required": True,
    "content": {
        "application/json": {"schema": _REQUEST},
        "application/octet-stream": {  # JSON with binary tensors behind it
            "schema": {"type": "string", "format": "binary"}
        },
    },
}


@router.get("", summary="The server", response_model=ServerAbout, responses=refusals(401))
async def server() -> Json:
    version = metadata.version("bcjax")
    return Json({"name": "bcjax", "version": version, "extensions": ["binary_tensor_data"]})


router.get("/health/live", summary="Whether it runs", response_model=Alive)(health_api.live)
router.get(
    "/health/ready",
    summary="Whether it takes requests",
    response_model=Ready,
    responses=refusals(503),
)(health_api.ready)


@router.get(
    "/models/{name}",
    summary="A model",
    response_model=TensorsAbout,
    responses=refusals(401, 404, 422),
)
@router.get(
    "/models/{name}/versions/{version}",
    summary="A checkpoint of a model",
    response_model=TensorsAbout,
    responses=refusals(401, 404, 422),
)
async def about(request: Request, name: str, version: str | None = None) -> Json:
    run = _run(request, name, version)
    network = run.loaded
    platform = "onnxruntime_onnx" if network.backend == "onnx" else "jax"
    page = {"name": name, "versions": [str(network.step)], "platform": platform}
    return Json(page | tensors.described(network))


@router.get(
    "/models/{name}/ready",
    summary="Whether a model is ready",
    response_model=ModelReady,
    responses=refusals(401, 404, 422, 503),
)
@router.get(
    "/models/{name}/versions/{version}/ready",
    summary="Whether a checkpoint is ready",
    response_model=ModelReady,
    responses=refusals(401, 404, 422, 503),
)
async def model_ready(request: Request, name: str, version: str | None = None) -> Json:
    run = _run(request, name, version)
    check_ready(request.app.state.service)
    return Json({"name": run.name, "ready": True})


_INFER: dict[str, Any] = {
    "response_model": InferAnswer,
    "responses": refusals(400, 401, 404, 408, 413, 422, 429, 503),
    "openapi_extra": {"requestBody": _BODY},
}


@router.post("/models/{name}/infer", summary="Answer pictures", **_INFER)
@router.post(
    "/models/{name}/versions/{version}/infer", summary="Answer pictures by a checkpoint", **_INFER
)
async def infer(
    request: Request,
    name: str,
    version: str | None = None,
    inference_header_content_length: Annotated[
        str | None, Header(description="The bytes of the JSON, if binary tensors follow it.")
    ] = None,
) -> Json:
    """Answers a tensor `images`: pixels (UINT8, of the network's size) or files (BYTES, base64).

    Of all pictures none is answered if one cannot be read, for a tensor has no place to say so.
    """
    service: Service = request.app.state.service
    run = _run(request, name, version)
    network = run.loaded
    page, following = tensors.request_parts(await request.body(), inference_header_content_length)
    # Numbers as text take long to read, and other requests go on meanwhile.
    pictures = await run_in_threadpool(tensors.pictures, page, following, network)
    outputs = tensors.wanted_outputs(page, network)
    identity = page.get("id")
    note(request.scope, model=run.name, pictures=len(pictures))
    if isinstance(pictures, list):
        answered = await service.answer(run.name, network, pictures)
    else:
        answered = await service.answer_pixels(run.name, network, pictures)
    answers = []
    for each in answered.answers:
        if isinstance(each, Unanswered):
            raise Refused(each.status, f"{each.name}: {each.error}")
        answers.append(each)
    predictor = answered.network.predictor
    said: dict[str, Any] = {
        "model_name": run.name,
        "model_version": str(predictor.step),
        "parameters": {"run": run.workdir.resolve().name, "use": USE,
                       "classes": ",".join(predictor.classes)},
        "outputs": tensors.answered(outputs, answers, predictor.classes),
    }  # fmt: skip
    return Json(said | ({"id": identity} if isinstance(identity, str) else {}))


def _run(request: Request, name: str, version: str | None) -> ServedRun:
    service: Service = request.app.state.service
    run = service.run(name)
    if version is not None and version != str(run.loaded.step):
        raise Refused(
            404, f"{run.name} answers by its checkpoint {run.loaded.step} alone, not by another."
        )
    return run

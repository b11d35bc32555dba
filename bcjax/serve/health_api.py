"""Whether the service lives and is ready, for those that keep it running; and its metrics."""

import pydantic
from fastapi import APIRouter, Request
from fastapi.responses import PlainTextResponse, Response

from bcjax.serve.answers import Json
from bcjax.serve.documented import refusals
from bcjax.serve.refusals import Refused
from bcjax.serve.service import Service

router = APIRouter(tags=["health"])


class Alive(pydantic.BaseModel):
    """It runs."""

    live: bool = True


class Ready(pydantic.BaseModel):
    """It takes requests."""

    ready: bool = True


@router.get("/health/live", summary="Whether it runs", response_model=Alive)
async def live() -> Json:
    return Json({"live": True})


@router.get(
    "/health/ready",
    summary="Whether it takes requests",
    response_model=Ready,
    responses=refusals(503),
)
async def ready(request: Request) -> Json:
    check_ready(request.app.state.service)
    return Json({"ready": True})


def check_ready(service: Service) -> None:
    """Raises Refused unless the service takes requests."""
    if not service.ready:
        raise Refused(503, "The service is not ready: ask again.", retry_after=1)


@router.get(
    "/metrics",
    summary="Figures for Prometheus",
    response_class=PlainTextResponse,
    responses=refusals(401),
)
async def metrics(request: Request) -> Response:
    service: Service = request.app.state.service
    return Response(service.metrics.page(), media_type="text/plain; version=0.0.4; charset=utf-8")

"""The application: the roads, the guards around them, and one shape for all refusals."""

import contextlib
from collections.abc import AsyncIterator
from importlib import metadata

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from bcjax.serve import guards, health_api, inference_protocol, page_api, predict_api
from bcjax.serve.answers import Json
from bcjax.serve.refusals import Refused
from bcjax.serve.request_records import RequestRecords, request_id
from bcjax.serve.service import Service

# What needs no token: it says nothing of pictures or runs.
OPEN = (
    "/", "/page.css", "/page.js", "/openapi.json", "/health/live", "/health/ready",
    "/v2/health/live", "/v2/health/ready",
)  # fmt: skip

_ABOUT = (
    "Answers pictures of blood cells with a trained run. For research only: it is no medical "
    "device. Every answer has the header X-Request-ID; every refusal is a JSON object with "
    "`error`, one sentence, and `request_id`."
)


def create(service: Service) -> FastAPI:
    """Returns the ASGI application of a service; its lifespan starts and ends the service."""

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        service.start()
        yield
        service.close()

    app = FastAPI(
        title="bcjax serve",
        version=metadata.version("bcjax"),
        description=_ABOUT,
        lifespan=lifespan,
        # FastAPI's own pages load their scripts from another host; `/` shows the same.
        docs_url=None,
        redoc_url=None,
    )
    app.state.service = service
    for module in (predict_api, inference_protocol, health_api, page_api):
        app.include_router(module.router)
    app.add_exception_handler(Refused, _refused)
    app.add_exception_handler(HTTPException, _no_such_road)
    app.add_exception_handler(RequestValidationError, _not_valid)
    # The last that is added is the first that a request meets.
    app.add_middleware(guards.BodyLimits, settings=service.settings)
    app.add_middleware(guards.Token, token=service.settings.token, opened=OPEN)
    app.add_middleware(RequestRecords, metrics=service.metrics)
    return app


async def _refused(request: Request, refused: Exception) -> Json:
    assert isinstance(refused, Refused)
    headers = guards.extra(refused)
    if refused.status in (408, 413):  # what is still being sent is not read
        headers["Connection"] = "close"
    return _error(request, refused.status, refused.message, headers)


async def _no_such_road(request: Request, error: Exception) -> Json:
    assert isinstance(error, HTTPException)
    told = {
        404: "There is nothing here: /openapi.json lists what there is.",
        405: "There is no such method here: /openapi.json lists those that there are.",
    }.get(error.status_code, str(error.detail))
    return _error(request, error.status_code, told, dict(error.headers or {}))


async def _not_valid(request: Request, error: Exception) -> Json:
    assert isinstance(error, RequestValidationError)
    wrong = error.errors()[0]
    where = ".".join(map(str, wrong["loc"]))
    return _error(request, 422, f"{where} is not valid: {wrong['msg']}.", {})


def _error(request: Request, status: int, told: str, headers: dict[str, str]) -> Json:
    page = {"error": told, "request_id": request_id(request.scope)}
    return Json(page, status_code=status, headers=headers)

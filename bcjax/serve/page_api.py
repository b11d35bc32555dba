"""The page to try the service with: it loads nothing from elsewhere and sends nothing elsewhere."""

from importlib import resources

from fastapi import APIRouter
from fastapi.responses import Response

router = APIRouter(include_in_schema=False)

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_KINDS = {"index.html": "text/html", "page.css": "text/css", "page.js": "text/javascript"}


@router.get("/")
async def page() -> Response:
    return _file("index.html")


@router.get("/page.css")
async def style() -> Response:
    return _file("page.css")


@router.get("/page.js")
async def script() -> Response:
    return _file("page.js")


def _file(name: str) -> Response:
    content = resources.files("bcjax.serve").joinpath("page", name).read_bytes()
    headers = {"Content-Security-Policy": _POLICY, "X-Content-Type-Options": "nosniff"}
    return Response(content, media_type=_KINDS[name], headers=headers)

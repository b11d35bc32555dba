"""From the body of a request to the pictures in it: a form, JSON, or one picture as it is."""

import base64
import binascii
import json
from typing import Any

from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from bcjax.serve.refusals import Refused
from bcjax.serve.service import Picture
from bcjax.serve.settings import Settings

_LONGEST_NAME = 200
_FIELDS = 16  # of a form that are no pictures, and are not read


class _InMemory(MultiPartParser):
    """A form whose files never touch the disk."""

    spool_max_size = 1 << 40


async def pictures(request: Request, settings: Settings) -> list[Picture]:
    """Returns the pictures of a request.

    Raises:
      Refused: If it holds none or too many, or is neither form, JSON nor picture.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        found = await _of_form(request, settings)
    elif kind == "application/json":
        found = _of_json(parsed(await request.body()))
    elif kind.startswith("image/") or kind == "application/octet-stream":
        found = [Picture(_name(0), await request.body())]
    else:
        raise Refused(
            415,
            "The body is neither multipart/form-data, application/json nor image/*: say what it is "
            "in Content-Type.",
        )
    if not found:
        raise Refused(422, "The request holds no picture: send one or more.")
    return found


def parsed(body: bytes) -> Any:
    """Returns the JSON in a body.

    Raises:
      Refused: If it is none.
    """
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        reason = str(error)[:_LONGEST_NAME]
        raise Refused(400, f"The body is not the JSON that it says it is ({reason}).") from error


def from_base64(text: Any) -> bytes:
    """Returns what base64 holds.

    Raises:
      Refused: If it is none.
    """
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, TypeError, ValueError) as error:
        raise Refused(422, "A picture is not in base64: encode the bytes of its file.") from error


async def _of_form(request: Request, settings: Settings) -> list[Picture]:
    parser = _InMemory(
        request.headers,
        request.stream(),
        max_files=settings.max_pictures,
        max_fields=_FIELDS,
        max_part_size=settings.max_body,
    )
    try:
        form = await parser.parse()
    except MultiPartException as error:
        if "Too many files" in error.message:
            most = settings.max_pictures
            told = f"The request holds more than {most} pictures: send them in several requests."
            raise Refused(413, told) from error
        raise Refused(400, f"The form cannot be read ({error.message}).") from error
    except (KeyError, ValueError, LookupError) as error:
        raise Refused(400, "The form cannot be read: is the boundary in Content-Type?") from error
    files = [value for _, value in form.multi_items() if isinstance(value, UploadFile)]
    found = []
    for position, file in enumerate(files):
        found.append(Picture(_name(position, file.filename), await file.read()))
    await form.close()
    return found


def _of_json(page: Any) -> list[Picture]:
    entries = page.get("pictures") if isinstance(page, dict) else None
    if not isinstance(entries, list):
        raise Refused(
            422,
            'JSON holds pictures in base64: {"pictures": ["...", {"name": "a", "data": "..."}]}.',
        )
    found = []
    for position, entry in enumerate(entries):
        named = entry if isinstance(entry, dict) else {"data": entry}
        found.append(Picture(_name(position, named.get("name")), from_base64(named.get("data"))))
    return found


def _name(position: int, given: Any = None) -> str:
    return given[:_LONGEST_NAME] if isinstance(given, str) and given else f"image {position}"

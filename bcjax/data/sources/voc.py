"""Pascal VOC annotations: an XML file with the boxes in one picture."""

import xml.etree.ElementTree as ElementTree
from pathlib import Path

from bcjax.data.boxes import SIDES, Box, parsed
from bcjax.runtime.errors import UserError

_LARGEST = 1 << 20  # bytes; a smear with hundreds of cells takes a tenth of it


def boxes(annotation: Path, name: str) -> list[Box]:
    """The boxes of the objects called `name`, in the order of the file.

    Raises:
      UserError: The file is no Pascal VOC annotation, is larger than 1 MiB, or declares a document
        type, whose entities could swell to any size.
    """
    try:
        if annotation.stat().st_size > _LARGEST:
            raise ValueError("it is larger than 1 MiB")
        # As text, so that no declared encoding can hide what is looked for here.
        text = annotation.read_bytes().decode("utf-8-sig")
        if "<!DOCTYPE" in text:
            raise ValueError("it declares a document type")
        return [
            parsed([item.findtext(f"bndbox/{side}", "") for side in SIDES])
            for item in ElementTree.fromstring(text).iter("object")
            if item.findtext("name", "").strip() == name
        ]
    except (ValueError, ElementTree.ParseError) as error:
        raise UserError(
            f"{annotation} is no Pascal VOC annotation ({error}): mend it, or delete it and its row"
        ) from error

"""`bcjax.export`: writes a run for other runtimes, each file checked before it is kept."""

import dataclasses
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from bcjax.evaluation.trained_network import TrainedNetwork
from bcjax.exports import certificate, onnx_file, onnx_int8, stablehlo_file
from bcjax.exports.certificate import Certificate, FailedCheckError
from bcjax.exports.servable import in_float32, servable
from bcjax.exports.webapp import folder as webapp
from bcjax.runtime import files
from bcjax.runtime.errors import UserError
from bcjax.runtime.result import Result

# A format is a module with NAME, the name of its file, `write(servable, path)` and `Runtime(path)`.
FORMATS: dict[str, ModuleType] = {
    "onnx": onnx_file, "onnx_int8": onnx_int8, "stablehlo": stablehlo_file, "webapp": webapp,
}  # fmt: skip
# Formats with other numbers than the network's; their `write` takes typical pictures, too.
QUANTISED = ("onnx_int8",)
PAGE, CERTIFICATE = "model.json", "certificate.json"


@dataclasses.dataclass(frozen=True)
class Exported(Result):
    """The files that an export wrote.

    Attributes:
      folder: Their folder.
      certificates: What was checked of each.
      cautions: Sentences that whoever uses the files must know.
    """

    folder: Path
    certificates: tuple[Certificate, ...]
    cautions: tuple[str, ...]

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files that answer, in the order of `certificates`."""
        return tuple(self.folder / each.file for each in self.certificates)


def export(
    net: TrainedNetwork, out: Path, formats: Sequence[str] = ("onnx",), max_loss: float = 0.02
) -> Exported:
    """Writes a network in formats of other runtimes, and what must be known to use the files.

    Each file is run in its own runtime on pictures that the network was not trained on: 200, or
    1,000 where the format has other numbers than the network. Beside the files there are
    `model.json`, what must be known to use them, and `certificate.json`, what was checked. Nothing
    is written if a file fails.

    Args:
      net: The network.
      out: The folder to write to. Files of an earlier export are replaced, and those in formats
        that are not asked for now are deleted, for `model.json` would no longer be about them.
      formats: Names of formats.
      max_loss: How much the accuracy may fall in formats with other numbers than the network's.

    Raises:
      UserError: If there is no such format, its extra is not installed, the format cannot hold the
        network, or there are no pictures to check it with.
      FailedCheckError: If a file answers otherwise than the network, or its accuracy is lower by
        more than `max_loss`.
    """
    unknown = [name for name in formats if name not in FORMATS]
    if unknown or not formats:
        wrong = f"{unknown[0]!r} is no format" if unknown else "No format is named"
        raise UserError(f"{wrong}: choose from {', '.join(FORMATS)}.")
    if out.exists() and not out.is_dir():
        raise UserError(f"{out} is a file: give a folder to export to.")
    if not 0 <= max_loss <= 1:
        raise UserError(f"max_loss={max_loss:g} is no share of the pictures: give one in 0..1.")
    net = in_float32(net)
    most = certificate.MANY if set(formats) & set(QUANTISED) else certificate.PICTURES
    held, written = certificate.held_out(net, most), servable(net)
    certificates = []
    with tempfile.TemporaryDirectory(prefix="bcjax-export-") as folder:
        for name in dict.fromkeys(formats):
            module, exact = FORMATS[name], name not in QUANTISED
            file = Path(folder) / module.NAME
            module.write(written, file, *_further(name, net))
            shown = held.some(certificate.PICTURES) if exact else held
            checked = certificate.check(
                file, name, module.Runtime(file), shown, exact=exact, max_loss=max_loss
            )
            if checked.fault:
                raise FailedCheckError(checked.fault)
            if name == "webapp":
                checked = webapp.finish(file, net, written.page, checked)
            certificates.append(checked)
        out.mkdir(parents=True, exist_ok=True)
        for module in FORMATS.values():
            (out / module.NAME).unlink(missing_ok=True)
        shutil.rmtree(out / webapp.FOLDER, ignore_errors=True)
        for each in certificates:
            files.write_bytes(out / each.file, (Path(folder) / each.file).read_bytes())
        if "webapp" in formats:
            shutil.copytree(Path(folder) / webapp.FOLDER, out / webapp.FOLDER, dirs_exist_ok=True)
    exported = Exported(out, tuple(certificates), tuple(written.page["cautions"]))
    files.write_json(out / PAGE, written.page)
    files.write_json(
        out / CERTIFICATE, {"certificates": [each.to_dict() for each in exported.certificates]}
    )
    return exported


def _further(name: str, net: TrainedNetwork) -> tuple[Any, ...]:
    """Returns what the `write` of a format takes beside the servable and the path."""
    if name in QUANTISED:
        return (certificate.typical(net),)
    return (net,) if name == "webapp" else ()

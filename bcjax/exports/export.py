"""`bcjax.export`: writes a run for other runtimes, each file checked before it is kept."""

import dataclasses
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from bcjax.evaluation.trained_network import TrainedNetwork
from bcjax.exports import certificate, onnx_file, stablehlo_file
from bcjax.exports.certificate import Certificate
from bcjax.exports.servable import in_float32, servable
from bcjax.runtime import files
from bcjax.runtime.errors import UserError
from bcjax.runtime.result import Result

# A format is a module with NAME, the name of its file, `write(servable, path)` and `Runtime(path)`.
FORMATS: dict[str, ModuleType] = {"onnx": onnx_file, "stablehlo": stablehlo_file}
PAGE, CERTIFICATE = "model.json", "certificate.json"


class FailedCheckError(Exception):
    """A file answers otherwise than the network; the message says how far."""


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


def export(net: TrainedNetwork, out: Path, formats: Sequence[str] = ("onnx",)) -> Exported:
    """Writes a network in formats of other runtimes, and what must be known to use the files.

    Each file is run in its own runtime on 200 pictures that the network was not trained on. Beside
    the files there are `model.json`, what must be known to use them, and `certificate.json`, what
    was checked. Nothing is written if a file fails.

    Args:
      net: The network.
      out: The folder to write to; files of an earlier export are replaced.
      formats: Names of formats.

    Raises:
      UserError: If there is no such format, its extra is not installed, the format cannot hold the
        network, or there are no pictures to check it with.
      FailedCheckError: If a file answers otherwise than the network.
    """
    unknown = [name for name in formats if name not in FORMATS]
    if unknown or not formats:
        wrong = f"{unknown[0]!r} is no format" if unknown else "No format is named"
        raise UserError(f"{wrong}: choose from {', '.join(FORMATS)}.")
    if out.exists() and not out.is_dir():
        raise UserError(f"{out} is a file: give a folder to export to.")
    net = in_float32(net)
    held, written = certificate.held_out(net), servable(net)
    certificates = []
    with tempfile.TemporaryDirectory(prefix="bcjax-export-") as folder:
        for name in dict.fromkeys(formats):
            module = FORMATS[name]
            file = Path(folder) / module.NAME
            module.write(written, file)
            runtime = module.Runtime(file)
            checked = certificate.check(file, file.name, name, runtime, held, runtime.name)
            if checked.fault:
                raise FailedCheckError(checked.fault)
            certificates.append(checked)
        out.mkdir(parents=True, exist_ok=True)
        for each in certificates:
            files.write_bytes(out / each.file, (Path(folder) / each.file).read_bytes())
    exported = Exported(out, tuple(certificates), tuple(written.page["cautions"]))
    files.write_json(out / PAGE, written.page)
    files.write_json(
        out / CERTIFICATE, {"certificates": [each.to_dict() for each in exported.certificates]}
    )
    return exported

"""`bcjax.export`: writes a run for other runtimes, each file checked before it is kept."""

import shutil
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from bcjax.evaluation.trained_ensemble import TrainedEnsemble
from bcjax.evaluation.trained_network import TrainedNetwork
from bcjax.exports import certificate
from bcjax.exports.averaged_views import averaged
from bcjax.exports.certificate import FailedCheckError
from bcjax.exports.exported import CERTIFICATE, PAGE, Exported
from bcjax.exports.formats import FORMATS
from bcjax.exports.servable import in_float32, servable
from bcjax.runtime import files
from bcjax.runtime.errors import UserError


def export(
    net: TrainedNetwork | TrainedEnsemble,
    out: Path,
    formats: Sequence[str] = ("onnx",),
    max_loss: float = 0.02,
    views: str | None = None,
) -> Exported:
    """Writes a network in formats of other runtimes, and what must be known to use the files.

    Each file is run in its own runtime on pictures that the network was not trained on: 200, or
    1,000 where the format has other numbers than the network. Beside the files there are
    `model.json`, what must be known to use them, and `certificate.json`, what was checked. Nothing
    is written if a file fails.

    Args:
      net: The network, or several that answer together: one file holds them all.
      out: The folder to write to. Files of an earlier export are replaced, and those in formats
        that are not asked for now are deleted, for `model.json` would no longer be about them.
      formats: Names of formats.
      max_loss: How much the accuracy may fall in formats with other numbers than the network's.
      views: Views of each picture whose answers are averaged in the file: "flip", "turn" or both.

    Raises:
      UserError: If there is no such format or view, its extra is not installed, the format cannot
        hold the network, or there are no pictures to check it with.
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
    chosen = {name: FORMATS[name] for name in formats}
    if views is None:
        written, net = servable(net), in_float32(net)
    else:
        net = averaged(in_float32(net), views)
        written = servable(net)
    all_exact = all(each.exact for each in chosen.values())
    held = certificate.held_out(net, certificate.PICTURES if all_exact else certificate.MANY)
    typical = cache(lambda: certificate.typical(net))
    certificates = []
    with tempfile.TemporaryDirectory(prefix="bcjax-export-") as made:
        for name, form in chosen.items():
            path = form.written(written, Path(made), typical)
            checked = certificate.check(
                form.file,
                path,
                name,
                form.runtime(path),
                held.some(certificate.PICTURES) if form.exact else held,
                exact=form.exact,
                max_loss=max_loss,
            )
            if checked.fault:
                raise FailedCheckError(checked.fault)
            certificates.append(form.finish(path, written, checked) if form.finish else checked)
        out.mkdir(parents=True, exist_ok=True)
        for form in FORMATS.values():
            _delete(form.top(out))
        for form in chosen.values():
            _copy(form.top(Path(made)), form.top(out))
    exported = Exported(
        written.page["checkpoint"], tuple(certificates), tuple(written.page["cautions"]), out
    )
    files.write_json(out / PAGE, written.page)
    files.write_json(out / CERTIFICATE, exported.to_dict())
    return exported


def _delete(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _copy(source: Path, target: Path) -> None:
    """Copies a file or a folder, which is there as a whole or not at all."""
    with files.atomic(target) as partial:
        if source.is_dir():
            shutil.copytree(source, partial)
        else:
            shutil.copyfile(source, partial)

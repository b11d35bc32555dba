"""Answer pictures over HTTP with trained runs.

  bcjax serve --workdir=runs/a
  bcjax serve --workdir=cells=runs/a,platelets=runs/b --port=8080
  curl -F pictures=@cell.jpg http://127.0.0.1:8000/v1/predict

POST /v1/predict takes a form with one or many pictures, JSON, or a picture as it is; /v2 is the
Open Inference Protocol; /metrics is for Prometheus; /openapi.json tells all of it; / is a page to
try it. Pictures of several requests are answered together. What is too large, too much or too slow
is refused with a sentence. A newer checkpoint of the run takes over without a lost request. It
listens to this machine alone unless --host says otherwise; --token-file, or BCJAX_TOKEN in the
environment, asks clients for a token. SIGTERM ends it when all that was begun is answered. For
research only.
"""

import os
import sys
from pathlib import Path

from bcjax.cli.flags import CHECKPOINT, Arguments, Flag
from bcjax.runtime import files
from bcjax.runtime.errors import UserError

TOKEN_VARIABLE = "BCJAX_TOKEN"

FLAGS = (
    Flag(
        "workdir",
        "The run's folder; several, by comma, each as NAME=FOLDER.",
        [],
        list,
        needed="Give the run to serve, such as --workdir=runs/elu_cnn.",
    ),
    CHECKPOINT,
    Flag("host", "The address to listen to; 0.0.0.0: all of this machine's.", "127.0.0.1"),
    Flag("port", "The port; 0: any that is free.", 8000, int, least=0),
    Flag(
        "backend",
        "What computes: onnx (ONNX Runtime with the file of bcjax export), jax, or auto: onnx "
        "where there is that file.",
        "auto",
        ("auto", "jax", "onnx"),
    ),
    Flag("max-batch", "The most pictures answered at once; 1: no batching.", 32, int, least=1),
    Flag("max-wait-ms", "How long the network waits for more pictures at most.", 50.0, float),
    Flag("queue", "The most pictures inside; more: 429.", 256, int, least=1),
    Flag("max-body-mb", "The most megabytes of a request; more: 413.", 16.0, float),
    Flag("max-pixels", "The most pixels of a picture; more: 413.", 25_000_000, int, least=1),
    Flag("max-pictures", "The most pictures of a request; more: 413.", 64, int, least=1),
    Flag(
        "timeout-seconds",
        "In which a request must arrive (else 408), and then be answered (else 503).",
        30.0,
        float,
    ),
    Flag("reload-seconds", "Between looks for a newer checkpoint; 0: never.", 10.0, float),
    Flag("token-file", f"A file with the token; default: ${TOKEN_VARIABLE}, or none.", kind=Path),
)


def run(arguments: Arguments) -> None:
    from bcjax.runtime import compilation, extras

    for module in ("fastapi", "uvicorn", "prometheus_client", "python_multipart"):
        extras.check(module, "bcjax serve")
    from bcjax.serve import app, server
    from bcjax.serve.served_run import ServedRun
    from bcjax.serve.service import Service
    from bcjax.serve.settings import Settings

    settings = Settings(
        max_batch=arguments.max_batch,
        max_wait=arguments.max_wait_ms / 1000,
        queue=arguments.queue,
        max_body=int(arguments.max_body_mb * 1e6),
        max_pixels=arguments.max_pixels,
        max_pictures=arguments.max_pictures,
        timeout=arguments.timeout_seconds,
        reload=arguments.reload_seconds,
        token=_token(arguments.token_file),
    )
    named = _named(arguments.workdir)
    bound = server.listen(arguments.host, arguments.port)
    compilation.use_cache()
    runs = [
        ServedRun(name, workdir, arguments.checkpoint, arguments.backend, settings)
        for name, workdir in named.items()
    ]
    for each in runs:
        loaded = each.loaded
        print(f"{each.name}: checkpoint {loaded.step} of {each.workdir}, "
              f"answered by {loaded.backend}, {loaded.why}.", file=sys.stderr)  # fmt: skip
    host, port = bound.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    print(f"ready: http://{shown}:{port}/", file=sys.stderr, flush=True)
    application = app.create(Service(runs, settings))
    server.server(application, settings.timeout).run(sockets=[bound])


def _named(words: list[str]) -> dict[str, Path]:
    """Returns the folders by name; one alone has the name of its folder.

    Raises:
      UserError: If a name is missing, is given twice, or cannot be part of a URL.
    """
    found: dict[str, Path] = {}
    for word in words:
        name, equals, folder = word.rpartition("=")
        if not equals and len(words) > 1:
            raise UserError(
                f"Of several runs each has a name, such as --workdir=a={word}: clients ask by it."
            )
        path = files.user_path(folder)
        name = name if equals else path.resolve().name
        if name in found:
            raise UserError(f"Two runs have the name {name}: give them two.")
        if not name or not all(each.isalnum() or each in "._-" for each in name):
            raise UserError(
                f"{name!r} cannot be part of a URL: give the run a name of letters, digits, '.', "
                f"'_' and '-', such as --workdir=cells={folder}."
            )
        found[name] = path
    return found


def _token(file: Path | None) -> str:
    """Returns the token that clients must send; "": none.

    Raises:
      UserError: If the file cannot be read, or holds none.
    """
    if file is None:
        return os.environ.get(TOKEN_VARIABLE, "").strip()
    try:
        files.check_regular(file)
        token = file.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"--token-file={file} cannot be read ({error}).") from error
    if not token:
        raise UserError(f"--token-file={file} is empty: write the token into it.")
    return token

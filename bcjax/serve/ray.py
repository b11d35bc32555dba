"""The service as a Ray Serve application, for several machines.

  serve run bcjax.serve.ray:app workdir=/shared/runs/a replicas=4

Ray spreads requests over the replicas, restarts those that die, and may scale their number; a
replica is the whole service, with its batching and limits. It needs `pip install 'ray[serve]'`, and
the run's folder on a disk that all machines see.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pydantic

from bcjax.runtime.errors import UserError
from bcjax.serve.settings import Settings

if TYPE_CHECKING:
    from fastapi import FastAPI


class Options(pydantic.BaseModel):
    """What `serve run` or its YAML file may say.

    Attributes:
      workdir: The run's folder.
      name: The name that clients know it by; "": that of the folder.
      checkpoint: "best", "latest" or a step.
      backend: "auto", "jax" or "onnx".
      replicas: How many.
      cpus: Cores of a replica.
      gpus: Its GPUs.
      token: What clients must send; "": nothing.
    """

    workdir: str
    name: str = ""
    checkpoint: str = "best"
    backend: str = "auto"
    replicas: int = 1
    cpus: float = 2
    gpus: float = 0
    token: str = ""


def app(options: Options) -> Any:
    """Returns the application that Ray Serve runs.

    Raises:
      UserError: If Ray Serve is not installed.
    """
    try:
        from ray import serve
    except ImportError as error:
        raise UserError(
            f"Ray Serve is not installed ({error}): pip install 'ray[serve]'."
        ) from error

    def build() -> "FastAPI":  # in each replica
        from bcjax.runtime import compilation
        from bcjax.serve import app as application
        from bcjax.serve.served_run import ServedRun
        from bcjax.serve.service import Service

        compilation.use_cache()
        settings = Settings(token=options.token)
        workdir = Path(options.workdir)
        name = options.name or workdir.resolve().name
        run = ServedRun(name, workdir, options.checkpoint, options.backend, settings)
        return application.create(Service([run], settings))

    deployment: Any = serve.deployment(
        serve.ingress(build)(),
        name="bcjax",
        num_replicas=options.replicas,
        # Beyond its own queue a replica refuses by itself, with 429.
        max_ongoing_requests=2 * Settings.queue,
        ray_actor_options={"num_cpus": options.cpus, "num_gpus": options.gpus},
    )
    return deployment.bind()

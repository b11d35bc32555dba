"""Libraries that not everybody needs: the extras of the install, and what to say without them."""

import importlib.util

from bcjax.runtime.errors import UserError

# The extra of pyproject.toml that installs a module.
EXTRAS = {
    "optuna": "tune",
    "sqlalchemy": "tune",
    "h5py": "keras",
    "mlflow": "track",
    "wandb": "track",
    "pandas": "pandas",
    "jax2onnx": "export",
    "flatbuffers": "export",
    "ai_edge_litert": "litert",
    "ai_edge_quantizer": "litert",
    "fastapi": "serve",
    "uvicorn": "serve",
    "prometheus_client": "serve",
    "python_multipart": "serve",
    "trustme": "app",
    "segno": "app",
}
# What no extra can name, for what it asks for contradicts what others ask for, and is not needed.
ALONE = {"litert_converter": "--no-deps litert-converter"}


def check(module: str, purpose: str) -> None:
    """Checks that a library is installed, before it is imported.

    Args:
      module: The name that it is imported by.
      purpose: What needs it, as the subject of a sentence: "A sweep".

    Raises:
      UserError: If it is not installed, with the line that installs it.
    """
    if importlib.util.find_spec(module) is None:
        wanted = f"'bcjax[{EXTRAS[module]}]'" if module in EXTRAS else ALONE.get(module, module)
        raise UserError(f"{purpose} needs {module}, which is not installed: pip install {wanted}.")

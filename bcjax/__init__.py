"""bcjax trains blood-cell classifiers in JAX, from a laptop to a TPU pod, with one config."""

__version__ = "0.1.0"

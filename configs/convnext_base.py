"""ConvNeXt-Base from model.weights, by the recipe of convnext_large."""

from bcjax import config as configs


def get_config():
    return configs.get("convnext_large", {"model.name": "convnext_base", "model.drop_path": 0.2})

"""The networks: built by name from one table, with what was published about each.

    model = models.create("convnext_tiny", classes=8, drop_path=0.1)
    models.MODELS["convnext_tiny"].input_size   # 224

Where things are:

- `table`: all networks by name, `create`, and `register` for networks from outside;
- `network`: what a network is (`ImageClassifier`) and what the table says about it (`NetworkInfo`);
- `alexnet`, `convnext`, `efficientnet`, `mobilenet`, `plain_cnn`, `resnet`, ...: the networks;
- `layers`, `norm`, `initialisers`: what they are built from;
- `convolution`, `windows`: how a convolution is computed fast on a CPU too;
- `pretrained`: weights from other libraries.

To add a network, write an `ImageClassifier` in a file of its own, with a `NETWORKS` dictionary at
its end, and list that in `table`; or call `register` from a module of your own. docs/networks.md
and the tests of the table then cover it.
"""

from bcjax.models.network import ImageClassifier, NetworkInfo, count
from bcjax.models.table import DTYPES, MODELS, create, register

__all__ = ["DTYPES", "MODELS", "ImageClassifier", "NetworkInfo", "count", "create", "register"]

"""The splits of a run as feeds: of their pictures, or of what a frozen backbone makes of them."""

from collections.abc import Callable

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding
from ml_collections import ConfigDict

from bcjax.data.input_transform import InputTransform
from bcjax.data.prepared import PreparedSet
from bcjax.data.store import DeviceStore, HostStore, Store, choose_store, open_store
from bcjax.engine.feed import Feed
from bcjax.engine.forward import predictions
from bcjax.engine.state import Variables
from bcjax.runtime import mesh as meshes

Shapes = dict[str, jax.ShapeDtypeStruct]


class Feeds:
    """The feeds of a prepared set."""

    def __init__(self, prepared: PreparedSet, kind: str, data: ConfigDict, mesh: Mesh):
        """Opens nothing yet.

        Args:
          prepared: The pictures.
          kind: Of store: "disk", "host" or "device".
          data: The config's branch.
          mesh: Where batches go.
        """
        self._prepared = prepared
        self._kind = kind
        self._data = data
        self._entry = InputTransform.from_config(data)
        self._mesh = mesh
        self._pictures: dict[str, Feed] = {}

    def pictures(self, split: str) -> Feed:
        """Returns the feed of a split, which is decoded when it is first asked for."""
        if split not in self._pictures:
            self._pictures[split] = self._feed(self._open(split, self._kind))
        return self._pictures[split]

    def features(
        self, split: str, backbone: Callable, variables: Variables, batch_size: int
    ) -> Feed:
        """Runs a backbone over a split, and returns a feed of `features` instead of `image`.

        They are on the devices where they fit there, else in RAM: the same bits on either.

        Args:
          split: Its pictures are read once, and not kept.
          backbone: Compiled `steps.features_step`.
          variables: Of the network.
          batch_size: Pictures at a time.
        """
        once = self._feed(self._open(split, "disk"))
        features, labels = predictions(backbone, variables, once, self._mesh, batch_size)
        kind, _ = choose_store("auto", features.nbytes, meshes.device_memory())
        arrays = {"features": features, "label": labels}
        return self._feed(DeviceStore(arrays) if kind == "device" else HostStore(arrays))

    def abstract(
        self, split: str, per_call: int, batch_size: int, *, masked: bool = False
    ) -> tuple[Shapes, Shapes]:
        """Returns the shapes of a call's batches and of what lies on the devices; reads nothing.

        Args:
          split: Of pictures.
          per_call: Batches in a call.
          batch_size: Pictures in a batch.
          masked: Whether they are those of an evaluation.
        """
        over, everywhere = (
            meshes.batch_sharding(self._mesh, leading=1),
            meshes.replicated(self._mesh),
        )
        picture = (self._data.image_size, self._data.image_size, 3)

        def arrays(sharding: NamedSharding, *leading: int) -> Shapes:
            pixels = jax.ShapeDtypeStruct((*leading, *picture), np.uint8, sharding=sharding)
            labels = jax.ShapeDtypeStruct(leading, np.int32, sharding=sharding)
            return {"image": pixels, "label": labels}

        index = {"index": jax.ShapeDtypeStruct((per_call, batch_size), np.int32, sharding=over)}
        if masked:
            index |= {"mask": jax.ShapeDtypeStruct((per_call, batch_size), bool, sharding=over)}
        if self._kind == "device":
            return index, arrays(everywhere, self._prepared.size(split))
        return index | arrays(over, per_call, batch_size), {}

    def _open(self, split: str, kind: str) -> Store:
        return open_store(self._prepared, split, kind, self._entry, self._data.threads)

    def _feed(self, store: Store) -> Feed:
        return Feed(store, self._data, self._mesh)

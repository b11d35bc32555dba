"""Pictures and their labels: found, checked, split, stored and ordered; no jax anywhere.

From the user's folder to a batch, in the order in which it happens:

* `sources` recognises what the user named and lists its pictures as `records.Record`s;
* `curate` measures them, finds copies and leaks, and assigns splits;
* `preparation.prepare` writes what is left as a `prepared.PreparedSet`;
* `decode` and `input_transform` turn each picture's bytes into a square of RGB;
* `store` keeps those on disk, in RAM or on the device, and `order` says which come when.
"""

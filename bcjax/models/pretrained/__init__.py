"""Weights from other libraries: read without running anything in them, converted and checked.

- `files`: reads a file of weights, whatever its kind; `torch_files` and `keras_files` read two;
- `families`: which libraries publish weights for which networks;
- `naming`: what a library's naming is; `torch_names` and `keras_names`: the namings, by family;
- `convert`: from a file's tensors to those of a network; `layer_order`: where they have no names.
"""

"""Whether a set of pictures can be trusted: what is in it, what leaks, how it is split."""

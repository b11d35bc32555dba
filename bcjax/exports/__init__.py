"""From a run's folder to files that other runtimes answer with, each checked before it is kept.

`servable.py` holds what every format shares: the network as one function of uint8 pictures, and the
page about it. A format is a module that writes such a function to a file and runs the file;
`export.py` writes the files that are asked for, and `certificate.py` checks them.
"""

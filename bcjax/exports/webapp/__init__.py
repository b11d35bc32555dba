"""The telephone app: a static page that answers with an exported network in the browser.

`folder.py` writes the page's folder, `onnxruntime_web.py` has the runtime that it needs, and
`static/` holds what is the same for every network. `server.py` serves a folder on the local network.
"""

"""The telephone app: a static page that answers with an exported network in the browser.

`folder.py` writes the page's folder, `litert_web.py` has the runtime that it needs, and
`static/` holds what is the same for every network. `app.py` keeps the folder of a run up to date,
`server.py` serves it, and `local_network.py` says where and makes the certificate.
"""

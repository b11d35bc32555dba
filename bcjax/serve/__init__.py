"""Trained runs behind a URL: `bcjax serve`.

A request's way from top to bottom: `app.py` puts the parts together; `request_records.py` gives
each request its id and its line in the log; `guards.py` checks the token and bounds the body;
`predict_api.py`, `inference_protocol.py` and `health_api.py` are the roads; `bodies.py` and
`tensors.py` read pictures out of a request; `service.py` decodes them in threads; `batching.py`
lets one thread answer those of several requests together; `served_run.py` holds the network and
exchanges it for a newer one.
"""

"""Where pictures come from: one reader for each kind of source, and the table that lists them."""

from bcjax.data.sources.registry import (
    SOURCES,
    SourceReader,
    SourceRequest,
    open_source,
    register_source,
)

__all__ = ["SOURCES", "SourceReader", "SourceRequest", "open_source", "register_source"]

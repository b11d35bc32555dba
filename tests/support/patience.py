"""How long a test waits for something that always comes, on however busy a machine."""

PATIENCE = 900.0  # seconds: only what hangs takes longer

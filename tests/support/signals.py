"""What a process that is started must hear, whoever started the tests."""

import signal


def hear_signals() -> None:
    """Undoes what nohup or a shell's `&` did: a script cannot trap what it is born to ignore."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)

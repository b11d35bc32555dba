"""A request that is not answered: its status and the sentence that says why."""


class Refused(Exception):  # noqa: N818, it is no error of ours
    """A request is refused.

    Attributes:
      status: The HTTP status, 4xx or 503.
      message: What is wrong and how to mend it, one sentence.
      retry_after: Seconds after which the same request may succeed; None: it will not.
    """

    def __init__(self, status: int, message: str, retry_after: int | None = None):
        super().__init__(message)
        self.status, self.message, self.retry_after = status, message, retry_after

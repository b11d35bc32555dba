"""The one exception that is the user's to mend."""


class UserError(Exception):
    """A mistake of the user's: one plain sentence that names the thing and the mend.

    `main` prints the sentence without a traceback and exits with status 2. Everything else
    that is raised is a defect of bcjax and keeps its traceback.
    """

"""The package's one exception for input that a person can correct."""


class LnnError(ValueError):
    """Bad file, parameter or argument.

    The message is one sentence that names the file, topic or parameter, what was found and what
    was expected; the command line prints it as it is and exits with status 2.
    """

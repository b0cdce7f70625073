"""The errors a person meets: one line that says what was found, what was expected and what to type."""


class UsageError(Exception):
    """A command that cannot be carried out as typed; the command line prints it and exits with 2."""


class TrainingError(Exception):
    """A run that cannot go on (a loss that is not finite, memory that does not suffice); exits with 1."""

"""What the user is told when something cannot go on."""


class UserError(Exception):
    """Bad input or surroundings. The message says in one sentence what, where, and what to do."""

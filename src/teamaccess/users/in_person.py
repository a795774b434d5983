"""What takes a person: no machine does it, and nobody on somebody's behalf."""

from teamaccess.errors import Forbidden


class OnlyInPerson(Forbidden):
    """People do this themselves, signed in: no service account does it, nor anybody on another's behalf."""  # noqa: E501 - a sentence is one line

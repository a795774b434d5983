"""The mails to the coalition's addresses, each read once."""

import email
import email.policy
import re

from tests.attacks.coalition.town import Letter, Town
from tests.support.world import World


class Mailbox:
    """The folder of mails, from now on."""

    def __init__(self, world: World) -> None:
        self._folder = world.settings.home / "mail"
        self._read = set(self._folder.glob("*.eml")) if self._folder.exists() else set()

    def open(self, town: Town) -> None:
        """Keep the secrets of the mails that have come; the ones before stay known."""
        new = [each for each in self._folder.glob("*.eml") if each not in self._read]
        for path in sorted(new, key=lambda path: path.stat().st_mtime_ns):
            self._read.add(path)
            mail = email.message_from_string(path.read_text(), policy=email.policy.default)
            found = re.search(r"[?&]token=([\w-]+)", str(mail.get_content()))
            addressee = town.with_email(str(mail["To"]))
            if found is None or (addressee is not None and addressee.side == "honest"):
                continue
            label = f"letter{len(town.letters)}"
            town.letters.append(Letter(label, str(mail["To"]), found.group(1)))

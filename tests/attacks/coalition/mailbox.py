"""The mails to the coalition's addresses, each read once."""

import email
import email.policy
import re

from tests.attacks.coalition.scenario import InvitationMail, Scenario
from tests.support.deployment import Deployment


class Mailbox:
    """The folder of mails, from now on."""

    def __init__(self, deployment: Deployment) -> None:
        self._folder = deployment.settings.home / "mail"
        self._read = set(self._folder.glob("*.eml")) if self._folder.exists() else set()

    def open(self, scenario: Scenario) -> None:
        """Record the tokens of new mails. Earlier ones stay known."""
        new = [each for each in self._folder.glob("*.eml") if each not in self._read]
        for path in sorted(new, key=lambda path: path.stat().st_mtime_ns):
            self._read.add(path)
            mail = email.message_from_string(path.read_text(), policy=email.policy.default)
            found = re.search(r"[?&]token=([\w-]+)", str(mail.get_content()))
            addressee = scenario.with_email(str(mail["To"]))
            if found is None or (addressee is not None and addressee.side == "honest"):
                continue
            label = f"letter{len(scenario.mails)}"
            scenario.mails.append(InvitationMail(label, str(mail["To"]), found.group(1)))

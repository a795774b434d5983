"""Forgets the mails that no limit counts any more."""

import asyncio

import structlog

from teamaccess.common.process import should_continue
from teamaccess.delivery.relay import OUTAGES
from teamaccess.directory.invitations.delivery import MOST_FORGOTTEN, forget_mails
from teamaccess.service import Service

log = structlog.get_logger()

PAUSE_SECONDS = 60.0


class MailRecordCleaner:
    """Deletes the rows of old mails once a minute. Any number of workers may run at the same time."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def run(self) -> None:
        """Run until cancelled."""
        while should_continue():
            try:
                gone = await forget_mails(self._service.sessions, await self._service.now())
            except OUTAGES as cause:
                log.warning("mails_not_forgotten", cause=repr(cause))
                gone = 0
            if gone < MOST_FORGOTTEN:
                await asyncio.sleep(PAUSE_SECONDS)

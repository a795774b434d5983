"""The four audit questions, as the API and the command line both ask them."""

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from teamaccess.audit.questions.matrix import Matrix, matrix
from teamaccess.audit.questions.what_can import WhatCan, what_can
from teamaccess.audit.questions.who_can import WhoCan, who_can
from teamaccess.audit.questions.why import Why, why
from teamaccess.audit.remedies.remedies import Remedies, remedies_for
from teamaccess.audit.resolve_user import resolve_user
from teamaccess.audit.sources import AuditSources
from teamaccess.audit.state.moment import Basis, Moment
from teamaccess.audit.state.snapshot import AuditSource
from teamaccess.changes import Ledger
from teamaccess.storage import OrganizationId, UserId


@dataclass(frozen=True)
class AuditScope:
    """Which organization a question is about, at what time, and which caller asks."""

    organization: OrganizationId
    at: datetime | None = None
    """A past time with its zone; None for the present."""
    basis: Basis = Basis.DECIDED
    """What counts at a past time. The present ignores it."""
    caller: str = ""
    """The caller whose turn the question takes (`Attribution.caller`)."""


class WhyWithRemedies(NamedTuple):
    """Whether and why a user can do something, and what would allow it if they cannot."""

    why: Why
    remedies: Remedies


@dataclass(frozen=True)
class AuditQuestions:
    """Answers who can, what can, why, and the matrix.

    The edges decide whether the caller may ask, and how the answer is shown. Every question raises what
    `AuditSources.of` and the source's `view` do.
    """

    sources: AuditSources
    ledger: Ledger
    """Rehearses the remedies."""
    invitee_key: bytes
    """The key with which invited addresses are hashed for SpiceDB."""

    async def who_can(self, scope: AuditScope, action: str, resource: str | None = None) -> WhoCan:
        """Return everybody who can do an action, in the organization or on one of its objects.

        Raises what `questions.who_can` does.
        """
        return await who_can(await self._source(scope), action, resource)

    async def what_can(self, scope: AuditScope, user: str) -> WhatCan:
        """Return everything that a user can do. `user` is an id, an e-mail address or an external id.

        Raises what `resolve_user` does.
        """
        source = await self._source(scope)
        return await what_can(source, await self._user(scope, user))

    async def why(
        self, scope: AuditScope, user: str, action: str, resource: str | None = None
    ) -> WhyWithRemedies:
        """Return whether and why a user can do an action, and what would allow it if they cannot.

        `user` is an id, an e-mail address or an external id. Raises what `resolve_user`,
        `questions.why` and `remedies_for` do.
        """
        source = await self._source(scope)
        answer = await why(source, await self._user(scope, user), action, resource)
        remedies = await remedies_for(
            self.sources, self.ledger, self.invitee_key, answer, scope.caller
        )
        return WhyWithRemedies(answer, remedies)

    async def matrix(self, scope: AuditScope) -> Matrix:
        """Return every active member by every action."""
        return await matrix(await self._source(scope))

    async def _source(self, scope: AuditScope) -> AuditSource:
        moment = Moment(scope.at, scope.basis) if scope.at is not None else None
        return await self.sources.of(scope.organization, moment, scope.caller)

    async def _user(self, scope: AuditScope, name: str) -> UserId:
        async with self.sources.reads() as session:
            return await resolve_user(session, scope.organization, name)

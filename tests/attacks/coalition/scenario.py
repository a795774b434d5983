"""The organizations, principals and objects of a run, as far as they can be known."""

from dataclasses import dataclass, field
from typing import Any

import httpx

from teamaccess.directory.users.tokens import Claims, verify_access_token
from teamaccess.storage import UserId
from tests.support.deployment import Deployment

COALITION = "coalition"
HONEST = "honest"


@dataclass(eq=False)
class Principal:
    """A person or a service account, with every token it ever had."""

    label: str
    id: UserId
    side: str
    token: str = ""
    email: str = ""
    account_of: str = ""
    """The organization of a service account."""
    audits_all: bool = False
    external_id: str = ""
    old: list[str] = field(default_factory=list)
    """Earlier tokens. Some of them may still be valid."""
    ended_tokens: set[str] = field(default_factory=set)
    """Tokens that must never be accepted again."""

    def end_sessions(self) -> None:
        """Expect that every token issued so far is refused from now on."""
        self.ended_tokens |= {self.token, *self.old} - {""}

    def sign_in(self, token: str) -> None:
        """Use another token from now on, and remember the one before."""
        if self.token:
            self.old.append(self.token)
        self.token = token


@dataclass(frozen=True)
class KnownObject:
    """An object with an id: a team, a role, an invitation, a token.

    It stays known after its end.
    """

    label: str
    kind: str
    organization: str
    id: str
    type: str = ""
    """The type of a registered resource."""
    owner: str = ""
    """The service account of a token."""


@dataclass
class InvitationMail:
    """An invitation's mail, as its addressee has it."""

    label: str
    address: str
    secret: str
    organization: str = ""
    invitation: str = ""


@dataclass
class Scenario:
    """Everything that attempts choose from."""

    deployment: Deployment
    workplace: str
    """The organization in which the coalition has a part of the permissions."""
    own_organization: str
    """The coalition's own."""
    victim: str
    """An organization without a member of the coalition."""
    organizations: list[str] = field(default_factory=list)
    principals: list[Principal] = field(default_factory=list)
    objects: list[KnownObject] = field(default_factory=list)
    mails: list[InvitationMail] = field(default_factory=list)
    inviters: dict[str, UserId] = field(default_factory=dict)
    """The inviter of an invitation, by its id: the user who sent it last."""
    etags: dict[str, list[str]] = field(default_factory=dict)
    plans: list[tuple[str, list[dict[str, Any]], str]] = field(default_factory=list)
    """Organization, changes and ETag of plans."""
    creators: dict[str, UserId] = field(default_factory=dict)
    """The first creator of a registered resource: `transfer:acme/t1`."""
    secrets: set[str] = field(default_factory=set)
    """The secrets of all API tokens that were shown."""
    answered: set[str] = field(default_factory=set)
    """Requests with an Idempotency-Key that succeeded. A repetition changes nothing."""
    token_ids: dict[str, str] = field(default_factory=dict)
    """Secrets by the ids of their tokens."""

    @property
    def coalition(self) -> list[Principal]:
        """The attackers."""
        return [each for each in self.principals if each.side == COALITION]

    @property
    def honest(self) -> list[Principal]:
        """The honest principals."""
        return [each for each in self.principals if each.side == HONEST]

    def named(self, label: str) -> Principal:
        """The principal with this label."""
        return next(each for each in self.principals if each.label == label)

    def with_id(self, id: str) -> Principal | None:
        """The principal with this id, if it is known."""
        return next((each for each in self.principals if each.id == id), None)

    def with_email(self, email: str) -> Principal | None:
        """The principal with this address, if there is one."""
        return next((each for each in self.principals if each.email == email), None)

    def of(self, kind: str, organization: str | None = None) -> list[KnownObject]:
        """The objects of a kind, in one organization or in all."""
        return [
            each
            for each in self.objects
            if each.kind == kind and organization in (None, each.organization)
        ]

    def add(self, kind: str, organization: str, id: str, **more: str) -> None:
        """Record an object once. Its label identifies it and does not depend on generated ids."""
        if any((kind, organization, id) == (t.kind, t.organization, t.id) for t in self.objects):
            return
        place = sum(each.kind == kind for each in self.objects)
        self.objects.append(KnownObject(f"{kind}{place}", kind, organization, id, **more))

    def legend(self) -> dict[str, str]:
        """Labels by generated ids, so that a history can be read."""
        names = {each.id: f"<{each.label}>" for each in self.objects if len(each.id) > 12}
        names |= {str(each.id): f"<{each.label}>" for each in self.principals}
        return names | {
            self.workplace: "<shop>",
            self.own_organization: "<den>",
            self.victim: "<victim>",
        }

    def claims(self, token: str) -> Claims:
        """The claims of one of our own tokens."""
        return verify_access_token(self.deployment.service.keys, token)


@dataclass(eq=False)
class Attempt:
    """One request of one principal, and its answer."""

    route: str
    """`PUT /v1/organizations/{organization}/teams/{team}`."""
    url: str
    by: Principal | None
    """None for an anonymous request."""
    token: str = ""
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    organization: str = ""
    """The organization of the path, or where an invitation leads."""
    on_behalf: Principal | None = None
    """The member that a service account can really act for."""
    about: dict[str, Any] = field(default_factory=dict)
    """What was chosen, for recording the answer."""
    answer: httpx.Response | None = None

    @property
    def method(self) -> str:
        """The HTTP method."""
        return self.route.partition(" ")[0]

    @property
    def label(self) -> str:
        """A description without generated names."""
        return f"{self.route} by {self.by.label if self.by is not None else 'nobody'}"

    @property
    def done(self) -> bool:
        """Whether it was answered with a success."""
        return self.answer is not None and self.answer.is_success

    @property
    def fingerprint(self) -> str:
        """Identifies the same request by the same principals, if it has an Idempotency-Key."""
        who = self.by.id if self.by is not None else ""
        target = self.on_behalf.id if self.on_behalf is not None else ""
        key = self.headers.get("Idempotency-Key", "")
        return f"{who} {target} {key} {self.method} {self.url} {self.body}" if key else ""

    @property
    def status(self) -> int:
        """The status of the answer."""
        return self.answer.status_code if self.answer is not None else 0

    @property
    def code(self) -> str:
        """The code of a refusal, or an empty text."""
        if self.answer is None or "problem+json" not in self.answer.headers.get("content-type", ""):
            return ""
        return str(self.answer.json().get("code", ""))

    async def send(self, deployment: Deployment) -> None:
        """Send the request and keep the answer."""
        headers = dict(self.headers)
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        sent: dict[str, Any] = {"json": self.body} if self.body is not None else {}
        self.answer = await deployment.http.request(self.method, self.url, headers=headers, **sent)

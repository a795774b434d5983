"""What the coalition learns from answers: new ids, secrets and ETags, and which tokens have ended."""

from typing import Any
from urllib.parse import unquote

from teamaccess.storage import UserId
from tests.attacks.coalition.mailbox import Mailbox
from tests.attacks.coalition.relationship_effects import RelationshipEffects
from tests.attacks.coalition.request_bodies import ACCOUNT, ORGANIZATION, RESOURCE
from tests.attacks.coalition.scenario import COALITION, Attempt, Principal, Scenario
from tests.attacks.coalition.snapshots import OrganizationSnapshot

INVITE = f"POST {ORGANIZATION}/invitations"
RESEND = f"POST {ORGANIZATION}/invitations/{{invitation}}/resend"


class AnswerRecords:
    """Records what answers reveal in the scenario."""

    def __init__(self, scenario: Scenario, effects: RelationshipEffects) -> None:
        self._scenario = scenario
        self._effects = effects
        self._mailbox = Mailbox(scenario.deployment)

    async def record(self, attempt: Attempt) -> None:
        """Take note of an answer."""
        if attempt.answer is None or not attempt.done:
            return
        if attempt.method == "POST" and attempt.fingerprint:
            if attempt.fingerprint in self._scenario.answered:
                attempt.about["replayed"] = True
                return
            self._scenario.answered.add(attempt.fingerprint)
        if (etag := attempt.answer.headers.get("ETag")) is not None:
            self._scenario.etags.setdefault(attempt.url, []).append(etag)
        content = attempt.answer.json() if attempt.answer.content[:1] == b"{" else {}
        path = dict(zip(_names(attempt.route), _values(attempt), strict=False))
        scenario, here = self._scenario, attempt.organization
        match attempt.route:
            case "POST /v1/invitations/accept":
                self._joined(attempt, content)
            case "POST /v1/organizations":
                scenario.organizations.append(content["id"])
                attempt.about["founded"] = content["id"]
            case "POST /v1/me/sign-out":
                await self._signed_out(attempt.by)
            case route if route in (INVITE, RESEND):
                self._invited(attempt, content)
            case route if route == f"POST {ORGANIZATION}/access-requests":
                scenario.add("access_request", here, content["id"])
            case route if route == f"POST {ORGANIZATION}/teams":
                scenario.add("team", here, content["id"])
            case route if route == f"POST {ORGANIZATION}/roles":
                scenario.add("role", here, content["id"])
            case route if route == f"POST {ORGANIZATION}/service-accounts":
                self._service_account(here, content)
            case route if route in (
                f"POST {ACCOUNT}/tokens",
                f"POST {ACCOUNT}/tokens/{{api_token}}/rotate",
            ):
                account = path["account"].removesuffix("/")  # a slash at the end is ignored
                self._token(attempt, account, content)
            case route if route == f"PUT {RESOURCE}":
                self._registered(here, content["type"], content["id"], content.get("creator"))
            case route if route == f"POST {ORGANIZATION}/resources:batch":
                for item, ordered in zip(content["items"], attempt.body["items"], strict=True):
                    if item["outcome"] == "registered":
                        creator = ordered.get("creator")
                        if attempt.on_behalf is not None and item["type"] == "transfer":
                            creator = attempt.on_behalf.id
                        self._registered(here, item["type"], item["id"], creator)
            case route if route == f"POST {ORGANIZATION}/audit/plan":
                changes = attempt.about.get("changes", [])
                scenario.plans.append((here, changes, attempt.answer.headers.get("ETag", "*")))
            case route if route in (
                f"DELETE {ORGANIZATION}/members/{{user}}",
                f"POST {ORGANIZATION}/leave",
                f"DELETE {ACCOUNT}",
            ):
                gone = path.get("user") or path.get("account") or (attempt.on_behalf or attempt.by)
                await self._signed_out(
                    self._scenario.with_id(gone) if isinstance(gone, str) else gone
                )
            case route if route == f"POST {ORGANIZATION}/changes":
                await self._changed(attempt)
            case route if route == f"DELETE {ACCOUNT}/tokens/{{api_token}}":
                self._revoked(path["api_token"])
            case _:
                pass

    async def _signed_out(self, target: Principal | None) -> None:
        """The user's tokens have ended. A person signs in again, which gives no permission."""
        if target is None:
            return
        target.end_sessions()
        if not target.account_of:
            target.sign_in(await self._scenario.deployment.token(target.id))

    async def _changed(self, attempt: Attempt) -> None:
        for change in attempt.body["changes"]:
            if change["change"] == "remove":
                await self._signed_out(self._scenario.with_id(change["user"]))

    def _joined(self, attempt: Attempt, content: dict[str, Any]) -> None:
        scenario, organization = self._scenario, content["organization"]
        attempt.about["joined"] = organization
        user = UserId(content["user"])
        letter = attempt.about.get("letter")
        known = scenario.with_id(user)
        if known is None:
            address = letter.address if letter is not None else ""
            label = f"guest{sum(each.label.startswith('guest') for each in scenario.principals)}"
            scenario.principals.append(
                Principal(label, user, COALITION, content["access_token"], address)
            )
        else:
            known.sign_in(content["access_token"])
        scenario.add("user", organization, user)

    def _invited(self, attempt: Attempt, content: dict[str, Any]) -> None:
        scenario = self._scenario
        scenario.add("invitation", attempt.organization, content["id"])
        giver = attempt.on_behalf or attempt.by
        assert giver is not None
        scenario.inviters[content["id"]] = giver.id
        attempt.about["handed"] = lambda place, free: self._offered(
            place, attempt.organization, [role for role in content["roles"] if role not in free]
        )
        self._mailbox.open(scenario)
        for mail in scenario.mails:
            if not mail.invitation and mail.address == content["email"]:
                mail.organization, mail.invitation = attempt.organization, content["id"]

    def _offered(
        self, snapshot: OrganizationSnapshot, organization: str, roles: list[str]
    ) -> frozenset[str]:
        return self._effects.of_roles(organization, roles, snapshot.graph)

    def _service_account(self, organization: str, content: dict[str, Any]) -> None:
        scenario = self._scenario
        label = f"service_account{len(scenario.of('account'))}"
        principal = Principal(label, UserId(content["id"]), COALITION, account_of=organization)
        scenario.principals.append(principal)
        scenario.add("account", organization, content["id"])
        scenario.add("user", organization, content["id"])

    def _token(self, attempt: Attempt, account: str, content: dict[str, Any]) -> None:
        scenario = self._scenario
        scenario.add("api_token", attempt.organization, content["id"], owner=account)
        secret = content.get("secret")
        if secret is None:
            return  # an answer that was given before, and is replayed without it
        attempt.about["secret"] = secret
        scenario.secrets.add(secret)
        scenario.token_ids[content["id"]] = secret
        if attempt.route.endswith("/rotate") and attempt.body.get("overlap_hours") == 0:
            self._revoked(unquote(attempt.url.split("/")[-2]))
        principal = scenario.with_id(account)
        assert principal is not None
        if attempt.by is not None and attempt.by.side == COALITION:
            principal.sign_in(secret)
        attempt.about["handed"] = lambda place, _: self._effects.everything(
            f"user:{account}", place.graph
        )

    def _revoked(self, token: str) -> None:
        secret = self._scenario.token_ids.get(token)
        for each in self._scenario.principals:
            if secret is not None and secret in (each.token, *each.old):
                each.ended_tokens.add(secret)

    def _registered(self, organization: str, type: str, id: str, creator: str | None) -> None:
        self._scenario.add("resource", organization, id, type=type)
        if creator is not None:
            self._scenario.creators.setdefault(f"{type}:{organization}/{id}", UserId(creator))


def _names(route: str) -> list[str]:
    return [part[1:-1] for part in route.partition(" ")[2].split("/") if part.startswith("{")]


def _values(attempt: Attempt) -> list[str]:
    template = attempt.route.partition(" ")[2].split("/")
    content = attempt.url.partition("?")[0].split("/")
    return [
        unquote(value)
        for part, value in zip(template, content, strict=False)
        if part.startswith("{")
    ]

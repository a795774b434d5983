"""What the coalition learns from answers: new ids, secrets and ETags, and which tokens are dead now."""

from typing import Any
from urllib.parse import unquote

from teamaccess.storage import UserId
from tests.attacks.coalition.bodies import ACCOUNT, ONE, RESOURCE
from tests.attacks.coalition.graph import Place
from tests.attacks.coalition.mailbox import Mailbox
from tests.attacks.coalition.meaning import Meaning
from tests.attacks.coalition.town import COALITION, Move, Principal, Town

INVITE = f"POST {ONE}/invitations"
RESEND = f"POST {ONE}/invitations/{{invitation}}/resend"


class Lessons:
    """Keeps what answers tell in the town."""

    def __init__(self, town: Town, meaning: Meaning) -> None:
        self._town = town
        self._meaning = meaning
        self._mailbox = Mailbox(town.world)

    async def learn(self, move: Move) -> None:
        """Take note of an answer."""
        if move.answer is None or not move.done:
            return
        if move.method == "POST" and move.fingerprint:
            if move.fingerprint in self._town.answered:
                move.about["replayed"] = True
                return
            self._town.answered.add(move.fingerprint)
        if (etag := move.answer.headers.get("ETag")) is not None:
            self._town.etags.setdefault(move.url, []).append(etag)
        said = move.answer.json() if move.answer.content[:1] == b"{" else {}
        path = dict(zip(_names(move.route), _values(move), strict=False))
        town, here = self._town, move.organization
        match move.route:
            case "POST /v1/invitations/accept":
                self._joined(move, said)
            case "POST /v1/organizations":
                town.organizations.append(said["id"])
                move.about["founded"] = said["id"]
            case "POST /v1/me/sign-out":
                await self._signed_out(move.by)
            case route if route in (INVITE, RESEND):
                self._invited(move, said)
            case route if route == f"POST {ONE}/access-requests":
                town.add("access_request", here, said["id"])
            case route if route == f"POST {ONE}/teams":
                town.add("team", here, said["id"])
            case route if route == f"POST {ONE}/roles":
                town.add("role", here, said["id"])
            case route if route == f"POST {ONE}/service-accounts":
                self._machine(here, said)
            case route if route in (
                f"POST {ACCOUNT}/tokens",
                f"POST {ACCOUNT}/tokens/{{api_token}}/rotate",
            ):
                self._token(move, path["account"], said)
            case route if route == f"PUT {RESOURCE}":
                self._registered(here, said["type"], said["id"], said.get("creator"))
            case route if route == f"POST {ONE}/resources:batch":
                for item, ordered in zip(said["items"], move.body["items"], strict=True):
                    if item["outcome"] == "registered":
                        creator = ordered.get("creator")
                        if move.on_behalf is not None and item["type"] == "transfer":
                            creator = move.on_behalf.id
                        self._registered(here, item["type"], item["id"], creator)
            case route if route == f"POST {ONE}/audit/plan":
                changes = move.about.get("changes", [])
                town.plans.append((here, changes, move.answer.headers.get("ETag", "*")))
            case route if route in (
                f"DELETE {ONE}/members/{{user}}",
                f"POST {ONE}/leave",
                f"DELETE {ACCOUNT}",
            ):
                gone = path.get("user") or path.get("account") or (move.on_behalf or move.by)
                await self._signed_out(self._town.with_id(gone) if isinstance(gone, str) else gone)
            case route if route == f"POST {ONE}/changes":
                await self._changed(move)
            case route if route == f"DELETE {ACCOUNT}/tokens/{{api_token}}":
                self._revoked(path["api_token"])
            case _:
                pass

    async def _signed_out(self, whom: Principal | None) -> None:
        """Their tokens are dead; a person signs in again, which gives them nothing by itself."""
        if whom is None:
            return
        whom.end_sessions()
        if not whom.account_of:
            whom.sign_in(await self._town.world.token(whom.id))

    async def _changed(self, move: Move) -> None:
        for change in move.body["changes"]:
            if change["change"] == "remove":
                await self._signed_out(self._town.with_id(change["user"]))

    def _joined(self, move: Move, said: dict[str, Any]) -> None:
        town, organization = self._town, said["organization"]
        move.about["joined"] = organization
        user = UserId(said["user"])
        letter = move.about.get("letter")
        known = town.with_id(user)
        if known is None:
            address = letter.address if letter is not None else ""
            label = f"guest{sum(each.label.startswith('guest') for each in town.principals)}"
            town.principals.append(Principal(label, user, COALITION, said["access_token"], address))
        else:
            known.sign_in(said["access_token"])
        town.add("user", organization, user)

    def _invited(self, move: Move, said: dict[str, Any]) -> None:
        town = self._town
        town.add("invitation", move.organization, said["id"])
        giver = move.on_behalf or move.by
        assert giver is not None
        town.inviters[said["id"]] = giver.id
        move.about["handed"] = lambda place: self._offered(place, move.organization, said["roles"])
        self._mailbox.open(town)
        for letter in town.letters:
            if not letter.invitation and letter.address == said["email"]:
                letter.organization, letter.invitation = move.organization, said["id"]

    def _offered(self, place: Place, organization: str, roles: list[str]) -> frozenset[str]:
        return self._meaning.of_roles(organization, roles, place.graph)

    def _machine(self, organization: str, said: dict[str, Any]) -> None:
        town = self._town
        label = f"machine{len(town.of('account'))}"
        principal = Principal(label, UserId(said["id"]), COALITION, account_of=organization)
        town.principals.append(principal)
        town.add("account", organization, said["id"])
        town.add("user", organization, said["id"])

    def _token(self, move: Move, account: str, said: dict[str, Any]) -> None:
        town = self._town
        town.add("api_token", move.organization, said["id"], owner=account)
        secret = said.get("secret")
        if secret is None:
            return  # an answer that was given before, and is replayed without it
        move.about["secret"] = secret
        town.secrets.add(secret)
        town.token_ids[said["id"]] = secret
        if move.route.endswith("/rotate") and move.body.get("overlap_hours") == 0:
            self._revoked(unquote(move.url.split("/")[-2]))
        machine = town.with_id(account)
        assert machine is not None
        if move.by is not None and move.by.side == COALITION:
            machine.sign_in(secret)
        move.about["handed"] = lambda place: self._meaning.everything(
            f"user:{account}", place.graph
        )

    def _revoked(self, token: str) -> None:
        secret = self._town.token_ids.get(token)
        for each in self._town.principals:
            if secret is not None and secret in (each.token, *each.old):
                each.dead.add(secret)

    def _registered(self, organization: str, type: str, id: str, creator: str | None) -> None:
        self._town.add("resource", organization, id, type=type)
        if creator is not None:
            self._town.creators.setdefault(f"{type}:{organization}/{id}", UserId(creator))


def _names(route: str) -> list[str]:
    return [part[1:-1] for part in route.partition(" ")[2].split("/") if part.startswith("{")]


def _values(move: Move) -> list[str]:
    template = move.route.partition(" ")[2].split("/")
    said = move.url.partition("?")[0].split("/")
    return [
        unquote(value) for part, value in zip(template, said, strict=False) if part.startswith("{")
    ]

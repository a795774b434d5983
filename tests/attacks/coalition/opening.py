"""How a run begins: the coalition's own organization, one that it has a part in, and a victim."""

from datetime import timedelta

from teamaccess.audit.auditors.grant import grant_auditor
from teamaccess.directory.users.issuer import Login
from teamaccess.directory.users.logins import first_sign_in
from teamaccess.storage import Membership, RoleId, User, new_user_id
from tests.attacks.coalition import furnish
from tests.attacks.coalition.shop import open_shop
from tests.attacks.coalition.town import COALITION, HONEST, Principal, Town
from tests.support.machines import custom_role
from tests.support.steps import enlist
from tests.support.world import Team as Organization
from tests.support.world import World

LOGIN = "https://login.example"


async def open_town(world: World) -> Town:
    """Make everything from scratch; no run shares anything with another on the same world."""
    shop, den = await world.create("shop"), await world.create("den")
    victim = await world.create("victim")
    town = Town(world, shop.id, den.id, victim.id, [shop.id, den.id, victim.id])
    town.principals.append(furnish.principal(HONEST, "ana", shop.administrator))
    town.principals.append(furnish.principal(HONEST, "vic", victim.administrator))
    await _open_victim(town, victim)
    await open_shop(town, shop)
    await _open_den(town, den)
    await _outsiders(town)
    for organization in (shop, den, victim):
        for person in organization.people.values():
            town.add("user", organization.id, person.id)
    return town


async def reopen_den(town: Town) -> None:
    """Give the coalition another organization of its own when it has ended the one it had."""
    den = await town.world.create("den")
    town.den = den.id
    town.organizations.append(den.id)
    await _open_den(town, den)


async def _open_den(town: Town, den: Organization) -> None:
    """Two administrators, one of whom is a member of the shop as well."""
    number = sum(each.label.startswith("eve") for each in town.principals)
    town.principals.append(furnish.principal(COALITION, f"eve{number}", den.administrator))
    town.add("user", den.id, den.administrator.id)
    role, mal = RoleId(town.world.service.catalog.administrator), town.named("mal")
    async with town.world.operator(den.id) as change:
        user = await change.session.get_one(User, mal.id)
        change.session.add(Membership.begin(den.id, user, [role], change.now))
    town.add("user", den.id, mal.id)
    await furnish.objects(town, den, den.administrator)


async def _open_victim(town: Town, victim: Organization) -> None:
    """One of everything, so that there is something to take, to change and to tell of."""
    catalog = town.world.service.catalog
    least, middle = list(catalog.roles)[-1], list(catalog.roles)[1]
    members = await enlist(victim, {"val": [least]})
    town.principals.append(furnish.principal(HONEST, "val", members["val"]))
    await furnish.machine(town, victim, HONEST, "tool", least)
    await custom_role(victim, "victim_role", next(iter(catalog.actions)))
    town.add("role", victim.id, "victim_role")
    await furnish.team(town, victim, "victim-team", "victim_role")
    invited = (await victim.invite("guest", [least])).raise_for_status().json()
    town.add("invitation", victim.id, invited["id"])
    wish = {"role": middle, "reason": "I need it", "duration_hours": 5}
    asked = await members["val"].ask("POST", f"{victim.path}/access-requests", json=wish)
    town.add("access_request", victim.id, asked.raise_for_status().json()["id"])
    await furnish.objects(town, victim, members["val"])


async def _outsiders(town: Town) -> None:
    """Somebody of another login who is nowhere a member, and an auditor of all organizations.

    The stranger's subject, which is their external id, is made of somebody else's id.
    """
    subject = f"ext-{town.named('val').id}"
    address = f"{new_user_id()}@login.example"
    now = await town.world.service.now()
    login = Login(LOGIN, subject, now, now + timedelta(hours=1), None, "A stranger")
    async with town.world.operator() as change:
        stranger = await first_sign_in(change, login)
        auditor = await grant_auditor(change, address, "the yearly audit", None)
    for label, id in (("stranger", stranger.id), ("auditor", auditor.id)):
        made = Principal(label, id, COALITION, await town.world.token(id))
        town.principals.append(made)
        town.add("user", "", id)
    town.named("stranger").external_id = subject
    town.named("auditor").email = address
    town.named("auditor").audits_all = True

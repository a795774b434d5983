"""Expired rows are swept at their time by PostgreSQL's clock, and nothing else is."""

from datetime import datetime, timedelta

from teamaccess.storage import InvitationId, LedgerEntry
from tests.support.agreement import assert_agreement, ledger_entries, spicedb_relationships
from tests.support.deployment import Deployment
from tests.support.organization import Organization
from tests.support.spicedb_proxy import running_worker, sweep, wait_until

SOON = timedelta(seconds=1.2)
LATER = timedelta(days=1)
PROMISED = timedelta(seconds=1)
LENIENCE = timedelta(seconds=4)
"""Extra seconds for a busy machine."""


async def ends_in(deployment: Deployment, more: timedelta) -> datetime:
    """A time so far ahead."""
    return await deployment.service.now() + more


def on_time(entry: LedgerEntry, end: datetime) -> bool:
    """Whether the entry was decided within the promised time after the end."""
    return end <= entry.decided_at <= end + PROMISED + LENIENCE


async def test_a_role_ends_at_its_expiry_and_the_ledger_names_the_system(
    acme: Organization,
) -> None:
    bob = (await acme.add_members({"bob": ["support", "developer"]}))["bob"]
    end = await ends_in(acme.deployment, SOON)
    await acme.set_role_expiry(bob, "developer", end)
    before = len(await acme.ledger())
    async with running_worker(acme.deployment):
        assert await acme.can(bob, "webhooks_create")
        await wait_until(lambda: has_grown(acme, before))

    [entry] = (await ledger_entries(acme))[before:]
    assert on_time(entry, end)
    assert (entry.actor, entry.channel) == ("system", "system")
    [update] = entry.updates
    assert update.startswith(f"DELETE organization:{acme.id}#developer@user:{bob.id}[expiration:")
    assert (await acme.roles_by_member())[bob.id] == ["support"]
    reported = (await acme.events())[-1]
    assert (reported.kind, reported.actor, reported.channel) == ("role_ended", "system", "system")
    assert reported.request_id == entry.request_id
    assert reported.subject == f"user:{bob.id}"
    assert reported.details == {"role": "developer", "expires_at": end.isoformat()}
    assert "developer" not in {each.relation for each in await spicedb_relationships(acme)}
    assert await acme.can(bob, "refunds_create")
    await assert_agreement(acme)


async def test_an_expired_membership_ends_like_a_removal(acme: Organization) -> None:
    bob = await acme.member("bob", roles=["support", "developer"])
    end = await ends_in(acme.deployment, SOON)
    await acme.set_membership_expiry(bob, end)
    await acme.set_role_expiry(bob, "developer", end)
    before = len(await acme.ledger())
    async with running_worker(acme.deployment):
        assert await acme.can(bob, "refunds_create")
        await wait_until(lambda: has_grown(acme, before))

    [entry] = (await ledger_entries(acme))[before:]
    assert on_time(entry, end)
    assert [each.partition("[")[0] for each in entry.updates] == [
        f"DELETE organization:{acme.id}#{relation}@user:{bob.id}"
        for relation in ("developer", "member", "support")
    ]
    assert bob.id not in await acme.roles_by_member()
    assert (await bob.ask("GET", "/v1/me")).status_code == 401
    reported = (await acme.events())[-1]
    assert (reported.kind, reported.subject) == ("membership_ended", f"user:{bob.id}")
    assert reported.details == {"roles": ["developer", "support"], "expires_at": end.isoformat()}
    assert "role_ended" not in {each.kind for each in await acme.events()}
    await assert_agreement(acme)


async def test_an_old_link_does_not_bring_back_a_member_whose_membership_expired(
    acme: Organization,
) -> None:
    await acme.invite("bob", ["support"])
    bob = (await acme.add_members({"bob": ["product"]}))["bob"]
    await acme.set_membership_expiry(bob, await ends_in(acme.deployment, -SOON))

    assert await sweep(acme) == 1

    late = await acme.accept("bob", headers={"Authorization": f"Bearer {bob.token}"})
    assert late.status_code == 401  # the sessions have ended, too
    token = await acme.deployment.token(bob.id)
    late = await acme.accept("bob", headers={"Authorization": f"Bearer {token}"})
    assert (late.status_code, late.json()["code"]) == (409, "invitation_ended")
    await assert_agreement(acme)


async def test_an_expired_invitation_stays_listed(acme: Organization) -> None:
    id = (await acme.invite("bob", ["support"])).json()["id"]
    end = await ends_in(acme.deployment, SOON)
    await acme.set_invitation_expiry(id, end)
    before = len(await acme.ledger())
    async with running_worker(acme.deployment):
        await wait_until(lambda: has_grown(acme, before))

    [entry] = (await ledger_entries(acme))[before:]
    assert on_time(entry, end)
    assert entry.actor == "system"
    assert (await acme.invitation(id)).lapsed_at == end
    reported = (await acme.events())[-1]
    assert (reported.kind, reported.subject) == ("invitation_expired", f"invitation:{id}")
    path = f"{acme.path}/invitations?status=expired"
    expired = (await acme.administrator.ask("GET", path)).json()["items"]
    assert [each["id"] for each in expired] == [id]
    assert not any(each.relation == "invitee" for each in await spicedb_relationships(acme))
    late = await acme.accept("bob")
    assert (late.status_code, late.json()["code"]) == (409, "invitation_ended")
    await assert_agreement(acme)


async def test_an_expired_invitation_can_be_resent_cancelled_or_followed_by_another(
    acme: Organization,
) -> None:
    ids = [(await acme.invite(each, ["support"])).json()["id"] for each in ("bob", "eve", "fay")]
    for id in ids:
        await acme.set_invitation_expiry(id, await ends_in(acme.deployment, -SOON))
    assert await sweep(acme) == 3
    assert await sweep(acme) == 0

    ana, path = acme.administrator, f"{acme.path}/invitations"
    assert (await ana.ask("POST", f"{path}/{ids[0]}/resend")).json()["status"] == "pending"
    assert (await ana.ask("DELETE", f"{path}/{ids[1]}")).status_code == 204
    assert (await acme.invite("fay", ["product"])).status_code == 201
    for name in ("bob", "fay"):
        (await acme.accept(name)).raise_for_status()
    await assert_agreement(acme)


async def test_rows_that_have_not_expired_stay_in_all_organizations(
    acme: Organization, globex: Organization
) -> None:
    everywhere = {}
    for organization in (acme, globex):
        people = await organization.add_members(
            {"bob": ["support", "developer"], "eve": ["product"]}
        )
        await organization.set_role_expiry(
            people["bob"], "developer", await ends_in(organization.deployment, LATER)
        )
        await organization.set_membership_expiry(
            people["eve"], await ends_in(organization.deployment, LATER)
        )
        await organization.invite("fay", ["support"])
        everywhere[organization.id] = (
            await organization.roles_by_member(),
            await assert_agreement(organization),
            len(await organization.events()),
        )
    gone = (await acme.add_members({"gone": ["support"]}))["gone"]
    await acme.set_membership_expiry(gone, await ends_in(acme.deployment, SOON))
    ledgers = len(await acme.ledger()), len(await globex.ledger())
    async with running_worker(acme.deployment):
        await wait_until(lambda: has_grown(acme, ledgers[0]))

    assert (len(await acme.ledger()), len(await globex.ledger())) == (ledgers[0] + 1, ledgers[1])
    for organization, more in ((acme, 1), (globex, 0)):
        found = (
            await organization.roles_by_member(),
            await assert_agreement(organization),
            len(await organization.events()) - more,
        )
        assert found == everywhere[organization.id]


async def test_an_extended_expiry_ends_nothing(acme: Organization) -> None:
    bob = (await acme.add_members({"bob": ["support"]}))["bob"]
    id = (await acme.invite("eve", ["product"])).json()["id"]
    end = await ends_in(acme.deployment, -SOON)
    await acme.set_role_expiry(bob, "support", end)
    await acme.set_invitation_expiry(id, end)
    await acme.change_roles(bob, "support")
    await acme.administrator.ask("POST", f"{acme.path}/invitations/{id}/resend")
    before = await acme.ledger()

    assert await sweep(acme) == 0

    assert await acme.ledger() == before
    assert await acme.can(bob, "refunds_create")
    assert (await acme.invitation(InvitationId(id))).lapsed_at is None


async def test_expiries_of_a_suspended_member_take_effect_and_do_not_return(
    acme: Organization,
) -> None:
    people = await acme.add_members(
        {"bob": ["support", "product"], "eve": ["support"]}, ["bob", "eve"]
    )
    end = await ends_in(acme.deployment, -SOON)
    await acme.set_role_expiry(people["bob"], "support", end)
    await acme.set_membership_expiry(people["eve"], end)

    assert await sweep(acme) == 2

    assert (await acme.reactivate(people["bob"])).status_code == 204
    assert (await acme.reactivate(people["eve"])).status_code == 404
    assert not await acme.can(people["bob"], "refunds_create")
    assert await acme.can(people["bob"], "webhooks_send_test")
    await assert_agreement(acme)


async def test_a_member_is_shown_with_their_expiry(acme: Organization) -> None:
    bob = (await acme.add_members({"bob": ["support"]}))["bob"]
    end = await ends_in(acme.deployment, LATER)
    await acme.set_membership_expiry(bob, end)
    shown = await acme.administrator.ask("GET", f"{acme.path}/members/{bob.id}")
    assert datetime.fromisoformat(shown.json()["expires_at"]) == end
    ana = await acme.administrator.ask("GET", f"{acme.path}/members/{acme.administrator.id}")
    assert ana.json()["expires_at"] is None


async def has_grown(organization: Organization, before: int) -> bool:
    """Whether the ledger is longer than it was."""
    return len(await organization.ledger()) > before

"""Access to a single resource, for a member or a team, perhaps until a time."""

from datetime import datetime, timedelta

import pytest
from sqlalchemy import update

from teamaccess.storage import Grant, TeamId
from teamaccess.storage import Team as TeamRow
from tests.support.agreement import assert_agreement
from tests.support.organization import Organization
from tests.support.people import Person
from tests.support.resources import (
    add_resources,
    add_team,
    get_grants,
    grant_to,
    remove_resource,
    set_grants,
)
from tests.support.responses import refused
from tests.support.spicedb_proxy import sweep

WEBHOOK = "webhook:wh_1"


@pytest.fixture
async def people(acme: Organization) -> dict[str, Person]:
    """Sue of Support, Wes in the team web, and reg, who registers and edits but cannot delete."""
    found = await acme.add_members({"sue": ["support"], "wes": [], "reg": [], "ida": ["product"]})
    await add_team(acme, "web", found["wes"])
    await acme.add_custom_role(
        "registrar", "resources_register", "webhooks_edit", holders=[found["reg"]]
    )
    await add_resources(acme, WEBHOOK)
    return found


async def time_from_now(organization: Organization, **more: float) -> datetime:
    """A time from now, in whole seconds."""
    return (await organization.deployment.service.now() + timedelta(**more)).replace(microsecond=0)


async def test_a_member_and_a_team_may_do_to_one_resource_what_they_were_granted(
    acme: Organization, people: dict[str, Person]
) -> None:
    sue, wes = people["sue"], people["wes"]
    await add_resources(acme, "webhook:wh_2")
    end = await time_from_now(acme, days=1)

    answer = await set_grants(
        acme,
        WEBHOOK,
        grant_to(sue, "edit"),
        grant_to("web", "send_test", expires_at=end.isoformat()),
    )

    assert answer.status_code == 200, answer.text
    assert await acme.can(sue, "edit", on=WEBHOOK)
    assert await acme.can(wes, "send_test", on=WEBHOOK)
    assert not await acme.can(wes, "edit", on=WEBHOOK)
    assert not await acme.can(sue, "delete", on=WEBHOOK)
    assert not await acme.can(sue, "edit", on="webhook:wh_2")
    assert not await acme.can(sue, "webhooks_edit")
    shown = await get_grants(acme, WEBHOOK, by=people["ida"])
    assert shown.json() == answer.json()
    assert [{**each, "granted_at": None} for each in shown.json()["grants"]] == [
        {
            "action": action,
            "role": None,
            "actions": [action],
            "user": user,
            "team": team,
            "expires_at": until,
            "granted_at": None,
            "granted_by": acme.administrator.id,
        }
        for action, user, team, until in (
            ("edit", sue.id, None, None),
            ("send_test", None, "web", end.isoformat().replace("+00:00", "Z")),
        )
    ]
    reported = (await acme.events())[-1]
    assert (reported.kind, reported.subject) == ("grants_changed", f"webhook:{acme.id}/wh_1")
    assert reported.details == {
        "before": [],
        "after": [f"edit user:{sue.id}", f"send_test team:web until {end.isoformat()}"],
    }
    await assert_agreement(acme)


async def test_setting_grants_replaces_all_of_them_in_one_write(
    acme: Organization, people: dict[str, Person]
) -> None:
    sue, wes = people["sue"], people["wes"]
    await set_grants(acme, WEBHOOK, grant_to(sue, "edit"), grant_to(sue, "view"))
    before = len(await acme.ledger())

    await set_grants(acme, WEBHOOK, grant_to(sue, "edit"), grant_to(wes, "delete"))

    [updates] = (await acme.ledger())[before:]
    webhook = f"webhook:{acme.id}/wh_1"
    assert updates == [
        f"DELETE {webhook}#granted_view@user:{sue.id}",
        f"TOUCH {webhook}#granted_delete@user:{wes.id}",
    ]
    reported = len(await acme.events())
    await set_grants(acme, WEBHOOK, grant_to(wes, "delete"), grant_to(sue, "edit"))
    assert len(await acme.ledger()) == before + 1
    assert len(await acme.events()) == reported
    await set_grants(acme, WEBHOOK)
    assert (await get_grants(acme, WEBHOOK)).json() == {"grants": []}


async def test_a_grant_does_not_outlive_the_membership_the_team_or_the_team_membership(
    acme: Organization, people: dict[str, Person]
) -> None:
    sue, wes = people["sue"], people["wes"]
    before = await assert_agreement(acme)
    await set_grants(acme, WEBHOOK, grant_to(sue, "edit"), grant_to("web", "edit"))
    assert (await acme.suspend(sue)).is_success
    assert not await acme.can(sue, "edit", on=WEBHOOK)
    await acme.reactivate(sue)
    assert await acme.can(sue, "edit", on=WEBHOOK)

    await acme.remove(sue)

    assert not await acme.can(sue, "edit", on=WEBHOOK)
    assert [each["team"] for each in (await get_grants(acme, WEBHOOK)).json()["grants"]] == ["web"]
    await acme.invite("sue", ["support"])
    headers = {"Authorization": f"Bearer {await acme.deployment.token(sue.id)}"}
    assert (await acme.accept("sue", headers=headers)).is_success
    assert not await acme.can(sue, "edit", on=WEBHOOK)

    assert await acme.can(wes, "edit", on=WEBHOOK)
    async with acme.deployment.operator(acme.id) as change:
        team = await change.session.get_one(TeamRow, (acme.id, TeamId("web")))
        await change.session.refresh(team, ["members", "roles"])
        await change.session.delete(team)
    assert not await acme.can(wes, "edit", on=WEBHOOK)
    assert (await get_grants(acme, WEBHOOK)).json() == {"grants": []}
    assert await assert_agreement(acme) == {each for each in before if not each.startswith("team:")}


async def test_a_grant_expires_at_its_time(acme: Organization, people: dict[str, Person]) -> None:
    sue = people["sue"]
    end = await time_from_now(acme, days=1)
    await set_grants(
        acme, WEBHOOK, grant_to(sue, "edit", expires_at=end.isoformat()), grant_to(sue, "view")
    )
    past = await time_from_now(acme, seconds=-1)
    async with acme.deployment.operator(acme.id) as change:
        await change.session.execute(
            update(Grant)
            .where(Grant.organization_id == acme.id, Grant.action == "edit")
            .values(expires_at=past)
        )
    assert not await acme.can(sue, "edit", on=WEBHOOK)
    assert [each["action"] for each in (await get_grants(acme, WEBHOOK)).json()["grants"]] == [
        "view"
    ]

    assert await sweep(acme) == 1

    [updates] = (await acme.ledger())[-1:]
    assert [each.partition("[")[0] for each in updates] == [
        f"DELETE webhook:{acme.id}/wh_1#granted_edit@user:{sue.id}"
    ]
    reported = (await acme.events())[-1]
    assert (reported.kind, reported.actor) == ("grant_ended", "system")
    assert reported.details == {
        "action": "edit",
        "holder": f"user:{sue.id}",
        "expires_at": past.isoformat(),
    }
    await assert_agreement(acme)


async def test_an_expired_grant_that_is_granted_again_has_a_new_granter(
    acme: Organization, people: dict[str, Person]
) -> None:
    sue, reg = people["sue"], people["reg"]
    end = await time_from_now(acme, days=1)
    await set_grants(acme, WEBHOOK, grant_to(sue, "edit", expires_at=end.isoformat()))
    past = await time_from_now(acme, seconds=-1)
    async with acme.deployment.operator(acme.id) as change:
        row = update(Grant).where(Grant.organization_id == acme.id)
        await change.session.execute(row.values(expires_at=past))  # and it has not been swept yet

    [again] = (await set_grants(acme, WEBHOOK, grant_to(sue, "edit"), by=reg)).json()["grants"]
    assert again["granted_by"] == reg.id
    assert datetime.fromisoformat(again["granted_at"]) > past
    assert await acme.can(sue, "edit", on=WEBHOOK)
    await assert_agreement(acme)


@pytest.mark.parametrize(
    ("wrong", "status", "code"),
    [
        ({"action": "edit", "user": "usr_nobody"}, 404, "unknown_member"),
        ({"action": "edit", "user": "a\x00b"}, 404, "unknown_member"),
        ({"action": "edit", "team": "nobodys"}, 404, "unknown_team"),
        ({"action": "dance", "user": "{sue}"}, 400, "unknown_action"),
        ({"action": "webhooks_edit", "user": "{sue}"}, 400, "unknown_action"),
        ({"action": "edit"}, 400, "invalid_request"),
        ({"action": "edit", "user": "{sue}", "team": "web"}, 400, "invalid_request"),
        ({"action": "edit", "user": None}, 400, "invalid_request"),
        ({"action": "view", "user": "{sue}"}, 400, "grant_twice"),
        (
            {"action": "edit", "user": "{sue}", "expires_at": "2020-01-01T00:00:00Z"},
            400,
            "end_in_the_past",
        ),
        (
            {"action": "edit", "user": "{sue}", "expires_at": "2120-01-01T00:00:00Z"},
            400,
            "end_too_far",
        ),
    ],
)
async def test_one_invalid_grant_refuses_all(
    acme: Organization,
    people: dict[str, Person],
    wrong: dict[str, str | None],
    status: int,
    code: str,
) -> None:
    before = await acme.ledger()
    filled = {
        name: people["sue"].id if value == "{sue}" else value for name, value in wrong.items()
    }
    refused(await set_grants(acme, WEBHOOK, grant_to(people["sue"], "view"), filled), status, code)
    assert await acme.ledger() == before


async def test_users_of_another_tenant_cannot_get_a_grant(
    acme: Organization, globex: Organization, people: dict[str, Person]
) -> None:
    stranger = globex.administrator
    refused(await set_grants(acme, WEBHOOK, grant_to(stranger, "edit")), 404, "unknown_member")
    await add_team(globex, "theirs")
    refused(await set_grants(acme, WEBHOOK, grant_to("theirs", "edit")), 404, "unknown_team")
    refused(
        await set_grants(acme, WEBHOOK, grant_to(stranger, "edit"), by=stranger),
        404,
        "unknown_organization",
    )


async def test_members_cannot_grant_what_they_may_not_do_to_the_resource(
    acme: Organization, people: dict[str, Person]
) -> None:
    reg, sue, ida = people["reg"], people["sue"], people["ida"]
    assert (await set_grants(acme, WEBHOOK, grant_to(sue, "edit"), by=reg)).status_code == 200
    for target in (sue, reg, "web"):
        answer = await set_grants(
            acme, WEBHOOK, grant_to(sue, "edit"), grant_to(target, "delete"), by=reg
        )
        assert refused(answer, 403, "grant_beyond_giver")["missing"] == ["delete"]
    # they may grant on this resource what they were granted on it
    await add_resources(acme, "webhook:wh_2")
    await set_grants(acme, WEBHOOK, grant_to(sue, "edit"), grant_to(reg, "delete"))
    handed = (grant_to(sue, "edit"), grant_to(reg, "delete"), grant_to(ida, "delete"))
    assert (await set_grants(acme, WEBHOOK, *handed, by=reg)).status_code == 200
    answer = await set_grants(acme, "webhook:wh_2", grant_to(ida, "delete"), by=reg)
    refused(answer, 403, "grant_beyond_giver")


async def test_members_cannot_remove_or_extend_grants_of_what_they_may_not_do(
    acme: Organization, people: dict[str, Person]
) -> None:
    reg, sue = people["reg"], people["sue"]
    soon, later = [(await time_from_now(acme, days=days)).isoformat() for days in (1, 2)]
    await set_grants(acme, WEBHOOK, grant_to(sue, "delete", expires_at=later))
    for left in ([], [grant_to(sue, "delete", expires_at=soon)]):
        answer = await set_grants(acme, WEBHOOK, *left, by=reg)
        assert refused(answer, 403, "grant_above_actor")["missing"] == ["delete"]
    answer = await set_grants(acme, WEBHOOK, grant_to(sue, "delete"), by=reg)
    refused(answer, 403, "grant_beyond_giver")
    kept = grant_to(sue, "delete", expires_at=later)
    assert (await set_grants(acme, WEBHOOK, kept, grant_to(sue, "edit"), by=reg)).status_code == 200


async def test_grants_are_replaced_only_if_they_are_unchanged(
    acme: Organization, people: dict[str, Person]
) -> None:
    sue = people["sue"]
    known = {"If-Match": (await get_grants(acme, WEBHOOK)).headers["ETag"]}
    assert (
        await set_grants(acme, WEBHOOK, grant_to(sue, "edit"), headers=known)
    ).status_code == 200
    before = await acme.ledger()
    answer = await set_grants(acme, WEBHOOK, grant_to(sue, "view"), headers=known)
    refused(answer, 412, "grants_changed_meanwhile")
    assert await acme.ledger() == before
    assert (await set_grants(acme, WEBHOOK, headers={"If-Match": "*"})).status_code == 200


async def test_removing_a_resource_ends_all_its_grants(
    acme: Organization, people: dict[str, Person]
) -> None:
    await set_grants(acme, WEBHOOK, grant_to(people["sue"], "delete"))
    assert (await remove_resource(acme, WEBHOOK, by=people["reg"])).status_code == 204
    assert not await acme.can(people["sue"], "delete", on=WEBHOOK)
    await assert_agreement(acme)


async def test_a_grant_counts_for_rank(
    initech: Organization,
) -> None:
    found = await initech.add_members({"stu": [], "sue": [], "tim": [], "tom": []})
    await initech.add_custom_role("steward", "members_remove", holders=[found["stu"]])
    await add_team(initech, "feeds", found["tom"])
    await add_resources(initech, "source:s_1")
    await set_grants(
        initech, "source:s_1", grant_to(found["tim"], "manage"), grant_to("feeds", "view")
    )
    for name, lacks in (("tim", "sources_manage"), ("tom", "sources_view")):
        answer = await initech.suspend(found[name], by=found["stu"])
        assert refused(answer, 403, "member_above_actor")["missing"] == [lacks]
    assert (await initech.suspend(found["sue"], by=found["stu"])).is_success

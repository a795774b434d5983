"""The life of an invitation: sent, listed, expired, sent again, cancelled."""

from datetime import datetime, timedelta

import pytest

from teamaccess.changes import Ledger
from teamaccess.common.configuration.limits import Limits
from teamaccess.common.configuration.secret import hash_of
from tests.support.organization import Organization
from tests.support.responses import refused

DAY = timedelta(days=1)


async def status_of(organization: Organization, id: str) -> str:
    """The status that the list shows for the invitation."""
    listed = (
        await organization.administrator.ask("GET", f"{organization.path}/invitations")
    ).json()["items"]
    return next(str(each["status"]) for each in listed if each["id"] == id)


async def test_an_invitation_is_pending_for_seven_days_and_lists_the_offered_roles(
    acme: Organization,
) -> None:
    invited = await acme.invite("bob", ["support", "developer"])

    assert invited.status_code == 201
    invitation = invited.json()
    assert invitation["status"] == "pending"
    assert invitation["email"] == acme.address("bob")
    assert invitation["roles"] == ["developer", "support"]
    assert invitation["invited_by"] == acme.administrator.id
    assert invitation["delivery"] == "file"
    sent, expires = (datetime.fromisoformat(invitation[name]) for name in ("sent_at", "expires_at"))
    assert expires - sent == 7 * DAY
    row = await acme.invitation(invitation["id"])
    (touched,) = (await acme.ledger())[-1]
    assert touched.startswith(
        f"TOUCH invitation:{acme.id}/{row.id}#invitee@email:{row.invitee}"
        f"[expiration:{row.expires_at:%Y-%m-%dT%H:%M:%S}"
    )


@pytest.mark.parametrize("hours", [1, 24, 30 * 24])
async def test_an_invitation_lasts_as_long_as_requested_but_at_most_thirty_days(
    acme: Organization, hours: int
) -> None:
    invitation = (await acme.invite("bob", ["support"], expires_in_hours=hours)).json()
    sent, expires = (datetime.fromisoformat(invitation[name]) for name in ("sent_at", "expires_at"))
    assert expires - sent == timedelta(hours=hours)

    for too in (0, -1, 30 * 24 + 1, 2**63):
        answer = await acme.invite("eve", ["support"], expires_in_hours=too)
        refused(answer, 400, "invalid_request")


async def test_invitations_are_listed_and_filtered_by_status(
    acme: Organization,
) -> None:
    ids = {name: (await acme.invite(name, ["support"])).json()["id"] for name in ("p", "e", "c")}
    await acme.member("a", roles=["support"])
    await acme.backdate_invitation(ids["e"], by=8 * DAY)
    path = f"{acme.path}/invitations"
    cancelled = await acme.administrator.ask("DELETE", f"{path}/{ids['c']}")
    assert cancelled.status_code == 204

    listed = (await acme.administrator.ask("GET", path)).json()["items"]
    assert [(each["email"], each["status"]) for each in listed] == [
        (acme.address("a"), "accepted"),
        (acme.address("c"), "cancelled"),
        (acme.address("p"), "pending"),
        (acme.address("e"), "expired"),
    ]
    for each in listed:
        asked = await acme.administrator.ask("GET", path, params={"status": each["status"]})
        assert asked.json() == {"items": [each], "next_cursor": None}


async def test_a_long_list_comes_in_pages_without_gaps_or_repeats(acme: Organization) -> None:
    sent = [(await acme.invite(f"guest{number}", ["support"])).json()["id"] for number in range(11)]
    seen: list[str] = []
    asked = {"limit": "4"}
    while True:
        page = (
            await acme.administrator.ask("GET", f"{acme.path}/invitations", params=asked)
        ).json()
        seen += [each["id"] for each in page["items"]]
        if page["next_cursor"] is None:
            break
        assert len(page["items"]) == 4
        asked["cursor"] = page["next_cursor"]
    assert seen == sent[::-1]


async def test_an_expired_invitation_cannot_be_accepted(acme: Organization) -> None:
    id = (await acme.invite("bob", ["support"])).json()["id"]
    await acme.backdate_invitation(id, by=7 * DAY)

    refused(await acme.accept("bob"), 409, "invitation_ended")
    assert await status_of(acme, id) == "expired"


async def test_an_expired_invitation_can_be_cancelled(acme: Organization) -> None:
    id = (await acme.invite("bob", ["support"])).json()["id"]
    await acme.backdate_invitation(id, by=8 * DAY)

    cancelled = await acme.administrator.ask("DELETE", f"{acme.path}/invitations/{id}")

    assert cancelled.status_code == 204
    assert await status_of(acme, id) == "cancelled"


async def test_a_cancelled_invitation_stays_cancelled(acme: Organization) -> None:
    id = (await acme.invite("bob", ["support"])).json()["id"]
    path = f"{acme.path}/invitations/{id}"
    await acme.administrator.ask("DELETE", path)

    refused(await acme.accept("bob"), 409, "invitation_ended")
    refused(await acme.administrator.ask("DELETE", path), 409, "invitation_ended")
    refused(await acme.administrator.ask("POST", f"{path}/resend"), 409, "invitation_ended")


async def test_an_accepted_invitation_cannot_be_cancelled_or_resent(
    acme: Organization,
) -> None:
    id = (await acme.invite("bob", ["support"])).json()["id"]
    accepted = await acme.accept("bob")
    assert accepted.status_code == 200
    path = f"{acme.path}/invitations/{id}"

    listed = (await acme.administrator.ask("GET", f"{acme.path}/invitations")).json()["items"][0]
    assert listed["status"] == "accepted"
    assert listed["accepted_by"] == accepted.json()["user"]
    refused(await acme.administrator.ask("DELETE", path), 409, "invitation_ended")
    refused(await acme.administrator.ask("POST", f"{path}/resend"), 409, "already_member")


@pytest.mark.parametrize("days", [0, 3, 8])
async def test_resending_creates_a_new_link_for_the_same_time_and_ends_the_old_one(
    acme: Organization, days: int
) -> None:
    id = (await acme.invite("bob", ["support"], expires_in_hours=48)).json()["id"]
    old = acme.deployment.invitation_token(acme.address("bob"))
    await acme.backdate_invitation(id, by=days * DAY)

    resent = await acme.administrator.ask("POST", f"{acme.path}/invitations/{id}/resend")

    assert resent.status_code == 200
    again = resent.json()
    assert (again["status"], again["delivery"]) == ("pending", "file")
    lives = datetime.fromisoformat(again["expires_at"]) - datetime.fromisoformat(again["sent_at"])
    assert lives == 2 * DAY
    new = acme.deployment.invitation_token(acme.address("bob"))
    assert new != old
    assert (await acme.invitation(id)).token_hash == hash_of(new)
    dead = await acme.deployment.http.post("/v1/invitations/accept", json={"token": old})
    refused(dead, 404, "unknown_invitation_token")
    assert (await acme.accept("bob")).status_code == 200


async def test_an_address_has_one_pending_invitation(acme: Organization) -> None:
    first = (await acme.invite("bob", ["support"])).json()["id"]

    problem = refused(await acme.invite("bob", ["developer"]), 409, "already_invited")

    assert problem["invitation"] == first
    await acme.administrator.ask("DELETE", f"{acme.path}/invitations/{first}")
    assert (await acme.invite("bob", ["developer"])).status_code == 201


async def test_an_expired_invitation_makes_room_for_a_new_one_and_stays_listed(
    acme: Organization,
) -> None:
    old = (await acme.invite("bob", ["support"])).json()["id"]
    await acme.backdate_invitation(old, by=8 * DAY)

    new = (await acme.invite("bob", ["developer"])).json()["id"]

    assert await status_of(acme, old) == "expired"
    assert await status_of(acme, new) == "pending"
    resent = await acme.administrator.ask("POST", f"{acme.path}/invitations/{old}/resend")
    refused(resent, 409, "already_invited")
    assert (await acme.accept("bob")).status_code == 200
    assert (await acme.administrator.ask("DELETE", f"{acme.path}/invitations/{old}")).is_success


async def test_members_are_not_invited(acme: Organization) -> None:
    await acme.member("bob", roles=["support"])
    refused(await acme.invite("bob", ["developer"]), 409, "already_member")


async def test_an_organization_sends_only_so_many_mails_an_hour(
    acme: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Ledger, "limits", Limits(invitations_an_hour=3))
    id = (await acme.invite("bob", ["support"])).json()["id"]
    path = f"{acme.path}/invitations/{id}/resend"
    assert (await acme.administrator.ask("POST", path)).status_code == 200
    assert (await acme.invite("eve", ["support"])).status_code == 201

    refused(await acme.invite("max", ["support"]), 429, "too_many_invitations")
    refused(await acme.administrator.ask("POST", path), 429, "too_many_invitations")
    await acme.backdate_invitation(id, by=timedelta(hours=1, seconds=1))
    assert (await acme.invite("max", ["support"])).status_code == 201


async def test_one_address_gets_at_most_ten_mails_a_day(acme: Organization) -> None:
    sent: list[str] = []
    for _ in range(5):
        id = (await acme.invite("bob", ["support"])).json()["id"]
        path = f"{acme.path}/invitations/{id}"
        assert (await acme.administrator.ask("POST", f"{path}/resend")).status_code == 200
        assert (await acme.administrator.ask("DELETE", path)).status_code == 204
        sent.append(id)

    answer = await acme.invite("bob", ["support"])

    refused(answer, 429, "sent_too_often")
    assert int(answer.headers["Retry-After"]) > 0
    assert len(acme.deployment.mails_to(acme.address("bob"))) == 10
    assert (await acme.invite("eve", ["support"])).status_code == 201
    for id in sent:
        await acme.backdate_invitation(id, by=2 * DAY)
    assert (await acme.invite("bob", ["support"])).status_code == 201

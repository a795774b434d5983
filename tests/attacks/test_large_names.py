"""Names of one tenant that are expensive to compare do not occupy the process."""

import pytest

from teamaccess.common import lookalikes
from teamaccess.storage import Team, TeamId
from tests.support.organization import Organization
from tests.support.responses import refused

LIGATURE = "\ufdfa"
"""One character that stands for 18."""


async def add_teams(acme: Organization, *names: str) -> None:
    """Write rows with these names, as an earlier version accepted them."""
    async with acme.deployment.operator(acme.id) as change:
        for number, name in enumerate(names):
            change.session.add(
                Team(
                    organization_id=acme.id,
                    id=TeamId(f"t{number}"),
                    name=name,
                    created_at=change.now,
                    roles=[],
                )
            )


async def test_each_name_is_folded_once(
    acme: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    await add_teams(acme, *(f"{LIGATURE * 90}{number}" for number in range(30)))
    folded: list[str] = []
    skeleton = lookalikes._skeleton

    def note(text: str) -> str:
        folded.append(text)
        return skeleton(text)

    monkeypatch.setattr(lookalikes, "_skeleton", note)
    costs = []
    for name in ("First", "Second", "Third"):
        folded.clear()
        path = f"{acme.path}/teams/t0"
        answer = await acme.administrator.ask("PATCH", path, json={"name": name})
        answer.raise_for_status()
        costs.append(len(folded))
        assert max(map(len, folded)) <= lookalikes.LONGEST_WRITTEN_OUT
    assert costs[1:] == [3, 3]  # the three cases of the new name alone


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "teams", {"id": "pay"}),
        ("PATCH", "teams/t0", {}),
        ("POST", "roles", {"id": "refunder", "actions": ["refunds_create"]}),
        ("POST", "changes", None),
    ],
)
async def test_a_name_that_nfkc_makes_too_long_is_refused(
    acme: Organization, method: str, path: str, body: dict[str, object] | None
) -> None:
    await add_teams(acme, "Pay")
    name = LIGATURE * 20
    if body is None:
        changes = [{"change": "rename_team", "team": "t0", "name": name}]
        answer = await acme.administrator.ask(
            "POST", f"{acme.path}/audit/plan", json={"changes": changes}
        )
    else:
        answer = await acme.administrator.ask(
            method, f"{acme.path}/{path}", json={**body, "name": name}
        )
    problem = refused(answer, 400, "written_out_too_long")
    assert (problem["length"], problem["longest"]) == (360, 300)
    assert "360 characters" in problem["detail"]

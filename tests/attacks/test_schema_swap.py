"""Changes are authorized by one schema, the one that `schema apply` recorded.

The attacks: a process that still runs an older catalog; and an attacker with SpiceDB's key who
swaps the schema for a moment, creates an administrator over the API, and swaps it back.
"""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from teamaccess.catalog import Catalog, find_catalog_file, load_catalog
from teamaccess.directory.organizations.findings import resolve_findings
from teamaccess.directory.schemas.apply import (
    SchemaStillForeign,
    apply_schema,
    refuse_while_foreign,
)
from teamaccess.engine import ObservedWrite, TooLarge
from teamaccess.ledger.errors import ForeignSchemaFound
from teamaccess.relationships import Delete, Relationship, Touch
from teamaccess.storage import Finding, FindingKind, LedgerEntry, RoleAssignment
from teamaccess.upkeep.findings import record_finding
from tests.support.deployment import OPERATOR, Deployment, open_deployment
from tests.support.isolated_deployments import IsolatedDeployments
from tests.support.organization import Organization
from tests.support.people import Person
from tests.support.resources import add_resources
from tests.support.responses import refused
from tests.support.spicedb_proxy import running_worker, served_by, wait_until
from tests.support.teams import Team


async def foreign_schemas(deployment: Deployment) -> list[dict[str, Any]]:
    """Findings about schemas that were not recorded, the oldest first."""
    async with deployment.service.reads() as session:
        rows = await session.scalars(
            select(Finding.details)
            .where(Finding.kind == FindingKind.FOREIGN_SCHEMA, Finding.resolved_at.is_(None))
            .order_by(Finding.id)
        )
        return list(rows)


async def look_through(deployment: Deployment) -> None:
    """Resolve the findings about schemas, as an operator does."""
    async with deployment.service.ledger.change(OPERATOR) as change:
        ids = await change.session.scalars(
            select(Finding.id).where(
                Finding.kind == FindingKind.FOREIGN_SCHEMA, Finding.resolved_at.is_(None)
            )
        )
        await resolve_findings(change, list(ids), "looked at it")
        await deployment.service.ledger.commit(change)


async def positions(organization: Organization) -> int:
    """How many entries the organization's ledger has."""
    async with organization.deployment.service.reads() as session:
        mine = select(func.count()).where(LedgerEntry.organization_id == organization.id)
        return (await session.execute(mine)).scalar_one()


def opened_up(schema: str) -> str:
    """The schema, with every member an administrator; it keeps the proof of the real one."""
    here = "permission administration = administrator & member"
    assert here in schema
    return schema.replace(here, "permission administration = member")


async def test_a_schema_swapped_for_a_moment_is_found_and_stops_changes(
    isolated: Deployment,
) -> None:
    acme = await isolated.create_organization("acme")
    bob = await acme.member("bob", roles=["support"])
    service = isolated.service
    async with running_worker(isolated):
        await watched(isolated, acme)
        await service.engine.write_schema(opened_up(service.catalog.schema()))
        made = await acme.change_roles(bob, "developer", "product", by=bob)
        await service.engine.write_schema(service.catalog.schema())
        await wait_until(lambda: _any(isolated))
        [finding] = await foreign_schemas(isolated)
        assert finding["differences"] == ["permission_expr_changed"]

        before = await positions(acme)
        refused(await acme.invite("eve", ["support"]), 503, "foreign_schema_found")
        refused(await acme.change_roles(bob, "finance"), 503, "foreign_schema_found")
        assert await positions(acme) == before
        # changes that only take away are still possible
        assert (await acme.remove(bob)).status_code == 204

        await look_through(isolated)
        assert (await acme.invite("eve", ["support"])).status_code == 201
        assert await foreign_schemas(isolated) == []
    assert made.status_code in (200, 403)


async def _changed(organization: Organization, target: Person, role: str) -> bool:
    """Whether a role change succeeds; SpiceDB may judge by the schema of half a second ago."""
    return (await organization.change_roles(target, role)).status_code == 200


async def watched(deployment: Deployment, organization: Organization) -> None:
    """Wait until the worker sees writes: it reports a first foreign write."""
    probe = Touch(Relationship.parse(f"organization:{organization.id}#product@user:probe"))
    while not await _found(deployment, FindingKind.FOREIGN_WRITE):
        await deployment.service.engine.write([probe])
        await deployment.service.engine.write([Delete(probe.relationship)])


async def _found(deployment: Deployment, kind: FindingKind) -> bool:
    async with deployment.service.reads() as session:
        found = select(Finding.id).where(Finding.kind == kind).limit(1)
        return await session.scalar(found) is not None


async def _any(deployment: Deployment) -> bool:
    return bool(await foreign_schemas(deployment))


async def test_a_foreign_schema_that_is_still_in_force_is_found_again(isolated: Deployment) -> None:
    await isolated.service.engine.write_schema(opened_up(isolated.service.catalog.schema()))
    async with running_worker(isolated):
        await wait_until(lambda: _any(isolated))
    await look_through(isolated)
    async with running_worker(isolated):
        await wait_until(lambda: _any(isolated))


async def test_a_schema_applied_by_an_operator_is_not_a_finding(
    isolated: Deployment, tmp_path: Path
) -> None:
    async with running_worker(isolated):
        newer = yesterday_s_and_today_s(tmp_path)[1]
        service = isolated.service
        await apply_schema(service.ledger, service.engine, newer, OPERATOR)
        await apply_schema(service.ledger, service.engine, service.catalog, OPERATOR)
        await service.engine.write_schema(service.catalog.schema())  # the same one again
        # the worker handles writes in order, so the earlier ones are done
        await service.engine.write_schema(opened_up(service.catalog.schema()))
        await wait_until(lambda: _any(isolated))
        assert len(await foreign_schemas(isolated)) == 1


def yesterday_s_and_today_s(folder: Path) -> Any:
    """Fintoc's catalog, and one in which webhooks are deleted by other roles."""
    text = find_catalog_file("fintoc").read_text()
    later = folder / "fintoc.yaml"
    role = "  cashier:\n    name: Cashier\n    description: New.\n    granted_by: dashboard\nresources:"
    later.write_text(text.replace("resources:", role, 1))
    return load_catalog("fintoc"), load_catalog(str(later))


async def test_a_process_with_an_older_catalog_changes_nothing(
    isolated: Deployment, tmp_path: Path
) -> None:
    acme = await isolated.create_organization("acme")
    bob = (await acme.add_members({"bob": ["support"]}))["bob"]
    _, newer = yesterday_s_and_today_s(tmp_path)
    service = isolated.service
    await apply_schema(service.ledger, service.engine, newer, OPERATOR)

    async def refuses() -> bool:
        """SpiceDB may judge by the schema of half a second ago, and proves that one then."""
        answer = await acme.change_roles(bob, "support")
        return answer.is_error and answer.json()["code"] == "schema_mismatch"

    await wait_until(refuses)
    before = await positions(acme)
    refused(await acme.change_roles(bob, "product"), 503, "schema_mismatch")
    refused(await acme.invite("eve", ["support"]), 503, "schema_mismatch")
    assert await positions(acme) == before
    assert await acme.can(bob, "refunds_create")

    # back to the catalog of this process, and everything goes on by itself
    await apply_schema(service.ledger, service.engine, service.catalog, OPERATOR)
    await wait_until(lambda: _changed(acme, bob, "product"))


def with_other_rules(catalog: Catalog) -> dict[str, Catalog]:
    """Return catalogs that compile to the same relations and permissions, and decide otherwise."""
    support, invite = catalog.roles["support"], catalog.actions["users_invite"]
    by_operators = replace(support, granted_by="operator")
    at_another_level = replace(invite, level="authorize")
    return {
        "a stricter guard": replace(catalog, guards={**catalog.guards, "invite": "audit_view"}),
        "a role of operators": replace(catalog, roles={**catalog.roles, "support": by_operators}),
        "a founder": replace(catalog, founder_role="administrator"),
        "shorter access": replace(catalog, longest_days=30),
        "another level": replace(
            catalog, actions={**catalog.actions, "users_invite": at_another_level}
        ),
    }


async def test_a_process_with_other_rules_and_the_same_permissions_changes_nothing(
    isolated: Deployment,
) -> None:
    """The proof covered only the compiled schema, which has neither guards nor reserved roles."""
    acme = await isolated.create_organization("acme")
    bob = (await acme.add_members({"bob": ["support"]}))["bob"]
    service = isolated.service
    for newer in with_other_rules(service.catalog).values():
        await apply_schema(service.ledger, service.engine, newer, OPERATOR)

        async def refuses() -> bool:
            answer = await acme.change_roles(bob, "support")
            return answer.is_error and answer.json()["code"] == "schema_mismatch"

        await wait_until(refuses, seconds=5)
        before = await positions(acme)
        refused(await acme.invite("eve", ["support"]), 503, "schema_mismatch")
        refused(await acme.change_roles(bob, "product"), 503, "schema_mismatch")
        assert await positions(acme) == before


async def test_a_process_with_a_newer_catalog_changes_nothing_before_it_is_applied(
    isolated: Deployment, isolated_deployments: IsolatedDeployments, tmp_path: Path
) -> None:
    acme = await isolated.create_organization("acme")
    bob = (await acme.add_members({"bob": ["support"]}))["bob"]
    yesterday_s_and_today_s(tmp_path)
    settings = isolated.settings.model_copy(update={"catalog": str(tmp_path / "fintoc.yaml")})
    async with open_deployment(settings, isolated.owner_url) as tomorrow:
        ahead = served_by(tomorrow, acme)
        refused(await ahead.change_roles(bob, "cashier"), 503, "schema_mismatch")
        assert not any("cashier" in update for entry in await acme.ledger() for update in entry)
        service = tomorrow.service
        await apply_schema(service.ledger, service.engine, service.catalog, OPERATOR)
        await wait_until(lambda: _changed(ahead, bob, "cashier"))


NEXT_CATALOG = {
    "resources:": """\
  cashier:
    name: Cashier
    description: Opens tills.
    granted_by: dashboard
    teams: true
resources:
  tills:
    label: Tills
    actions:
      open:
        description: Open a till
        level: manage
        source: product
        roles: [cashier]
""",
    "      delete: webhooks_delete\n": """\
      delete: webhooks_delete
    roles:
      editor:
        name: Editor
        description: Views and edits this webhook.
        actions: [view, edit]
""",
}
"""What the next catalog has in addition: a role, an action, and a role on an object."""
WAYS = {
    "a custom role": ("POST", "roles", {"id": "opener", "name": "O", "actions": ["tills_open"]}),
    "a role of a team": ("PUT", "teams/pay/roles", {"roles": ["cashier"]}),
    "a role on an object": (
        "PUT",
        "resources/webhook/wh_1/grants",
        {"grants": [{"role": "editor", "team": "pay"}]},
    ),
    "a grant among others": (
        "POST",
        "grants:batch",
        {"items": [{"operation": "grant", "type": "webhook", "id": "wh_1", "role": "editor",
                    "team": "pay"}]},
    ),
}  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
async def test_nothing_of_the_next_catalog_is_given_in_any_way_before_it_is_applied(
    isolated: Deployment, tmp_path: Path, way: str
) -> None:
    acme = await isolated.create_organization("acme")
    await Team.create(acme, "pay", "support")
    await add_resources(acme, "webhook:wh_1")
    text = find_catalog_file("fintoc").read_text()
    for place, more in NEXT_CATALOG.items():
        assert place in text
        text = text.replace(place, more, 1)
    (tmp_path / "fintoc.yaml").write_text(text)
    settings = isolated.settings.model_copy(update={"catalog": str(tmp_path / "fintoc.yaml")})
    async with open_deployment(settings, isolated.owner_url) as tomorrow:
        ahead = served_by(tomorrow, acme)
        method, path, body = WAYS[way]
        before = await positions(acme)
        answer = await ahead.administrator.ask(method, f"{acme.path}/{path}", json=body)
        refused(answer, 503, "schema_mismatch")
        assert await positions(acme) == before

        service = tomorrow.service
        await apply_schema(service.ledger, service.engine, service.catalog, OPERATOR)

        async def succeeds() -> bool:
            answer = await ahead.administrator.ask(method, f"{acme.path}/{path}", json=body)
            return answer.is_success

        await wait_until(succeeds)


async def test_a_schema_that_takes_too_long_to_compare_counts_as_foreign(
    isolated: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It must not stop the watch: later writes are found, too."""
    acme = await isolated.create_organization("acme")
    service = isolated.service
    async with running_worker(isolated):
        await watched(isolated, acme)
        monkeypatch.setattr("teamaccess.upkeep.worker.schema_watch.COMPARED_WITHIN_SECONDS", 0.0001)
        await service.engine.write_schema(opened_up(service.catalog.schema()))
        await service.engine.write_schema(service.catalog.schema())
        await wait_until(lambda: _any(isolated))
        refused(await acme.invite("eve", ["support"]), 503, "foreign_schema_found")


async def test_a_gap_in_the_watch_stops_changes(
    isolated: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody knows which schemas were in force meanwhile."""
    acme = await isolated.create_organization("acme")
    real, cut = isolated.service.engine.watch, False

    def watch(since: str | None = None) -> AsyncIterator[ObservedWrite]:
        nonlocal cut
        if not cut:
            cut = True
            raise TooLarge("a write of 36 MB")
        return real(since)

    async with running_worker(isolated):
        await watched(isolated, acme)
        monkeypatch.setattr(isolated.service.engine, "watch", watch)
    async with running_worker(isolated):
        await wait_until(lambda: _any(isolated))
    [finding] = await foreign_schemas(isolated)
    assert finding["differences"] == ["unknown: a write of 36 MB"]
    refused(await acme.invite("eve", ["support"]), 503, "foreign_schema_found")


async def test_a_finding_cannot_be_resolved_while_the_foreign_schema_is_in_force(
    isolated: Deployment,
) -> None:
    service = isolated.service
    await service.engine.write_schema(opened_up(service.catalog.schema()))
    async with running_worker(isolated):
        await wait_until(lambda: _any(isolated))
    async with service.reads() as session:
        kind = Finding.kind == FindingKind.FOREIGN_SCHEMA
        ids = set(await session.scalars(select(Finding.id).where(kind)))
        with pytest.raises(SchemaStillForeign):
            await refuse_while_foreign(session, service.engine, ids)
        await apply_schema(service.ledger, service.engine, service.catalog, OPERATOR)
        await refuse_while_foreign(session, service.engine, ids)


@pytest.mark.parametrize("takes", [False, True])
async def test_a_foreign_schema_that_is_found_while_a_change_is_open_stops_it(
    isolated: Deployment, takes: bool
) -> None:
    """The change read the open findings when it was opened, and does so again before it commits."""
    acme = await isolated.create_organization("acme")
    bob = await acme.member("bob", roles=["support"])
    service = isolated.service
    before = await positions(acme)

    async def change_roles() -> None:
        async with service.ledger.change(OPERATOR, acme.id) as change:
            role = select(RoleAssignment).where(RoleAssignment.user_id == bob.id)
            if takes:
                await change.session.delete(await change.session.scalar(role))
            else:
                given = {"organization_id": acme.id, "user_id": bob.id, "role": "product"}
                change.session.add(RoleAssignment(**given, granted_at=change.now))
            async with service.sessions.begin() as session:
                details = {"differences": ["permission_expr_changed"]}
                await record_finding(session, FindingKind.FOREIGN_SCHEMA, "*", details)
            await service.ledger.commit(change)

    if takes:
        await change_roles()
    else:
        with pytest.raises(ForeignSchemaFound):
            await change_roles()
    assert await positions(acme) == before + takes

"""The committed schemas in a real SpiceDB: accepted, and answering as the documents say."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import product
from pathlib import Path

import grpc
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from teamaccess.catalog import Catalog, InvalidCatalog, bundled_catalogs, load_catalog, read_catalog
from teamaccess.catalog.compiler import definitions
from teamaccess.catalog.names import RESERVED
from teamaccess.relationships import ObjectReference, Relationship, SubjectReference, organization
from tests.catalog.seed_tables import finicom_prose, fintoc_table
from tests.catalog.small import SMALL
from tests.schema.engine import Engine

SCHEMAS = Path(__file__).parents[2] / "schema"
ACME = organization("acme")


def one_member_for_each_role(engine: Engine, catalog: Catalog) -> None:
    """Write a member of acme for every role, called as the role is."""
    engine.write_schema(catalog.schema())
    members = {role: ObjectReference("user", role) for role in catalog.roles}
    engine.write(ACME.relates("member", member) for member in members.values())
    engine.write(ACME.relates(role, member) for role, member in members.items())


def allowed(engine: Engine, catalog: Catalog) -> set[tuple[str, str]]:
    """All pairs of role and permission to which SpiceDB says yes."""
    pairs = product(catalog.roles, (action.permission for action in catalog.actions.values()))
    asked = {f"organization:acme#{action}@user:{role}": (role, action) for role, action in pairs}
    return {asked[question] for question, yes in engine.holds(asked).items() if yes}


@pytest.mark.parametrize("name", bundled_catalogs())
def test_the_committed_schema_is_what_the_catalog_compiles_to(name: str) -> None:
    assert (SCHEMAS / f"{name}.zed").read_text(encoding="utf-8") == load_catalog(name).schema()


@pytest.mark.parametrize("name", bundled_catalogs())
def test_spicedb_accepts_the_committed_schema(engine: Engine, name: str) -> None:
    engine.write_schema((SCHEMAS / f"{name}.zed").read_text(encoding="utf-8"))


def test_spicedb_answers_every_question_as_fintocs_table_says(engine: Engine) -> None:
    fintoc = load_catalog("fintoc")
    one_member_for_each_role(engine, fintoc)
    sentence_of = {action.permission: action.description for action in fintoc.actions.values()}
    table = {row.sentence: row.roles for row in fintoc_table()}
    answers = {
        (fintoc.roles[role].name, sentence_of[action])
        for role, action in allowed(engine, fintoc)
        if sentence_of[action] in table
    }
    assert answers == {(role, sentence) for sentence, roles in table.items() for role in roles}


def test_spicedb_answers_every_question_as_finicoms_guide_says(engine: Engine) -> None:
    finicom = load_catalog("finicom")
    one_member_for_each_role(engine, finicom)
    admin, write, read = finicom_prose()
    answers = allowed(engine, finicom)
    assert {action for role, action in answers if role == "read"} == read.can
    assert {action for role, action in answers if role == "write"} == write.can | read.can
    assert {action for role, action in answers if role == "admin"} == finicom.actions.keys()
    assert admin.can < finicom.actions.keys()


def test_a_name_is_refused_exactly_when_spicedb_refuses_it(
    testing_channel: grpc.Channel,
) -> None:
    engine = Engine(testing_channel)
    schema = read_catalog(SMALL, "small").schema()

    @given(st.text("abz019_A-é", min_size=1, max_size=66))
    @example("a" * 64)
    @example("a" * 65)
    @settings(deadline=None)
    def agree(name: str) -> None:
        taken = engine.accepts_schema(schema.replace("clerk", name))
        assert taken == is_catalog(SMALL.replace("clerk", json.dumps(name, ensure_ascii=False)))

    agree()


@pytest.mark.parametrize("word", [*sorted(RESERVED), "use", "self", "import", "partial", "any"])
def test_a_keyword_is_refused_exactly_when_spicedb_refuses_it(engine: Engine, word: str) -> None:
    schema = read_catalog(SMALL, "small").schema()
    assert engine.accepts_schema(schema.replace("clerk", word)) == (word not in RESERVED)
    assert is_catalog(SMALL.replace("clerk", word)) == (word not in RESERVED)


def is_catalog(text: str) -> bool:
    try:
        read_catalog(text, "small")
    except InvalidCatalog:
        return False
    return True


def test_the_catalog_permits_exactly_the_relationships_that_spicedb_accepts(
    engine: Engine,
) -> None:
    small = read_catalog(SMALL, "small")
    engine.write_schema(small.schema())
    for relationship in conceivable_relationships(small):
        assert small.schema_allows(relationship) == engine.accepts(relationship), str(relationship)


def conceivable_relationships(catalog: Catalog) -> Iterator[Relationship]:
    """Yield a relationship for every relation and permission, kind of subject and end."""
    types = [definition.name for definition in definitions(catalog)]
    members = [
        (definition.name, member.name)
        for definition in definitions(catalog)
        for group in definition.groups
        for member in group
    ]
    subjects = [
        SubjectReference(ObjectReference(subject, "acme/1"), relation)
        for subject, relation in product([*types, "planet"], (None, "member", "approve"))
    ]
    ends = (None, datetime(2999, 1, 1, tzinfo=UTC))
    for (name, member), subject, end in product([*members, ("team", "nothing")], subjects, ends):
        yield Relationship(ObjectReference(name, "acme/1"), member, subject, end)

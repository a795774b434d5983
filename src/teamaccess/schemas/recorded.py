"""Whether SpiceDB enforces the schema that was recorded last."""

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from teamaccess.engine import Engine
from teamaccess.errors import Conflict
from teamaccess.models import Finding, FindingKind
from teamaccess.schemas.apply import NEWEST


class SchemaStillForeign(Conflict):
    """SpiceDB enforces another schema than the recorded one ({differences}), so the finding stands. Run `teamaccess schema apply` first."""  # noqa: E501 - a sentence is one line


async def refuse_while_foreign(session: AsyncSession, engine: Engine, ids: set[int]) -> None:
    """Raise SchemaStillForeign if one of the findings is a foreign schema, and one still stands."""
    kinds = await session.scalars(select(Finding.kind).where(Finding.id.in_(ids)))
    newest = (await session.execute(NEWEST)).one_or_none()
    if FindingKind.FOREIGN_SCHEMA not in set(kinds) or newest is None:
        return
    if differences := await engine.lacks(newest.schema):
        raise SchemaStillForeign(differences=sorted(set(differences)))

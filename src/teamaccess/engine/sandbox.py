"""An engine of its own for one state: for what was, and for what would be.

`spicedb serve-testing` keeps what each key writes apart from all others, in memory, and judges it as
every SpiceDB does. It takes any key, so each sandbox has one that nobody can guess.
"""

import secrets
from collections.abc import Sequence

from teamaccess.engine.bulk import IMPORT
from teamaccess.engine.client import Engine
from teamaccess.relationships import Relationship

KEY_BYTES = 32


async def sandbox(endpoint: str, schema: str, relationships: Sequence[Relationship]) -> Engine:
    """Return an engine that has this schema and these relationships, each identity once, and no others.

    Whoever is done with it closes it; what it held is gone when the server ends. Raises EngineRefused
    where the schema has no place for a relationship, and EngineUnavailable.
    """
    engine = Engine(endpoint, secrets.token_hex(KEY_BYTES))
    try:
        await engine.write_schema(schema)
        for start in range(0, len(relationships), IMPORT):
            await engine.import_(relationships[start : start + IMPORT])
    except BaseException:
        await engine.close()
        raise
    return engine

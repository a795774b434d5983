"""Sandboxes: temporary engines in memory, each with a past or planned state.

`spicedb serve-testing` accepts any key, keeps a separate datastore in memory for each, and answers as any
SpiceDB does. Each sandbox has a random key, so that nobody can guess it.
"""

import secrets
from collections.abc import Sequence

from teamaccess.common.sharing.loop_share import give_way
from teamaccess.engine.bulk import MAX_IMPORT
from teamaccess.engine.engine import Engine
from teamaccess.relationships import Relationship

KEY_BYTES = 32


async def open_sandbox(endpoint: str, schema: str, relationships: Sequence[Relationship]) -> Engine:
    """Return an engine with this schema and exactly these relationships, each identity once.

    The caller closes it. The server forgets its content when it ends. Raises EngineRefused if the schema
    does not allow a relationship, and EngineUnavailable.
    """
    engine = Engine(endpoint, secrets.token_hex(KEY_BYTES))
    try:
        await engine.write_schema(schema)
        for start in range(0, len(relationships), MAX_IMPORT):
            await engine.import_relationships(relationships[start : start + MAX_IMPORT])
            await give_way()
    except BaseException:
        await engine.close()
        raise
    return engine

"""Which schema was in force when."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, func
from sqlalchemy.orm import Mapped, mapped_column

from teamaccess.models.base import Base


class SchemaVersion(Base):
    """A schema that SpiceDB was given, in force until the next one; a row is never changed."""

    __tablename__ = "schema_versions"

    applied_at: Mapped[datetime] = mapped_column(
        primary_key=True, server_default=func.clock_timestamp()
    )
    catalog_version: Mapped[str]
    catalog: Mapped[dict[str, Any]] = mapped_column(JSON)
    """What the catalog means. The schema follows its order, which jsonb would forget."""
    schema: Mapped[str]
    zed_token: Mapped[str | None]
    """When SpiceDB took it, as Watch tells it; None where SpiceDB had it already."""
    applied_by: Mapped[str]
    """Who gave it, as the ledger names them."""

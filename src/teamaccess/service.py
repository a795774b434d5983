"""Everything one process needs to judge and to change, put together once from the settings."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.ext.asyncio import async_sessionmaker

from teamaccess.access.reading import Admission, ReadAuthorizer
from teamaccess.audit.audit import Audit
from teamaccess.audit.state.sandboxes import Sandboxes
from teamaccess.catalog import Catalog, load_catalog
from teamaccess.changes import Ledger
from teamaccess.changes.events import RefusalLimits, Refusals
from teamaccess.common.settings import Settings
from teamaccess.delivery import Applier, Relay
from teamaccess.directory.mail import Mailer, mailer
from teamaccess.directory.members.activity import ActivityLog
from teamaccess.directory.service_accounts.sign_in import TokenUse
from teamaccess.directory.users.issuer import Issuer
from teamaccess.directory.users.keys import Keys
from teamaccess.engine import Engine
from teamaccess.ledger import Sessions, create_pool, database_time, session_maker


@dataclass(frozen=True)
class Service:
    """The parts of a running teamaccess, shared by every request of the process."""

    settings: Settings
    catalog: Catalog
    keys: Keys
    engine: Engine
    sessions: Sessions
    """For what is written: their commits go through the ledger."""
    reads: Sessions
    """For single questions: each statement sees what is committed by then, without a transaction."""
    ledger: Ledger
    applier: Applier
    relay: Relay
    """What a worker runs."""
    reading: ReadAuthorizer
    admission: Admission
    audit: Audit
    activity: ActivityLog
    token_use: TokenUse
    refusals: Refusals
    mailer: Mailer
    issuer: Issuer | None
    """The login that people have already, where there is one."""

    async def now(self) -> datetime:
        """Return PostgreSQL's clock, the one by which everything is judged."""
        async with self.reads() as session:
            return await database_time(session)


@asynccontextmanager
async def open_service(settings: Settings) -> AsyncIterator[Service]:
    """Connect to PostgreSQL and SpiceDB, and close both at the end."""
    catalog, url = load_catalog(settings.catalog), settings.sqlalchemy_url
    async with AsyncExitStack() as stack:
        # pools of their own: whoever waits for a lock keeps no question and no mark waiting
        writes = create_pool(url, connections=32)
        reads = create_pool(url, connections=16, transactions=False)
        status_pool = create_pool(url, transactions=False, synchronous_commit="off")
        for pool in (writes, reads, status_pool):
            stack.push_async_callback(pool.dispose)
        engine = await stack.enter_async_context(
            Engine(
                settings.spicedb_endpoint,
                settings.spicedb_preshared_key.get_secret_value(),
                settings.spicedb_tls_ca,
                tls=settings.spicedb_tls,
            )
        )
        applier = Applier(engine, status_pool)
        stack.push_async_callback(applier.close)
        maker = session_maker(writes, catalog)
        questions = async_sessionmaker(reads, expire_on_commit=False)
        sandboxes = Sandboxes(settings.sandbox_endpoint)
        stack.push_async_callback(sandboxes.close)
        activity = ActivityLog(maker)
        yield Service(
            settings=settings,
            catalog=catalog,
            keys=Keys.from_secret(settings.secret_key.get_secret_value()),
            engine=engine,
            sessions=maker,
            reads=questions,
            ledger=Ledger(
                maker, applier, engine, catalog, settings.enforcement_seconds, settings.limits
            ),
            applier=applier,
            relay=Relay(applier, status_pool),
            reading=ReadAuthorizer(questions, engine, catalog, activity.seen),
            admission=Admission(applier, questions),
            audit=Audit(questions, engine, catalog, sandboxes),
            activity=activity,
            token_use=TokenUse(maker),
            refusals=Refusals(maker, _limits(settings)),
            mailer=mailer(settings),
            issuer=_issuer(settings),
        )


def _limits(settings: Settings) -> RefusalLimits:
    return RefusalLimits(settings.refusals_per_actor, settings.refusals_per_chain)


def _issuer(settings: Settings) -> Issuer | None:
    if settings.oidc_issuer is None or settings.oidc_audience is None:
        return None
    return Issuer(settings.oidc_issuer, settings.oidc_audience)

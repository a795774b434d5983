"""The services of one process, built once from the settings."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.ext.asyncio import async_sessionmaker

from teamaccess.access.reading import Admission, ReadAuthorizer
from teamaccess.audit.service import AuditQuestions
from teamaccess.audit.sources import AuditSources
from teamaccess.audit.state.sandboxes import SandboxPool
from teamaccess.catalog import Catalog, load_catalog
from teamaccess.changes import Ledger
from teamaccess.changes.events import RefusalLimits, Refusals
from teamaccess.common.configuration.settings import Settings
from teamaccess.delivery import Applier, Relay
from teamaccess.directory.mail import Mailer, mailer
from teamaccess.directory.members.activity import ActivityLog
from teamaccess.directory.service_accounts.sign_in import TokenUse
from teamaccess.directory.users.claims import ProfileClaims
from teamaccess.directory.users.issuer import Issuer
from teamaccess.directory.users.keys import Keys
from teamaccess.engine import Engine
from teamaccess.ledger import Sessions, create_pool, database_time, session_maker
from teamaccess.storage.advisory_locks import AdvisoryLocks


@dataclass(frozen=True)
class Service:
    """The parts of a running teamaccess, shared by every request of the process."""

    settings: Settings
    catalog: Catalog
    keys: Keys
    engine: Engine
    sessions: Sessions
    """Sessions that write. Their commits go through the ledger."""
    reads: Sessions
    """Sessions that only read. Each statement sees the newest commits, without a transaction."""
    locks: AdvisoryLocks
    notes: Sessions
    """Sessions that note when members and tokens were used. No decision depends on such a note."""
    ledger: Ledger
    applier: Applier
    relay: Relay
    """Delivers pending ledger entries. A worker runs it."""
    reading: ReadAuthorizer
    admission: Admission
    audit: AuditQuestions
    activity: ActivityLog
    token_use: TokenUse
    refusals: Refusals
    mailer: Mailer
    issuer: Issuer | None
    """The OpenID provider of the people who sign in; None without one."""

    async def now(self) -> datetime:
        """Return the time by PostgreSQL's clock, which decides every expiry."""
        async with self.reads() as session:
            return await database_time(session)


@asynccontextmanager
async def open_service(settings: Settings) -> AsyncIterator[Service]:
    """Connect to PostgreSQL and SpiceDB, and disconnect at the end of the block."""
    catalog, url = load_catalog(settings.catalog), settings.sqlalchemy_url
    async with AsyncExitStack() as stack:
        # separate pools, so that writes waiting for a lock delay neither reads nor delivery
        writes = create_pool(url, connections=32)
        reads = create_pool(url, connections=16, transactions=False)
        status_pool = create_pool(url, transactions=False, synchronous_commit="off")
        quick = {"lock_timeout": "50ms", "synchronous_commit": "off"}
        notes = create_pool(url, connections=2, transactions=False, **quick)
        for pool in (writes, reads, status_pool, notes):
            stack.push_async_callback(pool.dispose)
        engine = await stack.enter_async_context(_engine(settings))
        applier = Applier(engine, status_pool)
        stack.push_async_callback(applier.close)
        write_sessions = session_maker(writes, catalog)
        read_sessions = async_sessionmaker(reads, expire_on_commit=False)
        sandboxes = SandboxPool(settings.sandbox_endpoint)
        stack.push_async_callback(sandboxes.close)
        note_sessions = async_sessionmaker(notes, expire_on_commit=False)
        activity = ActivityLog(note_sessions)
        keys = Keys.from_secret(settings.secret_key.get_secret_value())
        locks = AdvisoryLocks(keys.locks)
        ledger = Ledger(
            write_sessions,
            applier,
            engine,
            catalog,
            locks,
            settings.enforcement_seconds,
            settings.limits,
        )
        sources = AuditSources(read_sessions, engine, catalog, sandboxes, keys.invitees)
        refusals = Refusals(write_sessions, locks, _limits(settings))
        stack.push_async_callback(refusals.close)
        yield Service(
            settings=settings,
            catalog=catalog,
            keys=keys,
            engine=engine,
            sessions=write_sessions,
            reads=read_sessions,
            notes=note_sessions,
            locks=locks,
            ledger=ledger,
            applier=applier,
            relay=Relay(applier, status_pool),
            reading=ReadAuthorizer(read_sessions, engine, catalog, activity.seen),
            admission=Admission(applier, read_sessions),
            audit=AuditQuestions(sources, ledger, keys.invitees),
            activity=activity,
            token_use=TokenUse(note_sessions),
            refusals=refusals,
            mailer=mailer(settings),
            issuer=_issuer(settings),
        )


def _engine(settings: Settings) -> Engine:
    return Engine(
        settings.spicedb_endpoint,
        settings.spicedb_preshared_key.get_secret_value(),
        settings.spicedb_tls_ca,
        tls=settings.spicedb_tls,
    )


def _limits(settings: Settings) -> RefusalLimits:
    return RefusalLimits(settings.refusals_per_actor, settings.refusals_per_chain)


def _issuer(settings: Settings) -> Issuer | None:
    if settings.oidc_issuer is None or settings.oidc_audience is None:
        return None
    claims = ProfileClaims.from_settings(settings)
    return Issuer(settings.oidc_issuer, settings.oidc_audience, claims)

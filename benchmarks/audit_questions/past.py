"""The cost of a question about a past time: the replay, the sandbox, and its answer."""

import time
from dataclasses import replace
from statistics import median

from benchmarks.support.report import Row
from teamaccess.audit.questions.matrix import matrix
from teamaccess.audit.questions.who_can import who_can
from teamaccess.audit.state.moment import Moment
from teamaccess.audit.state.sandboxes import SandboxPool
from teamaccess.service import Service
from teamaccess.storage import OrganizationId

SIZES = (10, 1_000, 20_000)
"""Members. Each has two relationships, and a sandbox takes 50,000."""
ACTION = "links_access"
ROUNDS = 3


async def ask(service: Service, what: str, organization: OrganizationId) -> Row:
    """Ask who can and the matrix, in a new sandbox and again in the same one."""
    moment = Moment(await service.now())
    taken: dict[str, list[float]] = {"first": [], "again": [], "matrix": []}
    rows = position = 0
    for _ in range(ROUNDS):
        sandboxes = SandboxPool(service.settings.sandbox_endpoint)
        audit = replace(service.audit.sources, sandboxes=sandboxes)
        source = await audit.of(organization, moment)
        for name in ("first", "again"):
            began = time.perf_counter()
            answer = await who_can(source, ACTION)
            taken[name].append(time.perf_counter() - began)
            rows, position = answer.evidence.rows, answer.evidence.position
        began = time.perf_counter()
        await matrix(source)
        taken["matrix"].append(time.perf_counter() - began)
        await sandboxes.close()
    return {
        "grows by": what,
        "positions": f"{position:,}",
        "members": f"{rows:,}",
        "who can, first s": median(taken["first"]),
        "again s": median(taken["again"]),
        "matrix s": median(taken["matrix"]),
    }

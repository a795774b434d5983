"""What would allow what somebody cannot do, in lines to read."""

from collections.abc import Iterator, Sequence

from teamaccess.api.views.audit import WhyView
from teamaccess.api.views.remedies import RemedyView, StepView
from teamaccess.audit.people import Person


def remedied(found: WhyView) -> Iterator[str]:
    """Yield a line for each remedy, or why there is none and who can instead."""
    for remedy in found.remedies:
        steps = ", then ".join(_step(step) for step in remedy.steps)
        yield f"  It would take: {steps}{_adds(remedy.adds)}: {_who(remedy)}."
    if found.no_remedy is not None:
        yield f"  {found.no_remedy}"
    if found.instead is not None:
        yield f"  These can: {_people(found.instead.people, found.instead.more)}."


def _step(step: StepView) -> str:
    return step.sentence[0].lower() + step.sentence[1:].removesuffix(".")


def _adds(adds: Sequence[str]) -> str:
    if not adds:
        return ""
    more = f" and {len(adds) - 1} more" if len(adds) > 1 else ""
    return f" (also allows {adds[0]}{more})"


def _who(remedy: RemedyView) -> str:
    if remedy.operator:
        return f"whoever runs the service, `{remedy.steps[-1].command}`"
    return f"{_people(remedy.by, 0)} may" + (f", perhaps {remedy.more} more" if remedy.more else "")


def _people(people: Sequence[Person], more: int) -> str:
    named = ", ".join(each.called for each in people)
    return f"{named} and {more} more" if more else named

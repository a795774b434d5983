"""Make users, as an operator who names somebody by their address."""

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from teamaccess.changes import Change
from teamaccess.storage import User, new_user_id


async def user_with(change: Change, address: str) -> User:
    """Return who has the normalised address, who becomes a user where it is new."""
    await change.session.execute(
        insert(User)
        .values(
            id=new_user_id(), email=address, created_at=change.now, tokens_valid_from=change.now
        )
        .on_conflict_do_nothing(index_elements=[User.email])
    )
    return (await change.session.scalars(select(User).where(User.email == address))).one()

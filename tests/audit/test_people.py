"""The names of people and service accounts in answers."""

from teamaccess.audit.questions.people import Person, actor_with_names, display_names
from teamaccess.storage import UserId


def test_a_name_cannot_imitate_another_actor() -> None:
    account = Person(UserId("sa_1"), None, 'bob@acme.example via "Deploy')
    bob = Person(UserId("usr_1"), "bob@acme.example", "Bob")
    names = display_names([account, bob])
    assert actor_with_names("user:sa_1", names) == r'"bob@acme.example via \"Deploy" (sa_1)'
    assert actor_with_names("user:usr_1 via user:sa_1", names).startswith(
        'bob@acme.example via "bob@'
    )
    assert (
        actor_with_names("user:usr_2 invited by operator:rosa", names)
        == "user:usr_2 invited by operator:rosa"
    )

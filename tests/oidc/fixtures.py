"""A deployment whose people sign in with a real OpenID Connect provider."""

from collections.abc import AsyncIterator, Iterator

import pytest

from tests.oidc.login import API, Login
from tests.oidc.provider import Provider
from tests.support.deployment import Deployment
from tests.support.fixtures import hosted
from tests.support.organization import Organization


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    """Where people have their login."""
    started = Provider.start()
    yield started
    started.stop()


@pytest.fixture(scope="module")
async def with_provider(fintoc: Deployment, provider: Provider) -> AsyncIterator[Deployment]:
    """A process that accepts the provider's tokens, on fintoc's database."""
    login = {"oidc_issuer": provider.issuer, "oidc_audience": API}
    async for opened in hosted(fintoc.settings.model_copy(update=login), fintoc.owner_url):
        yield opened


@pytest.fixture
async def organization(with_provider: Deployment) -> Organization:
    """An organization of the deployment with a provider."""
    return await with_provider.create_organization("acme")


@pytest.fixture
def eve(provider: Provider, organization: Organization) -> Login:
    """Eve, who is unknown here. Her address is that of the organization's `eve`."""
    return Login(provider, organization.deployment, f"eve~{organization.id}.example")

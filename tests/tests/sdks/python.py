"""What a product does with WorkOS's client for Python, here against Latchkey. `cargo xtask test` runs it; by hand:

    python tests/tests/sdks/python.py http://127.0.0.1:8788 mk_…
"""

import sys
import time
from datetime import datetime, timedelta, timezone

import workos
from workos.organizations.models import OrganizationDomainData

base_url, management_key = sys.argv[1:]
client = workos.WorkOSClient(api_key=management_key, base_url=base_url)
stranger = workos.WorkOSClient(api_key="mk_wrong", base_url=base_url)

NOBODY = "org_01KF0JZ4G0000000000000000A"


def ids(items):
    return [item.id for item in items]


class fails:
    """A block that must end with this error of the client."""

    def __init__(self, kind, code=None):
        self.kind, self.code = kind, code

    def __enter__(self):
        pass

    def __exit__(self, kind, error, _):
        assert kind is self.kind, f"{self.kind.__name__} expected, not {error!r}"
        assert error.message and (self.code is None or error.code == self.code), repr(error)
        return True


def validate(value):
    return client.api_keys.create_validation(value=value).api_key


def until_valid(value):
    """The edge may hear of a new key a moment after its creation was answered; of a change of one, never later than that."""
    deadline = time.monotonic() + 30
    while not (key := validate(value)):
        assert time.monotonic() < deadline, "a new key is not accepted"
        time.sleep(0.05)
    return key


def organizations():
    domain = OrganizationDomainData(domain="acme.com", state="verified")
    created = client.organizations.create_organization(
        name="Acme", external_id="acme-1", metadata={"tier": "gold"}, domain_data=[domain]
    )
    assert (created.name, created.external_id, created.metadata) == ("Acme", "acme-1", {"tier": "gold"})
    assert [(domain.domain, domain.state) for domain in created.domains] == [("acme.com", "verified")]
    assert abs(created.created_at - datetime.now(timezone.utc)) < timedelta(minutes=5)
    assert client.organizations.get_organization(created.id) == created
    assert client.organizations.get_organization_by_external_id("acme-1") == created

    updated = client.organizations.update_organization(created.id, name="Acme, Inc.", metadata=None)
    assert (updated.name, updated.external_id, updated.metadata) == ("Acme, Inc.", "acme-1", {})
    assert client.organizations.update_organization(created.id, external_id=None).external_id is None

    with fails(workos.NotFoundError, "entity_not_found"):
        client.organizations.get_organization(NOBODY)
    with fails(workos.UnprocessableEntityError):
        client.organizations.create_organization(name="")
    client.organizations.create_organization(name="First", external_id="taken")
    with fails(workos.BadRequestError, "external_id_already_used"):
        client.organizations.create_organization(name="Second", external_id="taken")
    with fails(workos.AuthenticationError):
        stranger.organizations.get_organization(created.id)

    client.organizations.delete_organization(created.id)
    with fails(workos.NotFoundError):
        client.organizations.get_organization(created.id)


def lists():
    made = [client.organizations.create_organization(name=f"No. {n}") for n in range(12)]
    newest_first = sorted(ids(made), reverse=True)
    list_page = client.organizations.list_organizations
    assert ids(list_page().data) == newest_first[:10]
    assert ids(list_page(limit=5).auto_paging_iter()) == newest_first
    assert ids(list_page(limit=5, order="asc").auto_paging_iter()) == newest_first[::-1]

    first = list_page(limit=5, order="asc")
    assert (first.before, first.after, first.has_more()) == (None, first.data[-1].id, True)
    second = list_page(limit=5, order="asc", after=first.after)
    back = list_page(limit=5, order="asc", before=second.before)
    assert ids(back.data) == ids(first.data)
    assert ids(list_page(limit=5, order="normal").data) == newest_first[:5]

    domain = OrganizationDomainData(domain="zenith.org", state="pending")
    named = client.organizations.create_organization(name="Zenith", domain_data=[domain])
    assert ids(list_page(domains=["zenith.org", "zenith.net"]).data) == [named.id]
    assert ids(list_page(search="zEnI").data) == [named.id]
    with fails(workos.UnprocessableEntityError):
        list_page(limit=101)
    with fails(workos.UnprocessableEntityError):
        list_page(after="no id")


def permissions():
    authorization = client.authorization
    created = authorization.create_permission(slug="posts:read", name="Read posts", description="All of them")
    assert (created.slug, created.description, created.system) == ("posts:read", "All of them", False)
    authorization.create_permission(slug="posts:write", name="Write posts")
    assert authorization.get_permission("posts:read").id == created.id
    slugs = [permission.slug for permission in authorization.list_permissions(order="asc", limit=1).auto_paging_iter()]
    assert slugs == ["posts:read", "posts:write"]

    assert authorization.update_permission("posts:read", name="Read any post").name == "Read any post"
    assert authorization.update_permission("posts:read", description=None).description is None

    with fails(workos.ConflictError):
        authorization.create_permission(slug="posts:read", name="Again")
    with fails(workos.UnprocessableEntityError):
        authorization.create_permission(slug="Posts!", name="No slug")
    with fails(workos.NotFoundError):
        authorization.get_permission("posts:none")

    authorization.create_permission(slug="short:lived", name="Short-lived")
    authorization.delete_permission("short:lived")
    with fails(workos.NotFoundError):
        authorization.delete_permission("short:lived")


def organization_keys():
    organization = client.organizations.create_organization(name="Has keys")
    keys = client.api_keys
    in_an_hour = datetime.now(timezone.utc).replace(microsecond=0) + timedelta(hours=1)
    created = keys.create_organization_api_key(
        organization.id, name="Production", permissions=["posts:read", "posts:write"], expires_at=in_an_hour.isoformat()
    )
    assert (created.owner.type, created.owner.id) == ("organization", organization.id)
    assert (created.permissions, created.last_used_at) == (["posts:read", "posts:write"], None)
    assert created.expires_at == in_an_hour
    assert created.obfuscated_value.endswith(created.value[-4:])
    valid = until_valid(created.value)
    assert (valid.id, valid.permissions, valid.expires_at) == (created.id, created.permissions, in_an_hour)
    assert validate("garbage") is None
    with fails(workos.AuthenticationError):
        stranger.api_keys.create_validation(value=created.value)

    for n in range(4):
        keys.create_organization_api_key(organization.id, name=f"No. {n}")
    assert len(ids(keys.list_organization_api_keys(organization.id, limit=2).auto_paging_iter())) == 5
    assert keys.list_organization_api_keys(organization.id, order="asc").data[0].id == created.id
    with fails(workos.NotFoundError):
        keys.list_organization_api_keys(NOBODY)
    with fails(workos.NotFoundError):
        keys.create_organization_api_key(NOBODY, name="Nobody's")
    with fails(workos.UnprocessableEntityError):
        keys.create_organization_api_key(organization.id, name="Unknown permission", permissions=["posts:none"])
    with fails(workos.UnprocessableEntityError):
        keys.create_organization_api_key(organization.id, name="Late", expires_at="2020-01-01T00:00:00Z")

    assert keys.create_api_key_expire(created.id, expires_at=None).expires_at is None
    later = keys.create_api_key_expire(created.id, expires_at=in_an_hour.isoformat())
    assert later.expires_at == in_an_hour
    assert validate(created.value)
    keys.create_api_key_expire(created.id)
    assert validate(created.value) is None, "refused at the next call"
    with fails(workos.ConflictError, "api_key_already_expired"):
        keys.create_api_key_expire(created.id)
    with fails(workos.UnprocessableEntityError):
        keys.create_api_key_expire(created.id, expires_at="tomorrow")

    lost = keys.create_organization_api_key(organization.id, name="Lost")
    until_valid(lost.value)
    keys.delete_api_key(lost.id)
    assert validate(lost.value) is None, "refused at the next call"
    with fails(workos.NotFoundError):
        keys.delete_api_key(lost.id)


for part in [lists, organizations, permissions, organization_keys]:
    part()
    print(f"{part.__name__}: as expected")

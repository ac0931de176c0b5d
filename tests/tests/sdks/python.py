"""What a product does with WorkOS's client for Python, here against Latchkey. `cargo xtask test` runs it; by hand:

    python tests/tests/sdks/python.py http://127.0.0.1:8788 mk_…

With another key, which may only read, the program shows how refusals arrive, and expects that there may be one request a second.
"""

import sys
import time
from datetime import datetime, timedelta, timezone

import workos
from workos.organization_membership import RoleSingle
from workos.organizations.models import OrganizationDomainData

base_url, management_key, *reading_key = sys.argv[1:]
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
        assert error.request_id, "which request it was"
        return True


def validate(value):
    return client.api_keys.create_validation(value=value).api_key


def until_valid(value):
    """The edge may hear of a new key a moment after its creation was answered; of a change of one it has heard."""
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


def idempotency():
    organization = client.organizations.create_organization(name="Creates once").id

    def create(name, idempotency_key):
        options = {"idempotency_key": idempotency_key}
        return client.api_keys.create_organization_api_key(organization, name=name, request_options=options)

    first = create("Production", "first")
    assert create("Production", "first") == first, "the same key, its text included"
    assert create("Production", "second").id != first.id
    with fails(workos.UnprocessableEntityError, "idempotency_key_reused"):
        create("Another name", "first")
    assert len(client.api_keys.list_organization_api_keys(organization).data) == 2


def roles():
    authorization = client.authorization
    created = authorization.create_environment_role(slug="editor", name="Editor", description="Edits posts")
    assert (created.slug, created.type, created.permissions) == ("editor", "EnvironmentRole", [])
    assert authorization.get_environment_role("editor").id == created.id
    assert created.id in ids(authorization.list_environment_roles().data)
    assert authorization.update_environment_role("editor", description=None).description is None
    narrow = authorization.set_environment_role_permissions("editor", permissions=["posts:read"])
    assert narrow.permissions == ["posts:read"]
    added = authorization.add_environment_role_permission("editor", body_slug="posts:write")
    assert sorted(added.permissions) == ["posts:read", "posts:write"]
    with fails(workos.ConflictError):
        authorization.create_environment_role(slug="editor", name="Again")
    with fails(workos.NotFoundError):
        authorization.get_environment_role("nobody")
    with fails(workos.UnprocessableEntityError):
        authorization.create_environment_role(slug="Bad slug!", name="Bad")

    organization = client.organizations.create_organization(name="Has roles").id
    own = authorization.create_organization_role(organization, slug="org-billing", name="Billing")
    assert (own.slug, own.type, own.permissions) == ("org-billing", "OrganizationRole", [])
    assert authorization.get_organization_role(organization, "org-billing").id == own.id
    slugs = [role.slug for role in authorization.list_organization_roles(organization).data]
    assert "editor" in slugs and "org-billing" in slugs, "those of the environment too"
    renamed = authorization.update_organization_role(organization, "org-billing", name="Billing and tax")
    assert renamed.name == "Billing and tax"
    authorization.set_organization_role_permissions(organization, "org-billing", permissions=["posts:read"])
    authorization.add_organization_role_permission(organization, "org-billing", body_slug="posts:write")
    authorization.remove_organization_role_permission(organization, "org-billing", "posts:read")
    assert authorization.get_organization_role(organization, "org-billing").permissions == ["posts:write"]
    with fails(workos.ConflictError):
        authorization.create_organization_role(organization, slug="org-billing", name="Again")
    authorization.delete_organization_role(organization, "org-billing")
    with fails(workos.NotFoundError):
        authorization.delete_organization_role(organization, "org-billing")


def users():
    api = client.user_management
    email = "marcelina@example.com"
    created = api.create_user(email=email, first_name="Marcelina", external_id="u-1", metadata={"team": "blue"})
    assert (created.email, created.first_name, created.last_name) == (email, "Marcelina", None)
    assert (created.external_id, created.metadata, created.email_verified) == ("u-1", {"team": "blue"}, False)
    assert api.get_user(created.id).email == email
    assert api.get_user_by_external_id("u-1").id == created.id
    updated = api.update_user(created.id, last_name="Davis", metadata=None)
    assert (updated.first_name, updated.last_name, updated.metadata) == ("Marcelina", "Davis", {})

    other = api.create_user(email="other@example.com")
    assert ids(api.list_users(email=email).data) == [created.id]
    assert ids(api.list_users(order="asc", limit=1).auto_paging_iter()) == [created.id, other.id]
    with fails(workos.BadRequestError):
        api.create_user(email=email)
    with fails(workos.UnprocessableEntityError):
        api.create_user(email="no address")
    api.delete_user(other.id)
    with fails(workos.NotFoundError):
        api.get_user(other.id)


def memberships():
    api = client.organization_membership
    organization = client.organizations.create_organization(name="Has members").id
    user = client.user_management.get_user_by_external_id("u-1").id
    editor = RoleSingle(role_slug="editor")
    created = api.create_organization_membership(user_id=user, organization_id=organization, role=editor)
    assert (created.user_id, created.organization_id) == (user, organization)
    assert (created.status, created.role.slug) == ("active", "editor")
    assert api.get_organization_membership(created.id).user.id == user
    assert ids(api.list_organization_memberships(organization_id=organization).data) == [created.id]
    assert ids(api.list_organization_memberships(user_id=user, statuses=["active"]).data) == [created.id]
    assert ids(client.user_management.list_users(organization_id=organization).data) == [user]

    assert api.deactivate_organization_membership(created.id).status == "inactive"
    assert api.reactivate_organization_membership(created.id).status == "active"
    another = client.organizations.create_organization(name="Another").id
    second = api.create_organization_membership(user_id=user, organization_id=another)
    assert api.update_organization_membership(second.id, role=editor).role.slug == "editor"
    api.delete_organization_membership(second.id)
    with fails(workos.NotFoundError):
        api.get_organization_membership(second.id)


def user_keys():
    api = client.user_management
    user = api.get_user_by_external_id("u-1").id
    [membership] = client.organization_membership.list_organization_memberships(user_id=user).data
    organization = membership.organization_id
    created = api.create_user_api_key(
        user, name="Marcelina's", organization_id=organization, permissions=["posts:read", "posts:write"]
    )
    assert (created.owner.type, created.owner.id, created.owner.organization_id) == ("user", user, organization)
    assert until_valid(created.value).owner.id == user
    assert ids(api.list_user_api_keys(user).data) == [created.id]
    assert ids(api.list_user_api_keys(user, organization_id=organization, limit=1).auto_paging_iter()) == [created.id]
    elsewhere = client.organizations.create_organization(name="No member").id
    with fails(workos.BadRequestError):
        api.create_user_api_key(user, name="No", organization_id=elsewhere)

    # A key is worth no more than the role of its user, and nothing without the membership.
    client.authorization.set_environment_role_permissions("editor", permissions=["posts:read"])
    assert validate(created.value).permissions == ["posts:read"], "at the next call"
    client.organization_membership.deactivate_organization_membership(membership.id)
    assert validate(created.value) is None, "refused at the next call"


def webhook_endpoints():
    url = "https://example.com/hooks"
    created = client.webhooks.create_webhook_endpoint(endpoint_url=url, events=["api_key.created"])
    assert (created.endpoint_url, created.status, created.events) == (url, "enabled", ["api_key.created"])
    assert created.secret.startswith("whsec_")
    assert ids(client.webhooks.list_webhook_endpoints().data) == [created.id]
    assert client.webhooks.update_webhook_endpoint(created.id, status="disabled").status == "disabled"
    with fails(workos.ConflictError):
        client.webhooks.create_webhook_endpoint(endpoint_url=url, events=["api_key.created"])
    with fails(workos.UnprocessableEntityError):
        client.webhooks.create_webhook_endpoint(endpoint_url="https://127.0.0.1", events=["api_key.created"])
    client.webhooks.delete_webhook_endpoint(created.id)
    with fails(workos.NotFoundError):
        client.webhooks.delete_webhook_endpoint(created.id)


def events():
    organization = client.organizations.create_organization(name="Has events").id
    key = client.api_keys.create_organization_api_key(organization, name="Has events")
    client.api_keys.delete_api_key(key.id)
    names = ["api_key.created", "api_key.revoked", "api_key.updated", "role.created", "role.updated"]
    for what in ["organization", "organization_membership", "organization_role", "permission", "user"]:
        names += [f"{what}.{change}" for change in ["created", "updated", "deleted"]]
    log = list(client.events.list_events(events=names, limit=7).auto_paging_iter())
    assert ids(log) == sorted(set(ids(log))), "each event once, oldest first"
    # What the client does not know, it would return as EventSchemaUnknown, which has no fields.
    assert {event.event for event in log} == set(names), "an event of each type"
    for event in log:
        assert event.id.startswith("event_") and event.created_at.tzinfo, event
        assert event.data.object == event.event.split(".")[0], event
    newest = client.events.list_events(events=names, limit=2, order="desc")
    assert ids(newest.data) == ids(log)[:-3:-1]
    of_organization = client.events.list_events(events=names, organization_id=organization)
    found = [(event.event, event.data.id) for event in of_organization.data]
    assert found == [("organization.created", organization), ("api_key.created", key.id), ("api_key.revoked", key.id)]


def refusals():
    reader = workos.WorkOSClient(api_key=reading_key[0], base_url=base_url)
    with fails(workos.AuthorizationError, "forbidden"):
        reader.organizations.create_organization(name="Acme")
    hasty = workos.WorkOSClient(api_key=management_key, base_url=base_url, max_retries=0)
    with fails(workos.RateLimitExceededError, "rate_limited"):
        for _ in range(60):
            hasty.organizations.list_organizations()
    # Who waits for as long as the answer says is let in.
    assert client.organizations.list_organizations().data == []


everything = [lists, organizations, permissions, organization_keys, idempotency, roles, users, memberships, user_keys]
everything += [webhook_endpoints, events]
for part in [refusals] if reading_key else everything:
    part()
    print(f"{part.__name__}: as expected")

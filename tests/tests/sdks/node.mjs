// What a product does with WorkOS's client for Node, here against Latchkey. `cargo xtask test` runs it; by hand:
//
//     node tests/tests/sdks/node.mjs 11 http://127.0.0.1:8788 mk_…
//
// The first argument is the major version of the client, 8 or 11, of which package.json names one release each. With another
// key, which may only read, the program shows how refusals arrive, and expects that there may be one request a second.

import assert from "node:assert/strict";

const [version, baseUrl, managementKey, readingKey] = process.argv.slice(2);
const sdk = await import(`workos-node-${version}`);
const { hostname, port, protocol } = new URL(baseUrl);
const where = { apiHostname: hostname, port: Number(port), https: protocol === "https:" };
const connect = (key) => new sdk.WorkOS(key, where);
const workos = connect(managementKey);

// What the two versions call differently.
const isOld = version === "8";
const ofOrganizations = isOld ? workos.organizations : workos.apiKeys;
const keys = {
  create: (options, request) => ofOrganizations.createOrganizationApiKey(options, request),
  list: (options) => ofOrganizations.listOrganizationApiKeys(options),
  validate: (value, client = workos) => client.apiKeys[isOld ? "validateApiKey" : "createValidation"]({ value }),
  delete: (id) => workos.apiKeys.deleteApiKey(id),
  // Neither has a method for it.
  expire: async (id, body) => (await workos.post(`/api_keys/${id}/expire`, body)).data,
};

const MOMENT = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;
const ids = (list) => list.map(({ id }) => id);
const idsOf = async (list) => ids((await list).data);
const newOrganization = (name, more) => workos.organizations.createOrganization({ name, ...more });

async function fails(kind, call, more = {}) {
  await assert.rejects(call, (error) => {
    assert.equal(error.constructor.name, kind, error.message);
    // Version 8 never finds the header.
    if (!isOld) assert.ok(error.requestID, "which request it was");
    for (const [field, value] of Object.entries(more)) assert.deepEqual(error[field], value, field);
    return true;
  });
}

// The edge may hear of a new key a moment after its creation was answered; of a change of one it has heard.
async function untilValid(value) {
  for (const deadline = Date.now() + 30_000; ; await new Promise((resume) => setTimeout(resume, 50))) {
    const { apiKey } = await keys.validate(value);
    if (apiKey) return apiKey;
    assert.ok(Date.now() < deadline, "a new key is not accepted");
  }
}

async function organizations() {
  const created = await workos.organizations.createOrganization({
    name: "Acme",
    externalId: "acme-1",
    metadata: { tier: "gold" },
    domainData: [{ domain: "acme.com", state: "verified" }],
  });
  assert.equal(created.object, "organization");
  assert.deepEqual([created.name, created.externalId, created.metadata], ["Acme", "acme-1", { tier: "gold" }]);
  assert.deepEqual(created.domains.map(({ domain, state }) => [domain, state]), [["acme.com", "verified"]]);
  assert.match(created.createdAt, MOMENT);
  assert.deepEqual(await workos.organizations.getOrganization(created.id), created);
  assert.deepEqual(await workos.organizations.getOrganizationByExternalId("acme-1"), created);

  const updated = await workos.organizations.updateOrganization({ organization: created.id, name: "Acme, Inc." });
  assert.deepEqual([updated.name, updated.externalId], ["Acme, Inc.", "acme-1"]);

  await fails("NotFoundException", workos.organizations.getOrganization("org_01KF0JZ4G0000000000000000A"), {
    code: "entity_not_found",
  });
  await fails("UnprocessableEntityException", newOrganization(""));
  // A 400 that names no fields has no class of its own.
  await fails("GenericServerException", newOrganization("Other", { externalId: "acme-1" }), {
    status: 400,
    message: "Another organization has this external_id already.",
  });
  await fails("UnauthorizedException", connect("mk_wrong").organizations.getOrganization(created.id));

  await workos.organizations.deleteOrganization(created.id);
  await fails("NotFoundException", workos.organizations.getOrganization(created.id));
}

async function lists() {
  // More than the 100 that one page of automatic paging holds.
  const made = [];
  for (let ten = 0; ten < 11; ten++) {
    const some = Array.from({ length: 10 }, (_, one) => newOrganization(`No. ${ten}${one}`));
    made.push(...(await Promise.all(some)));
  }
  const newestFirst = ids(made).sort().reverse();

  const everything = await workos.organizations.listOrganizations();
  assert.deepEqual(ids(everything.data), newestFirst.slice(0, 10));
  assert.deepEqual(ids(await everything.autoPagination()), newestFirst);

  const page = (options) => workos.organizations.listOrganizations({ limit: 3, ...options });
  const first = await page({ order: "asc" });
  assert.deepEqual(ids(first.data), newestFirst.slice(-3).reverse());
  assert.deepEqual(first.listMetadata, { before: null, after: first.data[2].id });
  const second = await page({ order: "asc", after: first.listMetadata.after });
  assert.deepEqual(ids(second.data), newestFirst.slice(-6, -3).reverse());
  const back = await page({ order: "asc", before: second.listMetadata.before });
  assert.deepEqual(ids(back.data), ids(first.data));
  // An explicit limit is the one page that was asked for.
  assert.equal((await first.autoPagination()).length, 3);

  const named = await newOrganization("Zenith", { domainData: [{ domain: "zenith.org", state: "pending" }] });
  const domains = ["zenith.org", "zenith.net"];
  assert.deepEqual(await idsOf(workos.organizations.listOrganizations({ domains })), [named.id]);
  if (!isOld) assert.deepEqual(await idsOf(workos.organizations.listOrganizations({ search: "zEnI" })), [named.id]);
  await fails("UnprocessableEntityException", page({ limit: 101 }));
}

async function permissions() {
  const { authorization } = workos;
  const created = await authorization.createPermission({ slug: "posts:read", name: "Read posts", description: "All" });
  assert.deepEqual([created.slug, created.description, created.system], ["posts:read", "All", false]);
  await authorization.createPermission({ slug: "posts:write", name: "Write posts" });
  assert.deepEqual(await authorization.getPermission("posts:read"), created);
  const list = await authorization.listPermissions({ order: "asc" });
  assert.deepEqual(list.data.map(({ slug }) => slug), ["posts:read", "posts:write"]);

  const updated = await authorization.updatePermission("posts:write", { name: "Write and edit posts" });
  assert.equal(updated.name, "Write and edit posts");

  const repeated = authorization.createPermission({ slug: "posts:read", name: "Again" });
  await fails("ConflictException", repeated);
  await fails("UnprocessableEntityException", authorization.createPermission({ slug: "Posts!", name: "No slug" }));
  await fails("NotFoundException", authorization.getPermission("posts:none"));

  await authorization.createPermission({ slug: "short:lived", name: "Short-lived" });
  await authorization.deletePermission("short:lived");
  await fails("NotFoundException", authorization.deletePermission("short:lived"));
}

async function organizationKeys() {
  const organization = await newOrganization("Has keys");
  const of = { organizationId: organization.id };
  const both = ["posts:read", "posts:write"];
  const { value, ...created } = await keys.create({ ...of, name: "Production", permissions: both });
  assert.deepEqual(created.owner, { type: "organization", id: organization.id });
  assert.deepEqual([created.name, created.permissions, created.lastUsedAt], ["Production", both, null]);
  assert.ok(created.obfuscatedValue.endsWith(value.slice(-4)));

  const valid = await untilValid(value);
  assert.deepEqual([valid.id, valid.permissions, valid.owner], [created.id, created.permissions, created.owner]);
  assert.deepEqual(await keys.validate("garbage"), { apiKey: null });
  await fails("UnauthorizedException", keys.validate(value, connect("mk_wrong")));
  await fails("UnprocessableEntityException", keys.validate(undefined));

  for (let n = 0; n < 4; n++) await keys.create({ ...of, name: `No. ${n}` });
  const list = await keys.list(of);
  assert.equal(list.data.length, 5);
  assert.equal((await list.autoPagination()).length, 5);
  const page = await keys.list({ ...of, limit: 2, order: "asc" });
  assert.equal(page.data[0].id, created.id);
  assert.equal((await keys.list({ ...of, limit: 2, order: "asc", after: page.listMetadata.after })).data.length, 2);
  await fails("NotFoundException", keys.list({ organizationId: "org_01KF0JZ4G0000000000000000A" }));
  await fails("NotFoundException", keys.create({ organizationId: "org_01KF0JZ4G0000000000000000A", name: "Nobody's" }));
  await fails("UnprocessableEntityException", keys.create({ ...of, name: "Unknown", permissions: ["posts:none"] }));

  const expiring = await keys.expire(created.id, { expires_at: "2130-01-01T00:00:00.000Z" });
  assert.equal(expiring.expires_at, "2130-01-01T00:00:00.000Z");
  assert.equal((await keys.expire(created.id, { expires_at: null })).expires_at, null);
  assert.ok((await keys.validate(value)).apiKey);
  await keys.expire(created.id, {});
  assert.equal((await keys.validate(value)).apiKey, null, "refused at the next call");
  await fails("ConflictException", keys.expire(created.id, {}));

  const lost = await keys.create({ ...of, name: "Lost" });
  await untilValid(lost.value);
  await keys.delete(lost.id);
  assert.equal((await keys.validate(lost.value)).apiKey, null, "refused at the next call");
  await fails("NotFoundException", keys.delete(lost.id));
}

async function idempotency() {
  const { id: organizationId } = await newOrganization("Creates once");
  const create = (name, idempotencyKey) => keys.create({ organizationId, name }, { idempotencyKey });
  const first = await create("Production", "first");
  assert.deepEqual(await create("Production", "first"), first, "the same key, its text included");
  assert.notEqual((await create("Production", "second")).id, first.id);
  await fails("UnprocessableEntityException", create("Another name", "first"), { code: "idempotency_key_reused" });
  assert.equal((await keys.list({ organizationId })).data.length, 2);
}

async function roles() {
  const { authorization } = workos;
  const created = await authorization.createEnvironmentRole({ slug: "editor", name: "Editor", description: "Edits" });
  assert.deepEqual([created.slug, created.type, created.permissions], ["editor", "EnvironmentRole", []]);
  assert.deepEqual(await authorization.getEnvironmentRole("editor"), created);
  assert.ok((await authorization.listEnvironmentRoles()).data.some(({ id }) => id === created.id));
  const renamedRole = await authorization.updateEnvironmentRole("editor", { name: "Editor in chief" });
  assert.equal(renamedRole.name, "Editor in chief");
  const set = await authorization.setEnvironmentRolePermissions("editor", { permissions: ["posts:read"] });
  assert.deepEqual(set.permissions, ["posts:read"]);
  const added = await authorization.addEnvironmentRolePermission("editor", { permissionSlug: "posts:write" });
  assert.deepEqual(added.permissions.sort(), ["posts:read", "posts:write"]);
  await fails("ConflictException", authorization.createEnvironmentRole({ slug: "editor", name: "Again" }));
  await fails("NotFoundException", authorization.getEnvironmentRole("nobody"));
  await fails("UnprocessableEntityException", authorization.createEnvironmentRole({ slug: "Bad slug!", name: "Bad" }));

  const { id } = await newOrganization("Has roles");
  const own = await authorization.createOrganizationRole(id, { slug: "org-billing", name: "Billing" });
  assert.deepEqual([own.slug, own.type, own.permissions], ["org-billing", "OrganizationRole", []]);
  assert.equal((await authorization.getOrganizationRole(id, "org-billing")).id, own.id);
  const slugs = (await authorization.listOrganizationRoles(id)).data.map(({ slug }) => slug);
  assert.ok(slugs.includes("editor") && slugs.includes("org-billing"), "those of the environment too");
  const renamed = await authorization.updateOrganizationRole(id, "org-billing", { name: "Billing and tax" });
  assert.equal(renamed.name, "Billing and tax");
  await authorization.setOrganizationRolePermissions(id, "org-billing", { permissions: ["posts:read"] });
  await authorization.addOrganizationRolePermission(id, "org-billing", { permissionSlug: "posts:write" });
  await authorization.removeOrganizationRolePermission(id, "org-billing", { permissionSlug: "posts:read" });
  assert.deepEqual((await authorization.getOrganizationRole(id, "org-billing")).permissions, ["posts:write"]);
  await fails("ConflictException", authorization.createOrganizationRole(id, { slug: "org-billing", name: "Again" }));
  await authorization.deleteOrganizationRole(id, "org-billing");
  await fails("NotFoundException", authorization.deleteOrganizationRole(id, "org-billing"));
}

async function users() {
  const { userManagement } = workos;
  const email = "marcelina@example.com";
  const created = await userManagement.createUser({
    email,
    firstName: "Marcelina",
    externalId: "u-1",
    metadata: { team: "blue" },
  });
  assert.deepEqual([created.email, created.firstName, created.lastName], [email, "Marcelina", null]);
  assert.deepEqual([created.externalId, created.metadata, created.emailVerified], ["u-1", { team: "blue" }, false]);
  assert.deepEqual(await userManagement.getUser(created.id), created);
  assert.deepEqual(await userManagement.getUserByExternalId("u-1"), created);
  const updated = await userManagement.updateUser({ userId: created.id, lastName: "Davis" });
  assert.deepEqual([updated.firstName, updated.lastName], ["Marcelina", "Davis"]);

  const other = await userManagement.createUser({ email: "other@example.com" });
  assert.deepEqual(await idsOf(userManagement.listUsers({ email })), [created.id]);
  const everybody = await userManagement.listUsers({ order: "asc" });
  assert.deepEqual(ids(await everybody.autoPagination()), [created.id, other.id]);
  await fails("BadRequestException", userManagement.createUser({ email }), { code: "user_creation_error" });
  await fails("UnprocessableEntityException", userManagement.createUser({ email: "no address" }));
  await userManagement.deleteUser(other.id);
  await fails("NotFoundException", userManagement.getUser(other.id));
}

async function memberships() {
  const { userManagement } = workos;
  const { id: organizationId } = await newOrganization("Has members");
  const { id: userId } = await userManagement.getUserByExternalId("u-1");
  const created = await userManagement.createOrganizationMembership({ organizationId, userId, roleSlug: "editor" });
  assert.deepEqual([created.userId, created.organizationId], [userId, organizationId]);
  assert.deepEqual([created.status, created.role.slug], ["active", "editor"]);
  assert.equal((await userManagement.getOrganizationMembership(created.id)).organizationName, "Has members");
  assert.deepEqual(await idsOf(userManagement.listOrganizationMemberships({ organizationId })), [created.id]);
  const active = userManagement.listOrganizationMemberships({ userId, statuses: ["active"] });
  assert.deepEqual(await idsOf(active), [created.id]);
  assert.deepEqual(await idsOf(userManagement.listUsers({ organizationId })), [userId]);

  const inactive = await userManagement.deactivateOrganizationMembership(created.id);
  assert.equal(inactive.status, "inactive");
  assert.equal((await userManagement.reactivateOrganizationMembership(created.id)).status, "active");
  const { id } = await userManagement.createOrganizationMembership({
    organizationId: (await newOrganization("Another")).id,
    userId,
  });
  assert.equal((await userManagement.updateOrganizationMembership(id, { roleSlug: "editor" })).role.slug, "editor");
  await userManagement.deleteOrganizationMembership(id);
  await fails("NotFoundException", userManagement.getOrganizationMembership(id));
}

async function userKeys() {
  const { userManagement } = workos;
  const { id: userId } = await userManagement.getUserByExternalId("u-1");
  const [membership] = (await userManagement.listOrganizationMemberships({ userId })).data;
  const { organizationId } = membership;
  const { value, ...created } = await userManagement.createUserApiKey(userId, {
    organizationId,
    name: "Marcelina's",
    permissions: ["posts:read", "posts:write"],
    expiresAt: new Date("2130-01-01T00:00:00Z"),
  });
  assert.deepEqual(created.owner, { type: "user", id: userId, organizationId });
  assert.deepEqual(created.permissions.sort(), ["posts:read", "posts:write"]);
  assert.equal((await untilValid(value)).owner.id, userId);
  assert.deepEqual(await idsOf(userManagement.listUserApiKeys(userId)), [created.id]);
  const there = await userManagement.listUserApiKeys(userId, { organizationId });
  assert.deepEqual(ids(await there.autoPagination()), [created.id]);
  const elsewhere = { organizationId: (await newOrganization("No member")).id, name: "No" };
  await assert.rejects(userManagement.createUserApiKey(userId, elsewhere), "without a membership there is no key");

  // A key is worth no more than the role of its user, and nothing without the membership.
  await workos.authorization.setEnvironmentRolePermissions("editor", { permissions: ["posts:read"] });
  assert.deepEqual((await keys.validate(value)).apiKey.permissions, ["posts:read"], "at the next call");
  await userManagement.deactivateOrganizationMembership(membership.id);
  assert.equal((await keys.validate(value)).apiKey, null, "refused at the next call");
}

async function events() {
  const { id: organizationId } = await newOrganization("Has events");
  const { id: keyId } = await keys.create({ organizationId, name: "Has events" });
  await keys.delete(keyId);
  const names = ["api_key.created", "api_key.revoked"];
  for (const object of ["organization", "organization_membership", "organization_role", "permission", "user"]) {
    names.push(...["created", "updated", "deleted"].map((change) => `${object}.${change}`));
  }
  names.push("role.created", "role.updated");
  // Version 8 decodes no events that were defined later.
  if (!isOld) names.push("api_key.updated");
  const log = [];
  for (let after; ; ) {
    const page = await workos.events.listEvents({ events: names, limit: 7, after });
    log.push(...page.data);
    after = page.listMetadata.after;
    if (!after) break;
  }
  const oldestFirst = ids(log).sort();
  assert.deepEqual(ids(log), oldestFirst, "each event once, oldest first");
  const seen = new Set(log.map(({ event }) => event));
  assert.deepEqual(names.filter((name) => !seen.has(name)), [], "an event of each type");
  for (const { id, event, data, createdAt } of log) {
    assert.match(id, /^event_/);
    assert.match(createdAt, MOMENT);
    assert.equal(data.object, event.split(".")[0]);
  }
  const newest = await workos.events.listEvents({ events: names, limit: 2, order: "desc" });
  assert.deepEqual(ids(newest.data), oldestFirst.slice(-2).reverse());
  const ofOrganization = await workos.events.listEvents({ events: names, organizationId });
  assert.deepEqual(
    ofOrganization.data.map(({ event, data }) => [event, data.id]),
    [["organization.created", organizationId], ["api_key.created", keyId], ["api_key.revoked", keyId]],
  );
}

async function webhookEndpoints() {
  const { webhooks } = workos;
  const endpointUrl = "https://example.com/hooks";
  const created = await webhooks.createWebhookEndpoint({ endpointUrl, events: ["api_key.created"] });
  assert.deepEqual([created.endpointUrl, created.status, created.events], [endpointUrl, "enabled", ["api_key.created"]]);
  assert.match(created.secret, /^whsec_/);
  assert.deepEqual(await idsOf(webhooks.listWebhookEndpoints()), [created.id]);
  const updated = await webhooks.updateWebhookEndpoint({ id: created.id, status: "disabled" });
  assert.equal(updated.status, "disabled");
  await fails("ConflictException", webhooks.createWebhookEndpoint({ endpointUrl, events: ["api_key.created"] }));
  await fails(
    "UnprocessableEntityException",
    webhooks.createWebhookEndpoint({ endpointUrl: "https://127.0.0.1", events: ["api_key.created"] }),
  );
  await webhooks.deleteWebhookEndpoint({ id: created.id });
  await fails("NotFoundException", webhooks.deleteWebhookEndpoint({ id: created.id }));
}

async function refusals() {
  // Neither has a class for it.
  const forbidden = connect(readingKey).organizations.createOrganization({ name: "Acme" });
  await fails("GenericServerException", forbidden, { status: 403 });
  const many = Promise.all(Array.from({ length: 60 }, () => workos.organizations.listOrganizations()));
  await fails("RateLimitExceededException", many, { status: 429, retryAfter: 1 });
}

const everything = [lists, organizations, permissions, organizationKeys, idempotency, roles, users, memberships];
// Version 8 knows no keys of users, and only the deliveries of webhooks.
if (!isOld) everything.push(userKeys, webhookEndpoints);
const parts = readingKey ? [refusals] : [...everything, events];
for (const part of parts) {
  await part();
  console.log(`${part.name}: as expected`);
}

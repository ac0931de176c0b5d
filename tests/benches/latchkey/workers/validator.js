// What a good author would write by hand in JavaScript in place of our Worker: the same job, the same bytes.
//
// It does what ours does for `POST /api_keys/validations`: it knows its caller by a management key, keeps decoded records
// in a bounded map, decides only under a lease on a change feed which it polls in the background, checks the seals of
// records that come from KV, and counts the outcomes of every key. It leaves out what a benchmark does not ask for
// (`ip`, `permissions`, scopes that were narrowed, questions to the feed about single keys), all of which ours has to look
// at, so it is a little faster than a whole one would be.

const PATH = "/api_keys/validations";
const LEASE = 2_000;
const MARGIN = 100;
const RECORD_AGE = 7 * 24 * 3_600_000;
const RECORDS = 10_000;
const BODY_LIMIT = 16 * 1024;
const ATTEMPTS = 3;
const USAGE_INTERVAL = 5_000;
const REFUSALS = {
  malformed: "This is not an API key. Check that it was copied completely and without typos.",
  not_found: "This API key does not exist.",
  revoked: "This API key was revoked.",
  disabled: "This API key is disabled.",
  not_yet_valid: "This API key is not valid yet.",
  expired: "This API key has expired.",
};
const REFUSED = Object.fromEntries(
  Object.entries(REFUSALS).map(([code, message]) => [code, JSON.stringify({ api_key: null, code, message })]),
);

/** Decoded records by the name under which KV has them; the first is the one that was not used for longest. */
const records = new Map();
/** The least version of a record that is believed, by the same names. */
const floors = new Map();
/** How often each key came to what, by the same names, since the counts were last sent. */
let usage = new Map();
let usageSentAt = 0;

// --- The shape of a key: <prefix>_<32 characters><6 characters of CRC-32> ---

const ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const SHAPE = /^([a-z][a-z0-9_]{0,22}[a-z0-9])_[0-9A-Za-z]{38}$/;
const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1;
  return crc;
});

/** The prefix of a key whose checksum is right. */
function prefixOf(text) {
  const match = SHAPE.exec(text);
  if (match === null) return null;
  const covered = text.length - 6;
  let crc = 0xffffffff;
  for (let at = 0; at < covered; at++) crc = CRC_TABLE[(crc ^ text.charCodeAt(at)) & 255] ^ (crc >>> 8);
  let rest = ~crc >>> 0;
  for (let at = text.length - 1; at >= covered; at--) {
    if (text[at] !== ALPHABET[rest % 62]) return null;
    rest = Math.floor(rest / 62);
  }
  return match[1];
}

const encoder = new TextEncoder();

async function digest(text) {
  const bytes = new Uint8Array(await crypto.subtle.digest("SHA-256", encoder.encode(text)));
  return bytes.toBase64({ alphabet: "base64url", omitPadding: true });
}

// --- Freshness: a lease on the change feed ---

let leaseStart = -Infinity;
let cursor = 0;
let polling = null;

function poll(env) {
  polling ??= (async () => {
    const sent = Date.now();
    try {
      const response = await env.FEED.fetch(`http://feed/page?after=${cursor}`);
      const page = await response.json();
      for (const { name, version } of page.entries) {
        floors.set(name, version);
        if ((records.get(name)?.version ?? Infinity) < version) records.delete(name);
      }
      cursor = page.cursor;
      if (page.complete) leaseStart = sent;
    } finally {
      polling = null;
    }
  })();
  return polling;
}

// --- Records ---

let seal = null;

/** What the configured secret is for: the id that sealed records name, and the key of their MACs. */
async function sealOf(secret) {
  const material = await crypto.subtle.importKey("raw", encoder.encode(secret), "HKDF", false, ["deriveBits"]);
  const derive = (label, bytes) =>
    crypto.subtle.deriveBits(
      { name: "HKDF", hash: "SHA-256", salt: new Uint8Array(), info: encoder.encode(label) },
      material,
      bytes * 8,
    );
  const id = new Uint8Array(await derive("latchkey v1 secret id", 6));
  const mac = await derive("latchkey v1 record mac", 32);
  return {
    id: id.toBase64({ alphabet: "base64url", omitPadding: true }),
    key: await crypto.subtle.importKey("raw", mac, { name: "HMAC", hash: "SHA-256" }, false, ["verify"]),
  };
}

/** The record in a sealed text, if we sealed it for this name. */
async function open(env, name, sealed) {
  seal ??= await sealOf(env.SECRET);
  const [codec, id, mac] = sealed.split(".", 3);
  if (codec !== "v1" || id !== seal.id) return null;
  const json = sealed.slice(codec.length + id.length + mac.length + 3);
  const bytes = Uint8Array.fromBase64(mac, { alphabet: "base64url" });
  const good = await crypto.subtle.verify("HMAC", seal.key, bytes, encoder.encode(`${name}\0${json}`));
  return good ? decoded(JSON.parse(json)) : null;
}

/** A record, with the text of its answer made once. */
function decoded(record) {
  const key = record.grant.api_key;
  const time = (millis) => (millis === undefined ? null : new Date(millis).toISOString());
  if (key !== undefined) {
    record.answer = JSON.stringify({
      api_key: {
        object: "api_key",
        id: key.id,
        owner: key.owner,
        name: record.name,
        obfuscated_value: record.obfuscated_value,
        last_used_at: time(key.last_used_at),
        expires_at: time(record.expires_at),
        permissions: key.permissions ?? [],
        created_at: time(record.created_at),
        updated_at: time(record.updated_at),
      },
    });
  }
  return record;
}

async function find(env, name) {
  const known = records.get(name);
  if (known !== undefined && Date.now() - known.sealed_at < RECORD_AGE) {
    records.delete(name);
    records.set(name, known);
    return known;
  }
  const sealed = await env.KEYS.get(name, { cacheTtl: 600 });
  const record = sealed === null ? null : await open(env, name, sealed);
  if (record === null || record.version < (floors.get(name) ?? -Infinity)) return null;
  records.set(name, record);
  if (records.size > RECORDS) records.delete(records.keys().next().value);
  return record;
}

function decide(record, environment, now) {
  if (record === null || record.environment !== environment) return "not_found";
  if (record.revoked !== undefined) return "revoked";
  if (record.disabled) return "disabled";
  if (record.not_before !== undefined && now < record.not_before) return "not_yet_valid";
  if (record.expires_at !== undefined && now >= record.expires_at) return "expired";
  return "valid";
}

// --- Counting ---

function count(env, context, name, outcome, now) {
  let counts = usage.get(name);
  if (counts === undefined) {
    counts = { last: 0, outcomes: {} };
    usage.set(name, counts);
  }
  counts.outcomes[outcome] = (counts.outcomes[outcome] ?? 0) + 1;
  if (outcome === "valid") counts.last = now;
  if (now - usageSentAt >= USAGE_INTERVAL) {
    usageSentAt = now;
    const batch = JSON.stringify([...usage]);
    usage = new Map();
    context.waitUntil(env.CONTROL_PLANE.fetch("http://control-plane/usage", { method: "POST", body: batch }));
  }
}

// --- The route ---

function error(status, code, message) {
  return Response.json({ message, code }, { status, headers: { "cache-control": "no-store" } });
}

const unauthorized = () => error(401, "unauthorized", "A management key is needed.");

/** Cheaper than to parse the URL. */
const isOfValidations = (url) => url.indexOf("/", "https://".length) === url.length - PATH.length && url.endsWith(PATH);

export default {
  async fetch(request, env, context) {
    if (request.method !== "POST" || !isOfValidations(request.url)) {
      return error(404, "not_found", "There is nothing here.");
    }
    const authorization = request.headers.get("authorization") ?? "";
    const token = authorization.startsWith("Bearer ") ? authorization.slice(7) : "";
    if (prefixOf(token) !== "mk") return unauthorized();
    if (Number(request.headers.get("content-length")) > BODY_LIMIT) return error(413, "too_large", "That is too long.");

    const text = await request.text();
    let value;
    try {
      ({ value } = JSON.parse(text));
    } catch {
      return error(400, "invalid_json", "The body is not JSON.");
    }
    if (typeof value !== "string") return error(422, "invalid", "`value` must be a string.");

    const prefix = prefixOf(value);
    const [callerDigest, keyDigest] = await Promise.all([digest(token), prefix === null ? "" : digest(value)]);
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      if (Date.now() - leaseStart > LEASE - MARGIN) await poll(env);
      const caller = await find(env, `m1:${callerDigest}`);
      const grant = caller?.grant.management_key;
      if (grant === undefined || decide(caller, caller.environment, Date.now()) !== "valid") return unauthorized();
      if (!grant.scopes.includes("*") && !grant.scopes.includes("api_keys:validate")) {
        return error(403, "forbidden", "This management key may not do that.");
      }

      let outcome = "malformed";
      let record = null;
      let name = caller.environment;
      if (prefix !== null && grant.prefixes.includes(prefix)) {
        name = `k1:${caller.environment}:${keyDigest}`;
        record = await find(env, name);
        outcome = decide(record, caller.environment, Date.now());
      }
      const now = Date.now();
      const age = now - leaseStart;
      // The look-up may have taken longer than the lease lasted.
      if (age > LEASE - MARGIN) continue;
      if (age >= LEASE / 2 && polling === null) context.waitUntil(poll(env));
      count(env, context, name, outcome, now);
      const body = outcome === "valid" ? record.answer : REFUSED[outcome];
      return new Response(body, {
        headers: { "content-type": "application/json", "cache-control": "no-store", "latchkey-age-ms": String(age) },
      });
    }
    return error(503, "freshness_unknown", "Try again in a second.");
  },
};

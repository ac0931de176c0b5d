// Hands deliveries to the published verifiers for Node, and prints what each finds. `cargo xtask test` runs it:
//
//     node tests/tests/webhooks/verify.mjs deliveries.json

import { readFileSync } from "node:fs";
import standardwebhooks from "standardwebhooks";
import { WorkOS as WorkOS11 } from "workos-node-11";
import { WorkOS as WorkOS8 } from "workos-node-8";

const [file] = process.argv.slice(2);
const webhooks8 = new WorkOS8("unused").webhooks;
const webhooks11 = new WorkOS11("unused").webhooks;

const verifiers = {
  "node-11": ({ body, workos_signature: sigHeader, secret }) =>
    webhooks11.constructEvent({ payload: Buffer.from(body), sigHeader, secret }),
  // It accepts only the parsed body.
  "node-8": ({ body, workos_signature: sigHeader, secret }) =>
    webhooks8.constructEvent({ payload: JSON.parse(body), sigHeader, secret }),
  "standardwebhooks-node": ({ id, timestamp, signature, body, secret }) => {
    const headers = { "webhook-id": id, "webhook-timestamp": timestamp, "webhook-signature": signature };
    return new standardwebhooks.Webhook(secret).verify(Buffer.from(body), headers);
  },
};

async function verdict(delivery) {
  const { body } = delivery;
  const found = { accepted_by: [], decoded: {}, is_canonical: JSON.stringify(JSON.parse(body)) === body };
  for (const [name, verify] of Object.entries(verifiers)) {
    try {
      const event = await verify(delivery);
      found.accepted_by.push(name);
      found.decoded[name] = event?.id ?? null;
    } catch (error) {
      // Anything else is a mistake of this program or of the library.
      if (!/Signature|WebhookVerificationError/.test(error.constructor.name)) throw error;
    }
  }
  return found;
}

const verdicts = [];
for (const delivery of JSON.parse(readFileSync(file, "utf8"))) verdicts.push(await verdict(delivery));
console.log(JSON.stringify(verdicts));

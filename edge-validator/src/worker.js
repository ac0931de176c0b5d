// What Cloudflare runs. Validations come by the thousand, so they take a short way: all that deciding needs is read here and
// handed over in one call. Every other request goes to the Worker in Rust as it is.

import Latchkey, { ChangeFeed } from "../build/index.js";
import { answered, called, given, made } from "./request_id.js";

export { ChangeFeed };

// Exported by `hot.rs`.
const { validateNow, validateLater } = Latchkey.prototype;
// Says whether the Wasm instance must be started anew, as `worker-build` does after a panic.
const instance = globalThis.__worker_init_state;

const VALIDATIONS = "/api_keys/validations";
// The longest body of a validation: `BODY_LIMIT` of `shared::validation`.
const BODY_LIMIT = 16 * 1024;
// How many bodies may be waited for without a timer. Each costs its sender a connection, and this isolate next to nothing.
const READS_MAX = 100;

let reads = 0;

export default {
  fetch(request, env, context) {
    if (request.method === "POST" && isOfValidations(request.url) && reads < READS_MAX && !instance.criticalError) {
      // Without a length there is no saying how much would be read; then it is counted while it comes, in Rust.
      const length = Number(request.headers.get("content-length") ?? NaN);
      if (length <= BODY_LIMIT) return validate(request, length, env, context);
    }
    return pass(request, env, context);
  },
};

async function pass(request, env, context) {
  const name = given(request) ?? made();
  return answered(await new Latchkey(context, env).fetch(called(request, name)), name);
}

function isOfValidations(url) {
  return url.endsWith(VALIDATIONS) && url.indexOf("/", "https://".length) === url.length - VALIDATIONS.length;
}

async function validate(request, length, env, context) {
  const authorization = request.headers.get("authorization") ?? undefined;
  const name = given(request);
  let body;
  reads += 1;
  try {
    body = await request.text();
  } finally {
    reads -= 1;
  }
  try {
    const response =
      validateNow(authorization, body, length, context) ??
      (await validateLater(authorization, body, length, env, context));
    // Nobody asks for the name of a decision, and each has only what it needs.
    return name === undefined && response.ok ? response : answered(response, name ?? made());
  } catch (error) {
    if (error instanceof WebAssembly.RuntimeError) instance.criticalError = true;
    throw error;
  }
}

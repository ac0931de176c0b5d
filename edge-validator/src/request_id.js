// `X-Request-ID`: what a request is called in its answer and in the logs of the control plane, whose `request_id.rs` has the
// same rules.

const HEADER = "x-request-id";
const NAME = /^[!-~]{1,128}$/;
// What looks like a key: `is_within` of `shared::key`.
const KEY = /[a-z0-9]_[0-9A-Za-z]{38}(?![0-9A-Za-z])|(?=[0-9A-Z]*[a-z])(?=[0-9a-z]*[A-Z])[0-9A-Za-z]{30}/;
const DIGITS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

// What the client calls its request, if that is a name and no key that was sent by mistake.
export function given(request) {
  const name = request.headers.get(HEADER);
  return name !== null && NAME.test(name) && !KEY.test(name) ? name : undefined;
}

// A name for a request without one: a ULID, which begins with the time.
export function made() {
  let digits = "";
  for (let time = Date.now(); digits.length < 10; time = Math.floor(time / 32)) digits = DIGITS[time % 32] + digits;
  for (const byte of crypto.getRandomValues(new Uint8Array(16))) digits += DIGITS[byte % 32];
  return `req_${digits}`;
}

// The request under this name.
export function called(request, name) {
  const renamed = new Request(request);
  renamed.headers.set(HEADER, name);
  return renamed;
}

// The answer under this name, unless the control plane has named it.
export function answered(response, name) {
  if (response.headers.has(HEADER)) return response;
  // What came from elsewhere cannot be changed.
  const copy = new Response(response.body, response);
  copy.headers.set(HEADER, name);
  return copy;
}

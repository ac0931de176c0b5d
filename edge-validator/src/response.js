// The answer to a validation. Making its headers takes longer than deciding does, and copying them does not; they
// differ in the age alone, which many requests of a busy isolate have in common.

let age;
let init;

export function validation(body, itsAge) {
  if (itsAge !== age) {
    age = itsAge;
    const headers = { "content-type": "application/json", "cache-control": "no-store", "latchkey-age-ms": `${age}` };
    init = { headers: new Headers(headers) };
  }
  return new Response(body, init);
}

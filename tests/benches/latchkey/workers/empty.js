// The least that a Worker can do with a validation: read its body, and answer as many bytes. All that can be made
// beforehand is.
const INIT = { headers: new Headers({ "content-type": "application/json", "cache-control": "no-store" }) };

export default {
  async fetch(request, env) {
    await request.text();
    return new Response(env.ANSWER, INIT);
  },
};

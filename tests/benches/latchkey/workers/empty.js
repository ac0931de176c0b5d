// The least that a Worker can do with a validation: read its body, and answer as many bytes. Nothing can be faster.
export default {
  async fetch(request, env) {
    await request.text();
    return new Response(env.ANSWER, { headers: { "content-type": "application/json", "cache-control": "no-store" } });
  },
};

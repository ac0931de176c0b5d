// One read of KV, with a timer of its own. From Rust each of its steps would be a call.

export async function read(namespace, name, cacheTtl, patience) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(reject, patience, `no response within ${patience} ms`);
  });
  try {
    return await Promise.race([namespace.get(name, { cacheTtl }), late]);
  } catch (cause) {
    throw String(cause);
  } finally {
    clearTimeout(timer);
  }
}

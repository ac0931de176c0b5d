//! The one place of the Worker that draws random numbers.

use worker::{
    js_sys::Uint8Array,
    wasm_bindgen::{self, prelude::*},
};

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_namespace = crypto, js_name = getRandomValues, catch)]
    fn fill(bytes: &Uint8Array) -> Result<Uint8Array, JsValue>;
}

/// So many random bytes. The runtime gives none while the Worker is being loaded.
pub fn bytes<const N: usize>() -> Result<[u8; N], worker::Error> {
    let random = Uint8Array::new_with_length(u32::try_from(N).unwrap_or_default());
    fill(&random)?;
    let mut bytes = [0; N];
    random.copy_to(&mut bytes);
    Ok(bytes)
}

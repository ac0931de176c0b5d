//! Keeps in the stripped Wasm the one section that its next reader needs.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // From it wasm-bindgen learns that it may hand JavaScript values over as they are, and not by number through a table.
    if std::env::var("CARGO_CFG_TARGET_FAMILY").is_ok_and(|family| family == "wasm") {
        println!("cargo::rustc-link-arg-cdylib=--keep-section=target_features");
    }
}

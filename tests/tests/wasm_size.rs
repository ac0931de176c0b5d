//! The Worker as it would be deployed: small, and complete.

#![expect(clippy::expect_used, clippy::panic, reason = "a test that cannot go on must stop")]

use std::{
    fs,
    io::{Read, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use flate2::{Compression, read::GzEncoder};
use tests::{edge::wrangler, parts, process::Process};

/// A cold machine downloads and compiles it before it answers. It was 210,000 until records knew memberships and roles, and answers
/// showed addresses and metadata.
const LARGEST: usize = 220_000;

/// The size of a file, and what is left of it gzipped.
fn sizes(file: &Path) -> (usize, usize) {
    let bytes = fs::read(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let mut gzipped = vec![];
    GzEncoder::new(bytes.as_slice(), Compression::best()).read_to_end(&mut gzipped).expect("memory can be read");
    (bytes.len(), gzipped.len())
}

fn assert_small(file: &Path) {
    let (raw, gzipped) = sizes(file);
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    // Seen also when the test succeeds, which `println!` is not.
    let _ =
        writeln!(std::io::stderr(), "{name}: {raw} bytes of Wasm, {gzipped} gzipped; at most {LARGEST} are allowed");
    assert!(gzipped <= LARGEST, "{gzipped} bytes");
}

#[test]
fn the_worker_is_small() {
    if parts::node_programs().is_some() {
        assert_small(&parts::workspace().join("edge-validator/build/index_bg.wasm"));
    }
}

#[test]
fn what_wrangler_would_deploy_is_the_worker() {
    let Some(programs) = parts::node_programs() else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut command = wrangler(&programs);
    command.current_dir(parts::workspace()).args(["deploy", "--dry-run", "--outdir"]).arg(folder.path());
    command.env("WRANGLER_LOG_PATH", folder.path().join("logs"));
    let mut process = Process::start("wrangler deploy --dry-run", &mut command);
    let status = process.wait(Duration::from_secs(180));
    assert!(status.success(), "{status}");
    for binding in ["env.KEYS", "env.CONTROL_PLANE_URL"] {
        assert!(process.stdout().contains(binding), "no {binding}");
    }
    assert!(folder.path().join("worker.js").is_file());
    let modules: Vec<PathBuf> = fs::read_dir(folder.path())
        .expect("the folder is there")
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "wasm"))
        .collect();
    let [wasm] = &modules[..] else { panic!("one Wasm module is deployed, not {modules:?}") };
    assert_small(wasm);
}

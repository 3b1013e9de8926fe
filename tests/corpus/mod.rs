//! Where the test data stands that is not part of the tree.

use std::path::PathBuf;

/// The folder of RFC 4475's messages. `None`, with a line that says so, where `TRUNKLINE_CORPUS` names
/// none; under `CI=true` that is a failure.
pub(crate) fn rfc4475() -> Option<PathBuf> {
    let root = std::env::var_os("TRUNKLINE_CORPUS").map(PathBuf::from);
    let folder = root
        .map(|root| root.join("rfc4475"))
        .filter(|folder| folder.is_dir());
    if folder.is_none() {
        let told = "TRUNKLINE_CORPUS names no folder that holds rfc4475/*.dat";
        assert!(
            std::env::var_os("CI").is_none_or(|ci| ci != "true"),
            "{told}"
        );
        eprintln!("skipped: {told}");
    }
    folder
}

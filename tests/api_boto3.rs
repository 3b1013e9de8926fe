//! The API through boto3, with both clients that have its operations.
//!
//! `TRUNKLINE_PYTHON_CURRENT` names a Python with the newest boto3, `TRUNKLINE_PYTHON_LEGACY` one with
//! boto3 1.34, whose `chime` client still has the voice operations; `tests/run` makes both.

#![allow(
    clippy::unwrap_used,
    reason = "a test whose server does not start has failed"
)]
#![allow(
    clippy::print_stdout,
    reason = "a test that was left out says so, and which boto3 ran"
)]

#[path = "api/node.rs"]
mod node;

use std::path::Path;
use std::process::Command;

use node::{FIRST_KEY, Node};

#[test]
fn the_chime_sdk_voice_client_of_the_current_boto3() {
    run("TRUNKLINE_PYTHON_CURRENT", "chime-sdk-voice");
}

#[test]
fn the_chime_sdk_voice_client_of_boto3_1_34() {
    run("TRUNKLINE_PYTHON_LEGACY", "chime-sdk-voice");
}

#[test]
fn the_chime_client_of_boto3_1_34() {
    run("TRUNKLINE_PYTHON_LEGACY", "chime");
}

fn run(variable: &str, service: &str) {
    let Some(python) = std::env::var_os(variable) else {
        let in_ci = std::env::var_os("CI").is_some_and(|value| value == "true");
        assert!(!in_ci, "{variable} is not set, and CI leaves nothing out");
        println!("left out: {variable} names no Python with boto3 (tests/run makes one)");
        return;
    };
    let directory = tempfile::tempdir().unwrap();
    let node = Node::start(directory.path(), jiff::Timestamp::now);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop/boto3/operations.py");
    let output = Command::new(python)
        .arg(script)
        .arg(service)
        .env("AWS_ENDPOINT_URL", format!("http://{}", node.address))
        .env("AWS_ACCESS_KEY_ID", FIRST_KEY.id)
        .env("AWS_SECRET_ACCESS_KEY", FIRST_KEY.secret)
        .env("AWS_DEFAULT_REGION", "us-east-1")
        .env("AWS_CONFIG_FILE", "/dev/null")
        .env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env_remove("AWS_SESSION_TOKEN")
        .env_remove("AWS_PROFILE")
        .env("NO_PROXY", "127.0.0.1")
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}{errors}");
    println!("{told}");
    node.stop();
}

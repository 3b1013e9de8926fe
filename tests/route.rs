//! `trunkline route`, as the program itself answers: from a config file, a file of declared resources and a store.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot ask has failed"
)]

use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;
use trunkline::api::declared;
use trunkline::config::{self, OwnPlaces};
use trunkline::control::publish::Control;
use trunkline::store::Store;

const SEATTLE: &str = "seattle000000000000000";
const BERLIN: &str = "berlin0000000000000000";
const NODE: &str = r#"
[node]
data_dir = "DIR/data"
[sip]
domain = "vc.example"
[[sip.listener]]
transport = "udp"
bind = "127.0.0.1:5060"
[[sip.listener]]
transport = "tcp"
bind = "127.0.0.1:5060"
[termination]
concurrent_calls = 40
[[carrier]]
name = "east"
sources = ["192.0.2.0/28"]
[[carrier.route]]
host = "192.0.2.1"
prefix = "1"
priority = 2
[[carrier.route]]
host = "192.0.2.2"
prefix = "1"
priority = 1
port = 5080
transport = "tcp"
[[carrier]]
name = "help"
sources = ["198.51.100.7/32"]
emergency = true
[[carrier.route]]
host = "198.51.100.7"
prefix = "999"
[declared]
files = ["DIR/trunks.toml"]
"#;
const TRUNKS: &str = r#"
Account = "111122223333"
[[VoiceConnector]]
VoiceConnectorId = "seattle000000000000000"
Name = "Seattle"
RequireEncryption = false
Credentials = [{ Username = "pbx", Password = "change-me" }]
[VoiceConnector.Termination]
CidrAllowedList = ["203.0.113.0/29"]
CallingRegions = ["US"]
CpsLimit = 10
[VoiceConnector.Origination]
Routes = [
  { Host = "203.0.113.1", Port = 5070, Protocol = "UDP", Priority = 2, Weight = 1 },
  { Host = "203.0.113.2", Port = 5071, Protocol = "TCP", Priority = 1, Weight = 1 },
]
[[VoiceConnector]]
VoiceConnectorId = "berlin0000000000000000"
Name = "Berlin"
RequireEncryption = false
[VoiceConnector.Origination]
Routes = [{ Host = "203.0.113.9", Protocol = "UDP", Priority = 1, Weight = 1 }]
[[VoiceConnectorGroup]]
VoiceConnectorGroupId = "6f1d9c52-3f0e-4b57-9a41-0f6f1c1e5a01"
Name = "Both"
VoiceConnectorItems = [
  { VoiceConnectorId = "berlin0000000000000000", Priority = 2 },
  { VoiceConnectorId = "seattle000000000000000", Priority = 1 },
]
[[PhoneNumber]]
E164PhoneNumber = "+12065550100"
VoiceConnectorId = "seattle000000000000000"
[[PhoneNumber]]
E164PhoneNumber = "+12065550101"
VoiceConnectorGroupId = "6f1d9c52-3f0e-4b57-9a41-0f6f1c1e5a01"
"#;

/// A config, what it declares, and a store.
struct Node {
    folder: TempDir,
}

/// What the program said.
struct Answer {
    code: Option<i32>,
    text: String,
    error: String,
}

impl Node {
    /// Without a store.
    fn new() -> Self {
        let node = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        let folder = node.folder.path().display().to_string();
        std::fs::write(node.config(), NODE.replace("DIR", &folder)).unwrap();
        std::fs::write(node.trunks(), TRUNKS).unwrap();
        node
    }

    /// One that has started once, and read what is declared.
    fn started() -> Self {
        let node = Self::new();
        runtime().block_on(async {
            let config = config::load(&node.config()).unwrap();
            let control = Control::open(
                config.store.url.reveal(),
                &config.sip.domain,
                Vec::new(),
                config.sip.tls.customers(),
                config.termination.clone(),
            );
            let control = control.await.unwrap();
            let read = declared::read(&config.declared.files, &OwnPlaces::of(&config.sip)).unwrap();
            let now = jiff::Timestamp::now();
            declared::put(&control, read, now).await.unwrap();
            control.store().close().await;
        });
        node
    }

    fn config(&self) -> PathBuf {
        self.folder.path().join("node.toml")
    }

    fn trunks(&self) -> PathBuf {
        self.folder.path().join("trunks.toml")
    }

    fn run(&self, command: &str, arguments: &[&str]) -> Answer {
        let output = Command::new(env!("CARGO_BIN_EXE_trunkline"))
            .arg(command)
            .arg("--config")
            .arg(self.config())
            .args(arguments)
            .output()
            .unwrap();
        Answer {
            code: output.status.code(),
            text: String::from_utf8(output.stdout).unwrap(),
            error: String::from_utf8(output.stderr).unwrap(),
        }
    }

    fn route(&self, arguments: &[&str]) -> Answer {
        self.run("route", arguments)
    }

    /// The lines of a call of Seattle's customer.
    fn customer_call(&self, arguments: &[&str]) -> Vec<String> {
        let mut all = vec!["--connector", SEATTLE];
        all.extend(arguments);
        self.route(&all).lines()
    }

    /// The lines of a call from the PSTN.
    fn pstn_call(&self, arguments: &[&str]) -> Vec<String> {
        let mut all = vec!["--carrier", "east"];
        all.extend(arguments);
        self.route(&all).lines()
    }

    fn files(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let mut found = Vec::new();
        let mut folders = vec![self.folder.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                match path.is_dir() {
                    true => folders.push(path),
                    false => found.push((path.clone(), std::fs::read(path).unwrap())),
                }
            }
        }
        found.sort();
        found
    }
}

impl Answer {
    /// Each line with single spaces, of an answer that was given.
    fn lines(&self) -> Vec<String> {
        assert_eq!(self.code, Some(0), "{}", self.error);
        assert_eq!(self.error, "");
        let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
        self.text.lines().map(words).collect()
    }

    #[track_caller]
    fn expect_refused(&self, message: &str) {
        assert_eq!(self.code, Some(2), "{}", self.text);
        assert_eq!(self.text, "");
        assert!(self.error.contains(message), "{}", self.error);
    }
}

#[track_caller]
fn expect_last(lines: &[String], expected: &[&str]) {
    let from = lines.len().saturating_sub(expected.len());
    assert_eq!(lines.get(from..).unwrap(), expected, "{lines:#?}");
}

const HEARD: &str = "Routes of one priority are drawn by weight for each call. A running node also looks at calls per second, \
                     calls at once, calls of this hour and the health of hosts.";

#[test]
fn every_check_of_a_call_that_passes_is_told_and_every_place_in_order() {
    let node = Node::started();
    let lines = node.customer_call(&["--from", "+12065550100", "+12025550123"]);
    let expected = [
        "+12065550100 calls +12025550123: INVITE sip:+12025550123@seattle000000000000000.vc.example from 203.0.113.0 over udp",
        "which call is it termination of seattle000000000000000",
        "termination enabled",
        "encryption not required",
        "source address 203.0.113.0 is allowed",
        "credentials 407 first: one of 1 users has to answer the challenge",
        "calls per second at most 10",
        "concurrent calls at most 40",
        "destination +12025550123",
        "destination policy US, ordinary: allowed",
        "calls per hour no limit; to one country: no limit",
        "caller ID +12065550100",
        "It is sent as a call from +12065550100 to +12025550123, one place after the other:",
        "1 tcp 192.0.2.2:5080, carrier east",
        "2 udp 192.0.2.1:5060, carrier east",
        HEARD,
    ];
    assert_eq!(lines, expected);
}

#[test]
fn the_check_that_a_call_fails_is_the_last_that_is_told() {
    let node = Node::started();
    for (arguments, check, refusal) in [
        (
            &["+4930901820"][..],
            "destination policy",
            "403 Destination Country Not Allowed",
        ),
        (
            &["+19005550123"],
            "destination policy",
            "403 Premium Rate Destination Not Allowed",
        ),
        (
            &["--source", "192.0.2.99", "+12025550123"],
            "source address",
            "403 Source Address Not Allowed",
        ),
        (
            &["--from", "+12025550199", "+12025550123"],
            "caller ID",
            "403 Caller Id +12025550199 is not valid",
        ),
        (
            &["2025550123"],
            "destination",
            "484 Destination Is Not An E.164 Number",
        ),
    ] {
        let lines = node.customer_call(arguments);
        let failed = format!("{check} refused: {refusal}");
        let outcome = format!("It is refused: {refusal}");
        expect_last(&lines, &[&failed, &outcome]);
    }
    let lines = node.route(&["--connector", BERLIN, "+12025550123"]).lines();
    expect_last(
        &lines,
        &["It is refused: 404 Voice Connector Has No Termination"],
    );
}

#[test]
fn a_header_field_counts_as_it_does_in_a_call() {
    let node = Node::started();
    let asserted = "P-Asserted-Identity: <sip:+12065550100@pbx.example>";
    let lines = node.customer_call(&["--from", "100", "--header", asserted, "+12025550123"]);
    assert!(
        lines.contains(&"caller ID +12065550100".to_owned()),
        "{lines:#?}"
    );
}

#[test]
fn a_call_for_help_is_told_as_one() {
    let lines = Node::started().customer_call(&["911"]);
    for told in [
        "calls per second an emergency call passes",
        "concurrent calls an emergency call passes",
        "destination 911, an emergency call",
        "calls per hour an emergency call passes",
        "caller ID none",
    ] {
        assert!(lines.iter().any(|line| line == told), "{lines:#?}");
    }
    expect_last(
        &lines,
        &[
            "It is sent as a call from anonymous to 911, one place after the other:",
            "1 udp 198.51.100.7:5060, carrier help",
            HEARD,
        ],
    );
}

#[test]
fn a_call_from_the_pstn_is_told_with_its_connector_or_its_group() {
    let node = Node::started();
    expect_last(
        &node.pstn_call(&["--from", "+12025550123", "+12065550100"]),
        &[
            "+12025550123 calls +12065550100: INVITE sip:+12065550100@vc.example from 192.0.2.0 over udp",
            "which call is it origination: 192.0.2.0 is one of the sources of carrier east",
            "dialled number +12065550100",
            "number of voice connector seattle000000000000000",
            "It is sent as a call from +12025550123 to +12065550100, one place after the other:",
            "1 tcp 203.0.113.2:5071, voice connector seattle000000000000000",
            "2 udp 203.0.113.1:5070, voice connector seattle000000000000000",
            HEARD,
        ],
    );
    expect_last(
        &node.pstn_call(&["+12065550101"]),
        &[
            "number of voice connector group 6f1d9c52-3f0e-4b57-9a41-0f6f1c1e5a01",
            "group member seattle000000000000000, priority 1",
            "group member berlin0000000000000000, priority 2",
            "It is sent as a call from anonymous to +12065550101, one place after the other:",
            "1 tcp 203.0.113.2:5071, voice connector seattle000000000000000",
            "2 udp 203.0.113.1:5070, voice connector seattle000000000000000",
            "3 udp 203.0.113.9:5060, voice connector berlin0000000000000000",
            HEARD,
        ],
    );
    expect_last(
        &node.pstn_call(&["+12065550102"]),
        &[
            "number refused: 404 Number Not In Service",
            "It is refused: 404 Number Not In Service",
        ],
    );
    expect_last(
        &node
            .route(&["--source", "192.0.2.99", "+12065550100"])
            .lines(),
        &[
            "which call is it refused: 404 No Voice Connector At This Host",
            "It is refused: 404 No Voice Connector At This Host",
        ],
    );
}

#[test]
fn a_question_about_nothing_is_refused_with_what_to_do() {
    let node = Node::started();
    let number = "+12025550123";
    for (arguments, message) in [
        (
            &["--connector", "nobody0000000000000000", number][..],
            "--connector nobody0000000000000000: the store has no such voice connector",
        ),
        (
            &["--connector", "nobody", number],
            "22 characters of 0-9 and a-z",
        ),
        (
            &["--carrier", "west", number],
            "--carrier west: the config has no [[carrier]] of that name",
        ),
        (&[number], "nothing says where the call comes from"),
        (
            &["--carrier", "east", "--header", "no field", number],
            "a field is written as \"Name: value\", in one line",
        ),
        (
            &["--carrier", "east", "--header", "", number],
            "a field is written as \"Name: value\", in one line",
        ),
        (
            &[
                "--carrier",
                "east",
                "--header",
                "X-A: 1\r\n\r\nX-B: 2",
                number,
            ],
            "a field is written as \"Name: value\", in one line",
        ),
        (
            &["--carrier", "east", "--header", ": 1", number],
            "a field is written as \"Name: value\", in one line",
        ),
        (
            &["--carrier", "east", "1 2"],
            "makes no INVITE that can be read",
        ),
        (
            &["--carrier", "east", "--from", "1\r\n", number],
            "makes no INVITE that can be read",
        ),
        (
            &["--carrier", "east", "--transport", "pigeon", number],
            "one of udp, tcp, tls",
        ),
        (
            &["--carrier", "east", "--connector", SEATTLE, number],
            "cannot be used with",
        ),
        (&["--carrier", "east"], "<NUMBER>"),
    ] {
        node.route(arguments).expect_refused(message);
    }
}

#[test]
fn a_store_that_is_missing_is_not_made() {
    let node = Node::new();
    let before = node.files();
    let missing = "data/trunkline.db is not there: check --config";
    node.route(&["--carrier", "east", "+12065550100"])
        .expect_refused(missing);
    let exported = node.run("export", &["111122223333"]);
    assert_eq!(exported.code, Some(1));
    assert!(exported.error.contains(missing), "{}", exported.error);
    assert_eq!(node.files(), before);
    assert!(!node.folder.path().join("data").exists());
}

/// What a file declares is told as the node will read it, and stays the node's to read.
#[test]
fn what_the_node_has_not_read_yet_is_told_and_not_written() {
    let node = Node::started();
    let changed = TRUNKS.replace("[\"US\"]", "[\"US\", \"DE\"]")
        + "[[PhoneNumber]]\nE164PhoneNumber = \"+12065550102\"\nVoiceConnectorId = \"berlin0000000000000000\"\n";
    std::fs::write(node.trunks(), changed).unwrap();
    let before = node.files();
    for _ in 0..2 {
        let lines = node.pstn_call(&["+12065550102"]);
        let told = [
            "as its file declares it, which the node has not read yet: VoiceConnector seattle000000000000000",
            "as its file declares it, which the node has not read yet: PhoneNumber +12065550102",
        ];
        assert_eq!(lines.get(1..3).unwrap(), told, "{lines:#?}");
        expect_last(
            &lines,
            &[
                "1 udp 203.0.113.9:5060, voice connector berlin0000000000000000",
                HEARD,
            ],
        );
    }
    assert_eq!(node.files(), before);

    std::fs::write(node.trunks(), format!("{TRUNKS}[[PhoneNumber]]\n")).unwrap();
    node.route(&["--carrier", "east", "+12065550100"])
        .expect_refused("PhoneNumber[2].E164PhoneNumber is required");
}

/// A node that runs is asked about, and goes on.
#[test]
fn a_store_that_is_in_use_is_looked_at() {
    let node = Node::started();
    let config = config::load(&node.config()).unwrap();
    runtime().block_on(async {
        let store = Store::open(config.store.url.reveal()).await.unwrap();
        let lines = node.pstn_call(&["+12065550100"]);
        assert!(lines.len() > 5, "{lines:#?}");
        store.close().await;
    });
}

fn runtime() -> tokio::runtime::Runtime {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_all().build().unwrap()
}

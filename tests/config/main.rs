//! The config file: the documented one means what it says, and a wrong one is refused with file, line,
//! key and remedy.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot read its files has failed"
)]

mod carrier_rules;
mod declared;
mod health;
mod sip;
mod termination;
mod tls_files;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use trunkline::config::{self, Config, ConfigErrors, Problem, SipTls, Transport};

const DOCUMENTED: &str = "config/trunkline.toml";

/// The smallest file that is accepted.
const SMALLEST: &str = r#"[[sip.listener]]
transport = "udp"
bind = "127.0.0.1:5060"
"#;

fn documented() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(DOCUMENTED);
    std::fs::read_to_string(path).unwrap()
}

fn load(text: &str) -> Result<Config, ConfigErrors> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("node.toml");
    std::fs::write(&path, text).unwrap();
    config::load(&path)
}

/// The errors as `LINE: key: problem`, without the file's name.
fn refusals(text: &str) -> Vec<String> {
    let errors = load(text).expect_err("this file is wrong");
    let shown = errors.to_string();
    let lines = shown
        .lines()
        .map(|line| line.split_once("node.toml:").unwrap().1.to_owned());
    lines.collect()
}

/// Asserts that the file is refused for exactly one reason, which begins with `place` and names `words`.
fn assert_refused(text: &str, place: &str, words: &str) {
    let refusals = refusals(text);
    assert_eq!(refusals.len(), 1, "{refusals:#?}");
    assert!(refusals[0].starts_with(place), "{place} in {}", refusals[0]);
    assert!(refusals[0].contains(words), "{words} in {}", refusals[0]);
}

/// A copy of the text with the keys that are commented out put in, as far as `chosen`.
fn with_commented_keys(text: &str, chosen: impl Fn(&str) -> bool) -> String {
    let is_key = |line: &str| {
        let name = line.split(" = ").next().unwrap_or_default();
        line.contains(" = ")
            && name
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
    };
    let lines = text.lines().map(|line| match line.strip_prefix("# ") {
        Some(commented) if is_key(commented) && chosen(line) => commented,
        // A section that is commented out as a whole is an example.
        Some(header) if header.starts_with("[[") && chosen("(example)") => header,
        _ => line,
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn the_documented_file_is_the_default() {
    assert_eq!(load(&documented()).unwrap(), Config::default_for_start());
}

#[test]
fn commented_keys_show_their_defaults() {
    let text = with_commented_keys(&documented(), |line| !line.contains("(example)"));
    assert!(
        text.lines()
            .filter(|line| line.starts_with("t1_ms"))
            .count()
            == 1
    );
    assert_eq!(load(&text).unwrap(), Config::default_for_start());
}

#[test]
fn commented_examples_are_right() {
    let text = with_commented_keys(&documented(), |_| true);
    let config = load(&text).unwrap();
    assert_eq!(config.node.shards, 2);
    assert_eq!(
        config.sip.listeners[0].advertise.to_string(),
        "203.0.113.5:5060"
    );
    assert_eq!(
        config.media.addresses[0].advertise.to_string(),
        "203.0.113.5"
    );
}

/// The paths of a file's keys and sections, without the places of list items: `sip.listener.bind`.
fn written_paths(text: &str) -> BTreeSet<String> {
    let mut paths = BTreeSet::new();
    let mut section = String::new();
    for line in text.lines() {
        if line.starts_with('[') {
            let header = line.trim_matches(['[', ']']);
            paths.insert(header.to_owned());
            section = format!("{header}.");
        } else if let Some((key, _)) = line.split_once(" = ") {
            paths.insert(format!("{section}{key}"));
        }
    }
    paths
}

/// An unknown key makes the parser list those it knows in that place: each must be documented there.
#[test]
fn every_known_key_is_documented() {
    let text = with_commented_keys(&documented(), |_| true);
    let lines: Vec<&str> = text.lines().collect();
    let paths = written_paths(&text);
    let headers = (0..lines.len()).filter(|at| lines[*at].starts_with('['));
    let mut known_paths = BTreeSet::new();
    // The top of the file, and every section.
    for (at, header) in [(0, "")]
        .into_iter()
        .chain(headers.map(|at| (at + 1, lines[at])))
    {
        let mut probe = lines.clone();
        probe.insert(at, "no_such_key = 1");
        let errors = load(&probe.join("\n")).unwrap_err();
        let [error] = errors.errors() else {
            panic!("{errors}")
        };
        let Problem::UnknownKey { known, .. } = &error.problem else {
            panic!("{errors}")
        };
        for key in known {
            let path = format!("{}.{key}", header.trim_matches(['[', ']']));
            known_paths.insert(path.trim_start_matches('.').to_owned());
        }
    }
    assert_eq!(
        known_paths, paths,
        "what the parser knows, and what {DOCUMENTED} has"
    );
}

#[test]
fn the_smallest_file_has_defaults_for_the_rest() {
    let config = load(SMALLEST).unwrap();
    let default = Config::default_for_start();
    assert_eq!(config.node, default.node);
    assert_eq!(config.media, default.media);
    assert_eq!(config.store, default.store);
    assert_eq!(config.sip.listeners, default.sip.listeners[..1]);
    assert!(config.carriers.is_empty() && config.number_pools.is_empty());
    assert!(config.api.access_keys.is_empty());
}

#[test]
fn the_store_is_in_the_data_directory_unless_said() {
    let config = load(&format!("[node]\ndata_dir = \"/srv/trunk\"\n{SMALLEST}")).unwrap();
    assert_eq!(
        config.store.url.reveal(),
        "sqlite:///srv/trunk/trunkline.db"
    );
}

#[test]
fn both_families_and_names_are_understood() {
    let config = load(
        r#"
[sip]
domain = "Voice.Example"
aliases = ["SBC.example", "192.0.2.5", "::1"]
[[sip.listener]]
transport = "udp"
bind = "[::]:5060"
advertise = "[2001:db8::5]:5060"
[media]
bind = ["0.0.0.0", "::1"]
advertise = "192.0.2.5"
[[carrier]]
name = "far"
[[carrier.route]]
host = "Trunk.Example"
prefix = "+44"
"#,
    )
    .unwrap();
    assert_eq!(config.sip.domain, "voice.example");
    assert_eq!(config.sip.aliases, ["sbc.example", "192.0.2.5", "[::1]"]);
    let advertised: Vec<_> = config
        .media
        .addresses
        .iter()
        .map(|a| a.advertise.to_string())
        .collect();
    assert_eq!(advertised, ["192.0.2.5", "::1"]);
    let route = &config.carriers[0].routes[0];
    assert_eq!(route.target.host.to_string(), "trunk.example");
    assert_eq!(
        (route.target.port, route.prefix.to_string()),
        (None, "+44".to_owned())
    );
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let errors = config::load(Path::new("no/such/file.toml")).unwrap_err();
    assert!(
        errors
            .to_string()
            .starts_with("no/such/file.toml: cannot be read: no such file; expected"),
        "{errors}"
    );
}

#[test]
fn text_that_is_not_toml_is_refused_with_its_line() {
    assert_refused("[node]\ndata_dir = \n", "2: not TOML", "");
    assert_refused(
        "[node]\nshards = 1\nshards = 2\n",
        "3: not TOML",
        "duplicate key",
    );
}

#[test]
fn an_unknown_key_is_refused_with_the_one_that_was_meant() {
    let text = format!("{SMALLEST}bnid = 3\n");
    assert_refused(
        &text,
        "4: key `sip.listener[0].bnid`: unknown key; expected one of",
        "did you mean `bind`?",
    );
    assert_refused(
        "[medai]\n",
        "1: key `medai`: unknown key",
        "did you mean `media`?",
    );
    assert_refused(
        "[node]\nzzz = 3\n",
        "2: key `node.zzz`: unknown key",
        "take it out",
    );
}

#[test]
fn a_wrong_type_is_refused() {
    assert_refused(
        "[node]\nshards = \"two\"\n",
        "2: key `node.shards`: wrong type",
        "(string \"two\"); expected a whole number",
    );
    assert_refused(
        "[media]\nbind = 7\n",
        "2: key `media.bind`: wrong type",
        "a string or a list of strings",
    );
    assert_refused(
        "[sip]\naliases = [\"a\", 7]\n",
        "2: key `sip.aliases[1]`: wrong type",
        "expected a string",
    );
    assert_refused(
        "sip = 7\n",
        "1: key `sip`: wrong type (number `7`)",
        "expected a section",
    );
    assert_refused(
        "carrier = 7\n",
        "1: key `carrier`: wrong type",
        "expected a list",
    );
    assert_refused(
        "[api]\nbind = [\"127.0.0.1:8080\"]\n",
        "2: key `api.bind`: wrong type (a list)",
        "expected a string",
    );
    assert_refused(
        "[sip.listener]\ntransport = \"udp\"\n",
        "1: key `sip.listener`: wrong type (a section)",
        "expected a list of sections: write its name in double brackets",
    );
    assert_refused(
        "[media]\ntimeout_s = 1.5\n",
        "2: key `media.timeout_s`: wrong type (number `1.5`)",
        "expected a whole number",
    );
    assert_refused(
        "[node]\nshards = 99999999999999999999\n",
        "2: key `node.shards`: wrong type (number `99999999999999999999`)",
        "expected a whole number",
    );
    assert_refused(
        "[sip.tls]\nverify_customers = \"yes\"\n",
        "2: key `sip.tls.verify_customers`: wrong type",
        "expected true or false",
    );
}

#[test]
fn a_secret_is_never_shown() {
    for secret in ["1234567", "[\"1234567\"]", "{ a = \"1234567\" }"] {
        let text = format!("{SMALLEST}[[api.access_key]]\nsecret = {secret}\n");
        let shown = load(&text).unwrap_err().to_string();
        assert!(
            shown.contains("node.toml:5: key `api.access_key[0].secret`"),
            "{shown}"
        );
        assert!(!shown.contains("1234567"), "{shown}");
    }
    let shown = format!("{:?}", Config::default_for_start());
    assert!(
        shown.contains("AKIAIOSFODNN7EXAMPLE") && !shown.contains("wJalr"),
        "{shown}"
    );
    for url in [
        "postgres://me:hush@db",
        "mysql://me:hush@db/x",
        "me:hush@db/x",
    ] {
        let shown = load(&format!("{SMALLEST}[store]\nurl = \"{url}\"\n")).unwrap_err();
        assert!(!shown.to_string().contains("hush"), "{shown}");
    }
}

#[test]
fn a_postgresql_store_is_taken_and_its_password_never_shown() {
    let url = "postgres://me:hush@db.example.com:5432/trunkline";
    let config = load(&format!("{SMALLEST}[store]\nurl = \"{url}\"\n")).unwrap();
    assert_eq!(config.store.url.reveal(), url);
    let summary = config.summary().to_string();
    let without = "postgres://me:***@db.example.com:5432/trunkline";
    assert!(summary.contains(without), "{summary}");
    let shown = format!("{summary} {config:?} {}", config.store.url);
    assert!(!shown.contains("hush"), "{shown}");
}

#[test]
fn a_store_of_another_kind_is_refused_with_what_is_expected() {
    let refusals = refusals(&format!("{SMALLEST}[store]\nurl = \"mysql://db\"\n"));
    assert_eq!(
        refusals,
        [
            "5: key `store.url`: `mysql://db` is not valid; expected sqlite://PATH, such as sqlite://data/trunkline.db, \
             or postgres://USER:PASSWORD@HOST:PORT/DATABASE with special characters percent-encoded; correct it"
        ]
    );
}

#[test]
fn every_wrong_value_is_told_at_once_in_the_order_of_the_lines() {
    let refusals = refusals(
        r#"[node]
shards = 0
[[sip.listener]]
transport = "carrier pigeon"
bind = "localhost"
[[carrier]]
name = "x"
sources = ["10.0.0.0/40"]
[[carrier.route]]
port = 70000
prefix = "0x"
priority = 0
weight = 101
[api]
bind = "8080"
[store]
url = "mysql://db"
[log]
level = "loud"
"#,
    );
    let places: Vec<_> = refusals
        .iter()
        .filter_map(|line| line.split('`').nth(1))
        .collect();
    assert_eq!(
        places,
        [
            "node.shards",
            "sip.listener[0].transport",
            "sip.listener[0].bind",
            "carrier[0].sources[0]",
            "carrier[0].route[0].host",
            "carrier[0].route[0].port",
            "carrier[0].route[0].prefix",
            "carrier[0].route[0].priority",
            "carrier[0].route[0].weight",
            "api.bind",
            "store.url",
            "log.level",
        ]
    );
    assert_eq!(
        refusals[0],
        "2: key `node.shards`: 0 is out of range; expected 1 to 64; correct it"
    );
}

#[test]
fn what_must_be_there_is_missed() {
    assert_refused(
        "[node]\n",
        "1: key `sip.listener`: no listener",
        "[[sip.listener]]",
    );
    assert_refused(
        "[[sip.listener]]\ntransport = \"udp\"\n",
        "1: key `sip.listener[0].bind`: missing",
        "127.0.0.1:5060",
    );
    let text = format!(
        "{SMALLEST}[[api.access_key]]\nid = \"AKIAIOSFODNN7EXAMPLE\"\naccount = \"111122223333\"\n"
    );
    assert_refused(&text, "4: key `api.access_key[0].secret`: missing", "");
}

#[test]
fn media_ports_must_not_hold_a_listener() {
    let ports = |media: &str| format!("{SMALLEST}[media]\n{media}\nports = \"5000-6999\"\n");
    assert_refused(
        &ports("bind = \"127.0.0.1\""),
        "6: key `media.ports`: holds port 5060 of `sip.listener[0].bind` (line 3)",
        "move the range",
    );
    assert_refused(
        &ports("bind = \"0.0.0.0\"\nadvertise = \"192.0.2.1\""),
        "7: key `media.ports`",
        "5060",
    );
    assert!(load(&ports("bind = \"127.0.0.2\"")).is_ok());
    assert!(load(&ports("bind = \"::1\"")).is_ok());
    let api = format!("{SMALLEST}[media]\nports = \"8000-8999\"\n");
    assert_refused(
        &api,
        "5: key `media.ports`: holds port 8080 of `api.bind`",
        "",
    );
}

#[test]
fn media_ports_must_be_pairs_for_every_shard() {
    let ports =
        |range: &str| format!("{SMALLEST}[node]\nshards = 3\n[media]\nports = \"{range}\"\n");
    assert_refused(
        &ports("20001-20999"),
        "7: key `media.ports`",
        "begin with 20002",
    );
    assert_refused(
        &ports("20000-20010"),
        "7: key `media.ports`: 5 RTP/RTCP port pairs for 3 shards",
        "widen",
    );
    assert!(load(&ports("20000-20011")).is_ok());
    for wrong in [
        "20000",
        "30000-20000",
        "20000-20000",
        "80-90",
        "a-b",
        "20000-70000",
    ] {
        assert_refused(&ports(wrong), "7: key `media.ports`", "is not valid");
    }
}

#[test]
fn nothing_is_there_twice() {
    assert_refused(
        &format!("{SMALLEST}{SMALLEST}"),
        "6: key `sip.listener[1].bind`: the same listener is at line 3",
        "take one out",
    );
    assert_refused(
        &format!("{SMALLEST}[[carrier]]\nname = \"x\"\n[[carrier]]\nname = \"x\"\n"),
        "7: key `carrier[1].name`: the same carrier name is at line 5",
        "",
    );
    let key = "[[api.access_key]]\nid = \"AKIAIOSFODNN7EXAMPLE\"\nsecret = \"x\"\naccount = \"111122223333\"\n";
    assert_refused(
        &format!("{SMALLEST}{key}{key}"),
        "9: key `api.access_key[1].id`: the same access key id is at line 5",
        "",
    );
    assert_refused(
        "[[sip.listener]]\ntransport = \"tcp\"\nbind = \"127.0.0.1:8080\"\n",
        "1: key `api.bind`: the same address and port as `sip.listener[0].bind` at line 3",
        "",
    );
}

#[test]
fn a_source_is_one_carriers_only() {
    let carriers = |first: &str, second: &str| {
        format!(
            "{SMALLEST}[[carrier]]\nname = \"a\"\nsources = [\"{first}\"]\n[[carrier]]\nname = \"b\"\nsources = [\"{second}\"]\n"
        )
    };
    let place = "9: key `carrier[1].sources[0]`";
    assert_refused(
        &carriers("192.0.2.0/24", "192.0.2.7"),
        place,
        "overlaps 192.0.2.0/24 of another carrier (line 6)",
    );
    assert_refused(
        &carriers("192.0.2.7/32", "192.0.0.0/16"),
        place,
        "192.0.2.7/32",
    );
    assert!(load(&carriers("192.0.2.0/25", "192.0.2.128/25")).is_ok());
}

#[test]
fn number_pools_are_ranges_that_do_not_overlap() {
    let pool = |first: &str, last: &str| {
        format!("[[number_pool]]\ncountry = \"US\"\nfirst = \"{first}\"\nlast = \"{last}\"\n")
    };
    let one = |first: &str, last: &str| format!("{SMALLEST}{}", pool(first, last));
    assert_refused(
        &one("+12065550199", "+12065550100"),
        "7: key `number_pool[0].last`",
        "+12065550199",
    );
    assert_refused(
        &one("+12065550100", "+120655501000"),
        "7: key `number_pool[0].last`",
        "same length",
    );
    assert_refused(
        &one("0206", "+12065550100"),
        "6: key `number_pool[0].first`",
        "E.164",
    );
    let two = format!(
        "{}{}",
        one("+12065550100", "+12065550199"),
        pool("+12065550199", "+12065550200")
    );
    assert_refused(&two, "10: key `number_pool[1].first`", "the pool at line 6");
}

#[test]
fn check_says_what_a_file_means_and_exits_accordingly() {
    let check = |file: &Path| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_trunkline"));
        command.arg("check").arg(file).output().unwrap()
    };
    let right = check(&Path::new(env!("CARGO_MANIFEST_DIR")).join(DOCUMENTED));
    let summary = String::from_utf8(right.stdout).unwrap();
    assert!(right.status.success() && right.stderr.is_empty());
    assert!(
        summary.contains("udp 127.0.0.1:5060") && summary.contains("100 in 1 pools"),
        "{summary}"
    );
    for said in [
        "route    127.0.0.1:5080 over udp, priority 1 weight 1\n",
        "DNS      the system's name servers; answers serve 86400 s longer",
        "health   a ping every 30 s, 10 s in doubt; down after 3 unanswered within 4000 ms, up after 2 answered\n",
        "TLS      a development certificate; customers' hosts are verified with the system's roots\n",
    ] {
        assert!(summary.contains(said), "{said} in {summary}");
    }
    assert!(!summary.contains("wJalr"), "{summary}");

    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("narrow.toml");
    let few_ports =
        "[node]\nshards = 2\n[media]\nports = \"20000-20399\"\n[limits]\ncalls_max = 100\n";
    std::fs::write(&path, format!("{SMALLEST}{few_ports}")).unwrap();
    let narrow = check(&path);
    let summary = String::from_utf8(narrow.stdout).unwrap();
    let warning =
        "warning: media.ports 20000-20399 serve 100 calls, and limits.calls_max allows 200";
    assert!(summary.contains(warning), "{summary}");
    assert!(narrow.status.success());

    let path = directory.path().join("wrong.toml");
    std::fs::write(&path, "[node]\nshard = 1\n").unwrap();
    let wrong = check(&path);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(wrong.stdout.is_empty());
    let errors = String::from_utf8(wrong.stderr).unwrap();
    assert!(
        errors.contains("wrong.toml:2: key `node.shard`: unknown key"),
        "{errors}"
    );
}

#[test]
fn serve_refuses_a_wrong_file_as_check_does() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_trunkline"));
    let refused = command
        .args(["serve", "--config", "no/such.toml"])
        .output()
        .unwrap();
    assert_eq!(refused.status.code(), Some(2));
    assert!(
        String::from_utf8(refused.stderr)
            .unwrap()
            .starts_with("no/such.toml: cannot be read")
    );
}

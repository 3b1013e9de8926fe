//! What can be wrong with a config file, and how it is told: where, what, what was expected, what to do.

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{FileFault, Transport};

/// Everything that is wrong with one file. Shown as one line each:
/// `FILE:LINE: key `KEY`: what is wrong; expected what; remedy`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConfigErrors {
    file: PathBuf,
    errors: Vec<ConfigError>,
}

impl ConfigErrors {
    /// The errors of a file, in the order of its lines.
    pub(super) fn new(file: &Path, mut errors: Vec<ConfigError>) -> Self {
        errors.sort_by_key(|error| error.line);
        Self {
            file: file.to_owned(),
            errors,
        }
    }

    /// The errors, in the order of the file's lines.
    pub fn errors(&self) -> &[ConfigError] {
        &self.errors
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.errors.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{}:", self.file.display())?;
            if let Some(line) = error.line {
                write!(f, "{line}:")?;
            }
            if let Some(key) = &error.key {
                write!(f, " key `{key}`:")?;
            }
            write!(f, " {}", error.problem)?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}

/// One thing that is wrong.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConfigError {
    /// Counted from 1; `None` where the file as a whole is meant.
    pub line: Option<usize>,
    /// Dotted path, a list's items counted from 0: `sip.listener[1].bind`.
    pub key: Option<String>,
    /// What is wrong.
    pub problem: Problem,
}

impl ConfigError {
    pub(super) fn unreadable(error: io::ErrorKind) -> Self {
        Self {
            line: None,
            key: None,
            problem: Problem::Unreadable { error },
        }
    }
}

/// Why a file cannot be read, in an operator's words.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "io::ErrorKind is open; most kinds speak for themselves"
)]
pub fn unreadable(error: io::ErrorKind) -> String {
    match error {
        io::ErrorKind::NotFound => "no such file".to_owned(),
        io::ErrorKind::IsADirectory => "a directory, not a file".to_owned(),
        io::ErrorKind::NotADirectory => "a part of its path is a file, not a directory".to_owned(),
        io::ErrorKind::InvalidData => "not text in UTF-8".to_owned(),
        other => other.to_string(),
    }
}

/// The line, counted from 1, that a byte of the text is in.
pub(super) fn line_at(text: &str, offset: usize) -> usize {
    let before = text.as_bytes().iter().take(offset);
    1 + before.filter(|byte| **byte == b'\n').count()
}

/// What is wrong with a file or a key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Problem {
    /// The file cannot be read.
    Unreadable {
        /// Why.
        error: io::ErrorKind,
    },
    /// The text is not TOML.
    Syntax {
        /// The TOML parser's words.
        message: String,
    },
    /// A key that does not exist in its section.
    UnknownKey {
        /// The one that was probably meant.
        meant: Option<String>,
        /// All that exist there.
        known: Vec<String>,
    },
    /// A value of another TOML type.
    WrongType {
        /// What is written.
        found: String,
        /// The type that was expected.
        expected: String,
    },
    /// A list that has to have something in it.
    Empty {
        /// What is expected.
        expected: &'static str,
    },
    /// A key that must be there is not.
    Missing {
        /// What its value should be.
        expected: &'static str,
    },
    /// A text that does not mean what it should.
    Value {
        /// What is written.
        written: String,
        /// What was expected.
        expected: &'static str,
    },
    /// A secret, which is not shown, that cannot be one.
    SecretEmpty,
    /// A number outside its range.
    OutOfRange {
        /// What is written.
        written: i64,
        /// What is allowed.
        allowed: RangeInclusive<i64>,
    },
    /// `session_expires_s` is below `min_se_s`.
    SessionBelowMinSe {
        /// `min_se_s`.
        min_se: u32,
    },
    /// `timeout_ms` of `[health]` is longer than an interval.
    PingTimeoutTooLong {
        /// The shorter interval.
        shortest: Duration,
    },
    /// National numbers are dialled, and nothing says of which country.
    NationalWithoutCountryCode,
    /// T2 is shorter than T1.
    T2BelowT1,
    /// Certificates of peers are required, and there is nothing to verify them with.
    NoClientCa,
    /// Certificates of peers are to tell who they are, and none is asked for.
    NoNamesWithoutClientCa,
    /// A listener is named by an address that none binds.
    NotBound,
    /// No `[[sip.listener]]`.
    NoListener,
    /// A carrier's route leads to a listener of this node.
    RouteToUs {
        /// The listener's line.
        line: usize,
    },
    /// A header field that the gateway writes itself.
    OwnField,
    /// A list that is too long.
    TooMany {
        /// What it lists.
        what: &'static str,
        /// How many are allowed.
        max: usize,
    },
    /// A wildcard address (`0.0.0.0`, `[::]`) is bound and nothing says what peers should be told.
    WildcardWithoutAdvertise,
    /// The advertised address is a wildcard, which no peer can send to.
    WildcardAdvertised,
    /// The advertised address is of another family than the bound one.
    FamilyMismatch {
        /// The bound address.
        bind: IpAddr,
    },
    /// Two media addresses of one family.
    TwoOfAFamily,
    /// The same thing twice.
    Duplicate {
        /// What it is that may not be there twice.
        what: &'static str,
        /// The line of the first.
        first: usize,
    },
    /// Two things that want the same address and port.
    AddressTaken {
        /// The key of the other one.
        by: String,
        /// Its line.
        line: usize,
    },
    /// The media ports hold the port of a listener.
    PortsOverlap {
        /// The listener's port.
        port: u16,
        /// The listener's key.
        listener: String,
        /// Its line.
        line: usize,
    },
    /// The first media port is odd (RFC 3550 §11: RTP on the even one, RTCP on the next).
    OddFirstPort {
        /// The port.
        port: u16,
    },
    /// Not even two RTP/RTCP pairs a shard.
    TooFewPorts {
        /// Pairs in the range.
        pairs: usize,
        /// Shards.
        shards: u8,
    },
    /// A source that another carrier has too: calls from there would be either's.
    SourceOverlap {
        /// The other carrier's network.
        other: String,
        /// Its line.
        line: usize,
    },
    /// The last number of a pool is below the first, or has another number of digits.
    PoolOrder {
        /// The first number.
        first: String,
    },
    /// Numbers that another pool has too.
    PoolOverlap {
        /// The other pool's line.
        line: usize,
    },
    /// A route that no call can take: nothing would send on its transport.
    NoListenerFor {
        /// The route's transport.
        transport: Transport,
        /// Its address, where it has one: a listener of that family is meant.
        address: Option<IpAddr>,
    },
    /// A certificate, a key or roots that are of no use.
    File {
        /// The file's name as written.
        file: PathBuf,
        /// Why.
        fault: FileFault,
    },
}

impl Problem {
    /// An unknown key, with the known one that looks most like it.
    pub(super) fn unknown_key(written: String, known: Vec<String>) -> Self {
        let alike = |key: &&String| strsim::jaro_winkler(&written, key);
        let meant = known
            .iter()
            .max_by(|a, b| alike(a).total_cmp(&alike(b)))
            .filter(|key| alike(key) > 0.75)
            .cloned();
        Self::UnknownKey { meant, known }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable { error } => write!(f, "cannot be read: {}; expected a TOML file; name one with --config, or start without it for a node on loopback", unreadable(*error)),
            Self::Syntax { message } => write!(f, "not TOML: {message}; see https://toml.io for its syntax"),
            Self::UnknownKey { meant, known } => unknown_key(f, meant.as_deref(), known),
            Self::WrongType { found, expected } => write!(f, "wrong type ({}); expected {}; config/trunkline.toml shows every key", found_plainly(found), expected_plainly(found, expected)),
            Self::Empty { expected } => write!(f, "empty; expected {expected}"),
            Self::Missing { expected } => write!(f, "missing; expected {expected}; add it"),
            Self::Value { written, expected } => write!(f, "`{written}` is not valid; expected {expected}; correct it"),
            Self::SecretEmpty => f.write_str("empty; expected the secret of this access key; write it, or take the key out"),
            Self::OutOfRange { written, allowed } => write!(f, "{written} is out of range; expected {} to {}; correct it", allowed.start(), allowed.end()),
            Self::SessionBelowMinSe { min_se } => write!(f, "is below min_se_s, {min_se}; expected 0 or at least that; raise it or lower min_se_s"),
            Self::PingTimeoutTooLong { shortest } => write!(f, "longer than the {} ms between two pings; expected at most that; shorten it, or ping less often", shortest.as_millis()),
            Self::NationalWithoutCountryCode => f.write_str("missing where national_prefix is not empty or digits is national; expected the country code of national numbers, such as 1 or 44; add it"),
            Self::T2BelowT1 => f.write_str("below t1_ms; expected at least t1_ms (RFC 3261 §17.1.2.1); raise it"),
            Self::NoClientCa => f.write_str("nothing says which certificates count; expected client_ca beside it; add that, or take this out"),
            Self::NoNamesWithoutClientCa => f.write_str("peers are not asked for certificates; expected client_ca in [sip.tls]; add that, or take this out"),
            Self::NotBound => f.write_str("no listener binds this; expected the bind of a [[sip.listener]]; correct either"),
            Self::RouteToUs { line } => write!(f, "leads to the listener in line {line}: calls would come back to this node; expected the carrier's host and port; correct them"),
            Self::NoListener => f.write_str("no listener; expected at least one; add a [[sip.listener]] with transport and bind"),
            Self::OwnField => f.write_str("the gateway writes this header field itself; expected another field, such as X-Trunk; take it out"),
            Self::TooMany { what, max } => write!(f, "too many {what}; expected at most {max}; take some out"),
            Self::WildcardWithoutAdvertise => f.write_str("binds every address, so peers cannot be told which one to use; expected one that they can reach; add advertise"),
            Self::WildcardAdvertised => f.write_str("no peer can send to a wildcard address; expected one that they can reach; correct it"),
            Self::FamilyMismatch { bind } => write!(f, "of another family than the bound {bind}; expected an {} address; correct either", family(*bind)),
            Self::TwoOfAFamily => f.write_str("two addresses of one family; expected at most one IPv4 and one IPv6 address; take one out"),
            Self::Duplicate { what, first } => write!(f, "the same {what} is at line {first}; expected each once; take one out or change it"),
            Self::AddressTaken { by, line } => write!(f, "the same address and port as `{by}` at line {line}; expected one of its own; change either"),
            Self::PortsOverlap { port, listener, line } => write!(f, "holds port {port} of `{listener}` (line {line}); expected ports that nothing else uses; move the range or the listener"),
            Self::OddFirstPort { port } => write!(f, "begins with the odd port {port}; expected an even one (RTP even, RTCP the next, RFC 3550 §11); begin with {}", port.saturating_add(1)),
            Self::TooFewPorts { pairs, shards } => write!(f, "{pairs} RTP/RTCP port pairs for {shards} shards; expected at least two a shard, for a call takes two of one shard; widen the range"),
            Self::SourceOverlap { other, line } => write!(f, "overlaps {other} of another carrier (line {line}), so a call from there could be either's; expected sources of one carrier only; narrow one"),
            Self::PoolOrder { first } => write!(f, "not a number after {first} of the same length; expected the last number of the pool; correct either"),
            Self::PoolOverlap { line } => write!(f, "holds numbers of the pool at line {line}; expected every number in one pool only; shorten one"),
            Self::NoListenerFor { transport, address } => {
                let over = address.map_or(String::new(), |address| format!(" over {}", family(address)));
                write!(f, "no listener speaks {transport}{over}, so no call can take this route; expected a [[sip.listener]] that does; add one, or change the route")
            }
            Self::File { file, fault } => write!(f, "{}: {fault}", file.display()),
        }
    }
}

fn unknown_key(f: &mut fmt::Formatter<'_>, meant: Option<&str>, known: &[String]) -> fmt::Result {
    f.write_str("unknown key; expected one of ")?;
    for (index, key) in known.iter().enumerate() {
        let comma = if index > 0 { ", " } else { "" };
        write!(f, "{comma}{key}")?;
    }
    match meant {
        Some(meant) => write!(f, "; did you mean `{meant}`?"),
        None => f.write_str("; take it out"),
    }
}

/// What the parser expected, in the words of someone who writes the file.
fn expected_plainly(found: &str, expected: &str) -> String {
    let words = match (found, expected) {
        ("map", "a sequence") => "a list of sections: write its name in double brackets",
        (_, "a sequence") => "a list",
        (_, "i64") => "a whole number",
        (_, "a boolean") => "true or false",
        (_, other) => other,
    };
    words.to_owned()
}

/// What the parser found, likewise.
fn found_plainly(found: &str) -> String {
    match found {
        "sequence" => "a list".to_owned(),
        "map" => "a section".to_owned(),
        other => {
            let value = other
                .trim_end_matches(" as i128")
                .trim_end_matches(" as u128");
            match value.split_once(' ') {
                Some(("integer", number)) => format!("number {number}"),
                Some(("floating", rest)) => rest.replacen("point", "number", 1),
                Some(("boolean", value)) => value.to_owned(),
                Some(_) | None => value.to_owned(),
            }
        }
    }
}

fn family(address: IpAddr) -> &'static str {
    match address {
        IpAddr::V4(_) => "IPv4",
        IpAddr::V6(_) => "IPv6",
    }
}

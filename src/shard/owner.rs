//! Which shard a message belongs to.
//!
//! Asked for every message on a node of several shards, before the owner parses it: this looks at the
//! three fields it needs and at nothing else. What it makes of a message that is malformed does not matter,
//! as long as the same bytes have the same owner.

use std::hash::Hasher;

use memchr::{memchr, memchr_iter, memmem};
use siphasher::sip::SipHasher13;

use super::core::Settings;
use super::identifiers::Minted;

/// The shard that what we minted names (a request's To tag, a response's topmost branch), otherwise
/// the one that the Call-ID falls to.
pub(super) fn of(message: &[u8], settings: &Settings) -> u8 {
    let message = message.trim_ascii_start();
    let is_response = message
        .get(..4)
        .is_some_and(|start| start.eq_ignore_ascii_case(b"SIP/"));
    let minting: [&[u8]; 2] = match is_response {
        true => [b"via", b"v"],
        false => [b"to", b"t"],
    };
    let (mut seen_minting, mut call_id) = (false, None);
    for (name, value) in fields(message) {
        let is_one_of = |names: [&[u8]; 2]| names.iter().any(|one| name.eq_ignore_ascii_case(one));
        if !seen_minting && is_one_of(minting) {
            seen_minting = true;
            let minted = minted_in(value).filter(|minted| minted.shard < settings.shards);
            if let Some(minted) = minted {
                return minted.shard;
            }
        } else if call_id.is_none() && is_one_of([b"call-id", b"i"]) {
            call_id = Some(value);
        }
        if seen_minting && call_id.is_some() {
            break;
        }
    }
    by_call_id(call_id.unwrap_or_default(), settings)
}

fn by_call_id(call_id: &[u8], settings: &Settings) -> u8 {
    let mut hasher = SipHasher13::new_with_key(&settings.secret);
    hasher.write(call_id);
    // Below 256: the modulus is.
    (hasher.finish() % u64::from(settings.shards.max(1))) as u8
}

/// The first identifier of ours in a field's value; nobody else's parameters look like one.
fn minted_in(value: &[u8]) -> Option<Minted> {
    memmem::find_iter(value, Minted::MARK).find_map(|start| {
        let text = value.get(start..start + Minted::TAG_BYTES)?;
        Minted::from_tag(std::str::from_utf8(text).ok()?)
    })
}

/// The header fields, each as name and value without white space around.
fn fields(message: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let mut rest = message;
    let lines = std::iter::from_fn(move || {
        let end = end_of_line(rest);
        let line = rest.get(..end)?.trim_ascii_end();
        rest = rest.get(end + 1..).unwrap_or_default();
        (!line.is_empty()).then_some(line)
    });
    lines.skip(1).filter_map(|line| {
        let colon = memchr(b':', line)?;
        let name = line.get(..colon)?.trim_ascii_end();
        Some((name, line.get(colon + 1..)?.trim_ascii()))
    })
}

/// Where the line ends that the text begins with; a folded line goes on (RFC 3261 §7.3.1).
fn end_of_line(text: &[u8]) -> usize {
    memchr_iter(b'\n', text)
        .find(|end| !matches!(text.get(end + 1), Some(b' ' | b'\t')))
        .unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn settings() -> Settings {
        let mut config = Config::default_for_start();
        config.node.shards = 7;
        Settings::new(&config, 0, [3; 16], ([4; 16], [5; 32]))
    }

    fn minted(shard: u8) -> Minted {
        Minted {
            shard,
            slot: 5,
            leg: 1,
            secret: 0xfeed,
        }
    }

    #[test]
    fn what_was_minted_names_its_shard() {
        let settings = settings();
        let (tag, branch) = (minted(5).tag(), minted(6).branch());
        for to in [
            format!("To: <sip:a@b>;tag={tag}"),
            format!("t:\"tk\" <sip:tk@b>;x=y ; Tag = {tag};z"),
            format!("TO :\r\n <sip:a@b>\r\n\t;tag={tag}"),
        ] {
            let request = format!("\r\n\r\nBYE sip:a@b SIP/2.0\r\nCall-ID: 1\r\n{to}\r\n\r\nTo: x");
            assert_eq!(of(request.as_bytes(), &settings), 5, "{request}");
        }
        for via in [
            format!(
                "Via: SIP/2.0/UDP h;branch={branch}, SIP/2.0/UDP i;branch={}",
                minted(1).branch()
            ),
            format!("v: SIP / 2.0 / UDP h;rport=1;Branch = {branch};received=1.2.3.4"),
        ] {
            let response =
                format!("SIP/2.0 200 OK\r\n{via}\r\nCall-ID: 1\r\nTo: x;tag={tag}\r\n\r\n");
            assert_eq!(of(response.as_bytes(), &settings), 6, "{response}");
        }
    }

    #[test]
    fn everything_else_goes_by_call_id() {
        let settings = settings();
        let expected = by_call_id(b"one@x", &settings);
        assert!((0..20).any(|other: u8| by_call_id(&[other], &settings) != expected));
        for fields in [
            "To: <sip:a@b>\r\nCall-ID: one@x",
            "Call-ID:\r\n one@x \r\nTo: <sip:a@b>;tag=theirs",
            "i:one@x",
            // A shard that there is not.
            &format!("CALL-ID: one@x\r\nTo: <sip:a@b>;tag={}", minted(7).tag()),
            // Only the topmost of a kind counts.
            &format!(
                "To: <sip:a@b>\r\nTo: <sip:a@b>;tag={}\r\ni: one@x",
                minted(1).tag()
            ),
        ] {
            let request = format!("INVITE sip:a@b SIP/2.0\r\n{fields}\r\nCSeq: 1 INVITE\r\n\r\n");
            assert_eq!(of(request.as_bytes(), &settings), expected, "{request}");
        }
    }

    #[test]
    fn no_bytes_are_too_odd_for_an_owner() {
        let settings = settings();
        let texts: [&[u8]; 6] = [
            b"",
            b"\r\n",
            b"SIP/",
            b"x\r\n:\r\n",
            b"a\nto:tk",
            b"a\nto:\xff;tag=tk\xff",
        ];
        for text in texts {
            assert!(of(text, &settings) < 7);
        }
    }
}

//! By what a request finds the server transaction that it belongs to.
//!
//! Keys are keyed hashes, so that nobody can make two requests collide.

use std::hash::Hasher;

use siphasher::sip128::{Hasher128, SipHasher13};

use crate::sip::message::{HeaderName, Method, Request};

/// Makes the keys of one table.
#[derive(Debug)]
pub struct Keys {
    secret: [u8; 16],
}

impl Keys {
    /// Keys that hold among those of the same secret only.
    pub fn new(secret: [u8; 16]) -> Self {
        Self { secret }
    }

    /// RFC 3261 §17.2.3: branch, sent-by and method, where an ACK has its INVITE's; for an RFC 2543
    /// request without the magic cookie the fields of the section's second list.
    ///
    /// Branches can be guessed, and sent-by shared by two sites with the same private addresses: what an
    /// ACK and a CANCEL have of their INVITE besides (§9.1, §17.1.1.3) must be right too.
    pub fn server(&self, request: &Request, method: Method) -> u128 {
        let method = if method == Method::Ack {
            Method::Invite
        } else {
            method
        };
        let mut key = Key::new(&self.secret);
        key.add(if method == Method::Unknown {
            request.method_token()
        } else {
            method.as_str()
        });
        if let Ok(via) = request.via() {
            key.add(via.sent_by());
            match via.branch() {
                Some(branch) if branch.len() > 7 && branch.starts_with("z9hG4bK") => {
                    key.add(branch)
                }
                Some(_) | None => {
                    key.add(request.uri());
                    key.add(request.header(HeaderName::Via).unwrap_or_default());
                }
            }
        }
        // The CSeq number sets requests apart that reuse a branch by mistake.
        key.add_sender(request);
        key.finish()
    }

    /// RFC 3261 §8.2.2.2: what requests share that came here from one sender by several ways.
    pub fn merging(&self, request: &Request) -> u128 {
        let mut key = Key::new(&self.secret);
        key.add_sender(request);
        key.finish()
    }
}

struct Key(SipHasher13);

impl Key {
    fn new(secret: &[u8; 16]) -> Self {
        Self(SipHasher13::new_with_key(secret))
    }

    fn add(&mut self, text: &str) {
        self.0.write(text.as_bytes());
        self.0.write_u8(0xff);
    }

    /// Call-ID, From tag and CSeq number.
    fn add_sender(&mut self, request: &Request) {
        self.add(request.call_id());
        let from = request.from().ok();
        self.add(from.and_then(|from| from.tag()).unwrap_or_default());
        self.0
            .write_u32(request.cseq().map_or(0, |cseq| cseq.number));
    }

    fn finish(self) -> u128 {
        self.0.finish128().as_u128()
    }
}

//! REGISTER of a customer's host (RFC 3261 §10.3), where the operator wants it accepted.
//!
//! There is no location service: calls go where a connector's origination says. A PBX that insists on
//! registering its trunk before it calls gets the answer that it waits for, and nothing is kept of it.

use bytes::Bytes;

use super::core::{Core, finished, message_buffer};
use super::{Shard, check_request, request_uri};
use crate::gateway::classify::{Classified, classify};
use crate::gateway::{Refusal, termination};
use crate::shard::io::Flow;
use crate::sip::header::NameAddr;
use crate::sip::message::{HeaderName, Request};
use crate::sip::response::write_response;
use crate::sip::writer::reason_phrase;

/// Seconds that a registration is said to last at most, and where none are asked for.
const EXPIRES_MAX: u32 = 3_600;
/// Contacts of one REGISTER that are answered.
const CONTACTS_MAX: usize = 8;

impl Shard {
    /// Answers a REGISTER of somebody who may call through a connector; for anybody else the method is not
    /// served.
    pub(super) fn answer_register(&mut self, flow: Flow, request: &Request) -> Result<(), Refusal> {
        check_request(request)?;
        let not_served = || Refusal::new(405, reason_phrase(405));
        let uri = request_uri(request, &flow)?;
        let snapshot = self.core.snapshot.clone();
        let connector = match classify(&uri, &flow, &snapshot) {
            Ok(Classified::Termination(connector)) => connector,
            Ok(Classified::Origination(_)) | Err(_) => return Err(not_served()),
        };
        if !snapshot.allows_source(connector.id, flow.remote.ip().to_canonical()) {
            return Err(not_served());
        }
        let mut context = self.core.termination_context();
        termination::admit_registration(&connector, request, &uri, &flow, &mut context)?;
        let contacts = contacts(request)?;
        let response = write_success(&self.core, request, &flow, &contacts);
        self.core.reply_with(request, &flow, 200, response);
        Ok(())
    }
}

/// URI and seconds of each contact that is registered from now on.
fn contacts(request: &Request) -> Result<Vec<(&str, u32)>, Refusal> {
    let malformed = || Refusal::new(400, "Malformed Contact Or Expires");
    let seconds = |text: &str| {
        let text = text.trim();
        let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        // More than a number can say is more than is granted.
        is_number.then(|| text.parse().unwrap_or(u32::MAX).min(EXPIRES_MAX))
    };
    let default = match request.header(HeaderName::Expires) {
        Some(expires) => seconds(expires).ok_or_else(malformed)?,
        None => EXPIRES_MAX,
    };
    let mut contacts = Vec::new();
    for value in request.values(HeaderName::Contact) {
        if value == "*" {
            // §10.2.2: all of them, and only to remove them.
            match default {
                0 => continue,
                1.. => return Err(malformed()),
            }
        }
        let contact = NameAddr::parse(value).map_err(|_| malformed())?;
        let expires = contact.params.value("expires").map(seconds);
        let expires = expires.flatten().unwrap_or(default);
        if expires > 0 && contacts.len() < CONTACTS_MAX {
            contacts.push((contact.uri, expires));
        }
    }
    Ok(contacts)
}

fn write_success(core: &Core, request: &Request, flow: &Flow, contacts: &[(&str, u32)]) -> Bytes {
    let mut out = message_buffer();
    let tag = core.stateless_tag(request);
    let line = (200, reason_phrase(200));
    let mut writer = write_response(&mut out, request, flow.remote, line.0, line.1, Some(&tag));
    for (uri, expires) in contacts {
        let expires = expires.to_string();
        writer.field(HeaderName::Contact, &["<", uri, ">;expires=", &expires]);
    }
    writer.end();
    finished(out)
}

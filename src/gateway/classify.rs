//! Which call is it: termination, origination, or none of ours.

use std::sync::Arc;

use super::{Cause, Refusal};
use crate::config::Carrier;
use crate::shard::io::Flow;
use crate::shard::snapshot::{Snapshot, VoiceConnector};
use crate::sip::uri::{Scheme, Uri};

/// What a request outside a dialog is about.
#[derive(Clone, Debug)]
pub enum Classified<'a> {
    /// From a customer's host towards the PSTN.
    Termination(Arc<VoiceConnector>),
    /// From the PSTN towards a customer.
    Origination(&'a Carrier),
}

/// The order: the host is a connector's outbound host name; the peer is a carrier, by the certificate that
/// it has shown or by its source address; the host is one
/// of ours, or there is none as in a `tel:` URI, and exactly one connector allows the source. Otherwise 404.
pub fn classify<'a>(
    uri: &Uri<'_>,
    flow: &Flow,
    snapshot: &'a Snapshot,
) -> Result<Classified<'a>, Refusal> {
    let host = uri.host.to_ascii_lowercase();
    if let Some(connector) = snapshot.connector_by_host(&host) {
        return Ok(Classified::Termination(connector.clone()));
    }
    if let Some(carrier) = snapshot.carrier_of(flow) {
        return Ok(Classified::Origination(carrier));
    }
    let address = flow.remote.ip().to_canonical();
    let is_ours = uri.scheme == Scheme::Tel || snapshot.own_hosts.contains(host.as_str());
    if is_ours && let Some(connector) = snapshot.only_connector_by_source(address) {
        return Ok(Classified::Termination(connector.clone()));
    }
    Err(Cause::NoVoiceConnector.into())
}

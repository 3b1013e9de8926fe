//! The Amazon Chime Voice Connector API, as the `chime` and `chime-sdk-voice` service models define it.
//!
//! One file a family of resources, all of one shape: an operation parses its request into domain types
//! ([`request`]), asks the control plane, and writes the answer from a struct with the model's member
//! names. [`dispatch`] is the table of operations. HTTP and signatures are not known here.

pub mod errors;
pub mod request;
pub mod server;
pub mod sigv4;

mod credentials;
mod inventory;
mod members;
mod orders;
mod origination;
mod phone_numbers;
mod search;
mod termination;
mod voice_connectors;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use crate::config::{AccessKey, NumberPool};
use crate::control::publish::Control;
pub use errors::ApiError;
pub use request::{ApiRequest, ApiResponse};

/// What the API answers from.
pub struct ApiState {
    /// The store and the publisher.
    pub control: Arc<Control>,
    /// The numbers that may be searched and ordered.
    pub number_pools: Vec<NumberPool>,
    /// Who may call.
    pub access_keys: Vec<AccessKey>,
    /// The clock.
    pub now: fn() -> jiff::Timestamp,
    /// What the node says of itself.
    pub status: Box<dyn Fn() -> serde_json::Value + Send + Sync>,
}

/// Performs the operation that the request's method, path and query name.
///
/// # Errors
///
/// The exceptions that the operation's model declares, and [`ApiError::UnknownOperation`].
pub async fn dispatch(state: &ApiState, request: ApiRequest<'_>) -> Result<ApiResponse, ApiError> {
    let path: Vec<&str> = request.segments.iter().map(String::as_str).collect();
    let operation = request.query_value("operation");
    let (s, r) = (state, &request);
    match (request.method.as_str(), path.as_slice(), operation) {
        ("POST", ["voice-connectors"], None) => voice_connectors::create(s, r).await,
        ("GET", ["voice-connectors"], None) => voice_connectors::list(s, r).await,
        ("GET", ["voice-connectors", id], None) => voice_connectors::get(s, r, id).await,
        ("PUT", ["voice-connectors", id], None) => voice_connectors::update(s, r, id).await,
        ("DELETE", ["voice-connectors", id], None) => voice_connectors::delete(s, r, id).await,

        ("POST", ["voice-connectors", id], Some("associate-phone-numbers")) => {
            phone_numbers::associate(s, r, id).await
        }
        ("POST", ["voice-connectors", id], Some("disassociate-phone-numbers")) => {
            phone_numbers::disassociate(s, r, id).await
        }

        ("PUT", ["voice-connectors", id, "origination"], None) => origination::put(s, r, id).await,
        ("GET", ["voice-connectors", id, "origination"], None) => origination::get(s, r, id).await,
        ("DELETE", ["voice-connectors", id, "origination"], None) => {
            origination::delete(s, r, id).await
        }

        ("PUT", ["voice-connectors", id, "termination"], None) => termination::put(s, r, id).await,
        ("GET", ["voice-connectors", id, "termination"], None) => termination::get(s, r, id).await,
        ("DELETE", ["voice-connectors", id, "termination"], None) => {
            termination::delete(s, r, id).await
        }
        ("GET", ["voice-connectors", id, "termination", "health"], None) => {
            termination::health(s, r, id).await
        }

        ("POST", ["voice-connectors", id, "termination", "credentials"], Some("put")) => {
            credentials::put(s, r, id).await
        }
        ("POST", ["voice-connectors", id, "termination", "credentials"], Some("delete")) => {
            credentials::delete(s, r, id).await
        }
        ("GET", ["voice-connectors", id, "termination", "credentials"], None) => {
            credentials::list(s, r, id).await
        }

        ("GET", ["search"], None) if r.query_value("type") == Some("phone-numbers") => {
            search::available_phone_numbers(s, r).await
        }
        ("POST", ["phone-number-orders"], None) => orders::create(s, r).await,
        ("GET", ["phone-number-orders", id], None) => orders::get(s, r, id).await,
        ("GET", ["phone-numbers"], None) => phone_numbers::list(s, r).await,
        ("GET", ["phone-numbers", id], None) => phone_numbers::get(s, r, id).await,

        _ => Err(unknown_operation(&request)),
    }
}

fn unknown_operation(request: &ApiRequest<'_>) -> ApiError {
    let mut path = format!("/{}", request.segments.join("/"));
    for key in ["operation", "type"] {
        if let Some(value) = request.query_value(key) {
            let separator = if path.contains('?') { '&' } else { '?' };
            path.push(separator);
            path.push_str(&format!("{key}={value}"));
        }
    }
    ApiError::UnknownOperation {
        method: request.method.clone(),
        path,
    }
}

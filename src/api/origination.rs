//! A connector's origination: where calls from the PSTN go.

use std::net::IpAddr;

use serde_json::{Value, json};

use super::ApiState;
use super::errors::{ApiError, BadRequest};
use super::members::connector_id;
use super::model::Input;
use super::request::{ApiRequest, ApiResponse, Member, Members};
use super::workable::over_tcp_where_encrypted;
use crate::store::{OriginationRecord, RouteProtocol, RouteRecord};

const DEFAULT_PORT: u16 = 5060;
const ANOTHER: &str = "another host than this node itself: its calls would come back";
const HOST: &str = "a fully qualified domain name or an IP address";

/// `PutVoiceConnectorOrigination`
pub(super) async fn put(
    state: &ApiState,
    request: &ApiRequest<'_>,
    input: &Input,
) -> Result<ApiResponse, ApiError> {
    let id = connector_id(input.text("VoiceConnectorId"))?;
    let is_own = |host: &str, port| state.control.is_own_place(host, port);
    let asked = origination(&input.members(), state.quotas.origination_routes, &is_own)?;
    let connector = state
        .control
        .store()
        .voice_connector(request.account, id)
        .await?;
    let record = asked.settle(connector.require_encryption);
    over_tcp_where_encrypted("Origination", &record, connector.require_encryption)?;
    state
        .control
        .put_origination(request.account, id, &record)
        .await?;
    respond(&record)
}

/// `GetVoiceConnectorOrigination`
pub(super) async fn get(
    state: &ApiState,
    request: &ApiRequest<'_>,
    id: &str,
) -> Result<ApiResponse, ApiError> {
    let id = connector_id(id)?;
    let record = state
        .control
        .store()
        .origination(request.account, id)
        .await?;
    respond(&record)
}

/// `DeleteVoiceConnectorOrigination`
pub(super) async fn delete(
    state: &ApiState,
    request: &ApiRequest<'_>,
    id: &str,
) -> Result<ApiResponse, ApiError> {
    let id = connector_id(id)?;
    state
        .control
        .delete_origination(request.account, id)
        .await?;
    Ok(ApiResponse::no_content())
}

/// Origination as asked for: the default of `Protocol` depends on the connector.
pub(super) struct Asked {
    routes: Vec<AskedRoute>,
    disabled: bool,
}

struct AskedRoute {
    host: String,
    port: u16,
    protocol: Option<RouteProtocol>,
    priority: u8,
    weight: u8,
}

impl Asked {
    pub(super) fn settle(self, require_encryption: bool) -> OriginationRecord {
        let protocol = default_protocol(require_encryption);
        let routes = self.routes.into_iter().map(|route| RouteRecord {
            host: route.host,
            port: route.port,
            protocol: route.protocol.unwrap_or(protocol),
            priority: route.priority,
            weight: route.weight,
        });
        OriginationRecord {
            routes: routes.collect(),
            disabled: self.disabled,
        }
    }
}

/// "Encryption-enabled Voice Connectors use TCP protocol by default" (`OriginationRoute`).
fn default_protocol(require_encryption: bool) -> RouteProtocol {
    match require_encryption {
        true => RouteProtocol::Tcp,
        false => RouteProtocol::Udp,
    }
}

/// The `Origination` of these members, with at most so many routes, none to what is this node itself.
pub(super) fn origination(
    members: &Members<'_>,
    most: usize,
    is_own: &dyn Fn(&str, u16) -> bool,
) -> Result<Asked, BadRequest> {
    let members = members.required("Origination")?.members()?;
    let disabled = members
        .optional("Disabled")
        .map(Member::boolean)
        .transpose()?;
    // "You must specify this parameter or Disabled" (`Origination`).
    let routes = match disabled {
        Some(_) => members.optional("Routes"),
        None => Some(members.required("Routes")?),
    };
    let routes = routes.map_or(Ok(Vec::new()), |routes| routes.list(0..=most))?;
    Ok(Asked {
        routes: routes
            .into_iter()
            .map(|member| route(member, is_own))
            .collect::<Result<_, _>>()?,
        disabled: disabled.unwrap_or(false),
    })
}

fn route(route: Member<'_>, is_own: &dyn Fn(&str, u16) -> bool) -> Result<AskedRoute, BadRequest> {
    let members = route.members()?;
    let share = |name: &str| {
        members
            .optional(name)
            .map_or(Ok(1), |share| share.integer(1..=100))
    };
    let port = members
        .optional("Port")
        .map_or(Ok(DEFAULT_PORT), |port| port.integer(0..=65_535))?;
    // The models allow 0, which no host listens on.
    let port = if port == 0 { DEFAULT_PORT } else { port };
    let host = || members.required("Host")?.text();
    host()?.matching(HOST, is_host)?;
    let host = host()?.matching(ANOTHER, |host| !is_own(host, port))?;
    Ok(AskedRoute {
        host: host.to_owned(),
        port,
        protocol: members.optional("Protocol").map(protocol).transpose()?,
        priority: share("Priority")?,
        weight: share("Weight")?,
    })
}

fn protocol(member: Member<'_>) -> Result<RouteProtocol, BadRequest> {
    Ok(match member.text()?.one_of(&["TCP", "UDP"])? {
        "TCP" => RouteProtocol::Tcp,
        _ => RouteProtocol::Udp,
    })
}

/// RFC 1123 §2.1: labels of letters, digits and hyphens; a last label of digits alone is a malformed
/// address.
fn is_host(text: &str) -> bool {
    if text.parse::<IpAddr>().is_ok() {
        return true;
    }
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let ends_in_number = text
        .rsplit('.')
        .next()
        .is_some_and(|label| label.bytes().all(|byte| byte.is_ascii_digit()));
    text.len() <= 253 && !ends_in_number && text.split('.').all(is_label)
}

fn respond(record: &OriginationRecord) -> Result<ApiResponse, ApiError> {
    ApiResponse::json(&json!({"Origination": answered(record)}))
}

/// `Origination`, as it is answered.
pub(super) fn answered(record: &OriginationRecord) -> Value {
    let routes = record.routes.iter().map(|route| {
        json!({
            "Host": route.host,
            "Port": route.port,
            "Protocol": route.protocol,
            "Priority": route.priority,
            "Weight": route.weight,
        })
    });
    json!({"Routes": routes.collect::<Vec<_>>(), "Disabled": record.disabled})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_names_and_addresses() {
        for host in [
            "pbx.example.com",
            "localhost",
            "3com.example",
            "192.0.2.1",
            "2001:db8::1",
        ] {
            assert!(is_host(host), "{host}");
        }
        let long = format!("{}.example", "a".repeat(64));
        for text in [
            "",
            ".",
            "a..b",
            "pbx.example.",
            "-a.example",
            "a-.example",
            "a_b.example",
            "192.0.2.256",
            "192.0.2",
            "pbx.example:5060",
            "sip:pbx.example",
            "a b",
            &long,
        ] {
            assert!(!is_host(text), "{text}");
        }
    }
}

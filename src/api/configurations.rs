//! Configurations of a connector that are documents: one shape for all of them. Each is kept as it was put.

use serde_json::{Map, Value, json};

use super::ApiState;
use super::errors::{ApiError, NotFound};
use super::members::connector_id;
use super::model::Input;
use super::request::{ApiRequest, ApiResponse};
use super::workable;
use crate::store::{Key, Store};

/// One of a connector's configurations.
#[derive(Clone, Copy)]
pub(super) struct Configuration {
    /// The kind of its document.
    kind: &'static str,
    /// The member that an answer has it in.
    member: &'static str,
    /// The members of a request that make it up, and their names in the answer; none where the request has it
    /// in the same member as the answer.
    parts: &'static [(&'static str, &'static str)],
    /// Members that an answer has even where they were not given: they are false then.
    switches: &'static [&'static str],
}

pub(super) const STREAMING: Configuration = Configuration {
    kind: "streaming",
    member: "StreamingConfiguration",
    parts: &[],
    switches: &[],
};

pub(super) const LOGGING: Configuration = Configuration {
    kind: "logging",
    member: "LoggingConfiguration",
    parts: &[],
    switches: &[],
};

pub(super) const EMERGENCY: Configuration = Configuration {
    kind: Store::EMERGENCY,
    member: "EmergencyCallingConfiguration",
    parts: &[],
    switches: &[],
};

pub(super) const EXTERNAL_SYSTEMS: Configuration = Configuration {
    kind: "external-systems",
    member: "ExternalSystemsConfiguration",
    parts: &[
        (
            "SessionBorderControllerTypes",
            "SessionBorderControllerTypes",
        ),
        ("ContactCenterSystemTypes", "ContactCenterSystemTypes"),
    ],
    switches: &[],
};

pub(super) const PROXY: Configuration = Configuration {
    kind: Store::PROXY,
    member: "Proxy",
    parts: &[
        ("DefaultSessionExpiryMinutes", "DefaultSessionExpiryMinutes"),
        ("Disabled", "Disabled"),
        ("FallBackPhoneNumber", "FallBackPhoneNumber"),
        ("PhoneNumberPoolCountries", "PhoneNumberCountries"),
    ],
    // As in the sample answer of `PutVoiceConnectorProxy`.
    switches: &["Disabled"],
};

/// Every configuration; they go with their connector.
pub(super) const ALL: [Configuration; 5] = [STREAMING, LOGGING, EMERGENCY, EXTERNAL_SYSTEMS, PROXY];

impl Configuration {
    /// The kind of its document.
    pub(super) fn kind(self) -> &'static str {
        self.kind
    }

    /// The member that an answer has it in.
    pub(super) fn member(self) -> &'static str {
        self.member
    }

    fn key<'a>(self, request: &'a ApiRequest<'_>, input: &'a Input) -> Key<'a> {
        Key {
            kind: self.kind,
            account: request.account,
            id: input.text("VoiceConnectorId"),
        }
    }

    /// Puts it.
    pub(super) async fn put(
        self,
        state: &ApiState,
        request: &ApiRequest<'_>,
        input: &Input,
    ) -> Result<ApiResponse, ApiError> {
        let connector = connector_id(input.text("VoiceConnectorId"))?;
        let body = match self.parts {
            [] => input.value(self.member).cloned().unwrap_or_default(),
            parts => {
                let there = parts.iter().filter_map(|(asked, answered)| {
                    Some(((*answered).to_owned(), input.value(asked)?.clone()))
                });
                Value::Object(there.collect::<Map<String, Value>>())
            }
        };
        let key = self.key(request, input);
        let writing = state.control.hold_writes().await;
        match self.kind {
            Store::PROXY => {
                // Of a connector that is not there nothing else is wrong.
                existing(state, request, input).await?;
                workable::proxy_of(state, request, input, &body).await?;
            }
            Store::EMERGENCY => workable::emergency(self.member, &body)?,
            _ => {}
        }
        let put = state
            .control
            .put_configuration(&writing, key, connector, &body, (state.now)())
            .await?;
        self.respond(&put.body)
    }

    /// Answers it.
    pub(super) async fn get(
        self,
        state: &ApiState,
        request: &ApiRequest<'_>,
        input: &Input,
    ) -> Result<ApiResponse, ApiError> {
        existing(state, request, input).await?;
        let document = state
            .control
            .store()
            .document(self.key(request, input))
            .await?;
        match document {
            Some(document) => self.respond(&document.body),
            None => Err(NotFound::Configuration(self.kind).into()),
        }
    }

    /// Takes it away; what was never put is no error.
    pub(super) async fn delete(
        self,
        state: &ApiState,
        request: &ApiRequest<'_>,
        input: &Input,
    ) -> Result<ApiResponse, ApiError> {
        let connector = connector_id(input.text("VoiceConnectorId"))?;
        let key = self.key(request, input);
        state.control.delete_configuration(key, connector).await?;
        Ok(ApiResponse::no_content())
    }

    fn respond(self, body: &Value) -> Result<ApiResponse, ApiError> {
        let mut body = body.clone();
        if let Some(members) = body.as_object_mut() {
            for switch in self.switches {
                members.entry(*switch).or_insert(Value::Bool(false));
            }
        }
        ApiResponse::json(&json!({ self.member: body }))
    }
}

/// The id of the connector that the request is about, which has to be one of the account's.
pub(super) async fn existing(
    state: &ApiState,
    request: &ApiRequest<'_>,
    input: &Input,
) -> Result<String, ApiError> {
    let id = connector_id(input.text("VoiceConnectorId"))?;
    state
        .control
        .store()
        .voice_connector(request.account, id)
        .await?;
    Ok(id.to_string())
}

//! The SIP credentials of a connector's termination. No password is ever answered, logged or echoed.

use serde::Serialize;

use super::ApiState;
use super::errors::{ApiError, BadRequest};
use super::members::connector_id;
use super::model::Input;
use super::request::{ApiRequest, ApiResponse, Member};
use crate::config::Secret;

/// User names of one deletion.
const USERNAMES_MAX: usize = 1_000;
const LENGTH_MAX: usize = 256;
pub(super) const USERNAME: &str =
    "1 to 256 US-ASCII characters without control characters, colons and double quotes";
pub(super) const PASSWORD: &str = "1 to 256 US-ASCII characters without control characters";

/// `PutVoiceConnectorTerminationCredentials`
pub(super) async fn put(
    state: &ApiState,
    request: &ApiRequest<'_>,
    input: &Input,
) -> Result<ApiResponse, ApiError> {
    let id = connector_id(input.text("VoiceConnectorId"))?;
    let most = state.quotas.termination_credentials;
    let credentials = credentials(input, most)?;
    state
        .control
        .put_credentials(request.account, id, &credentials, most)
        .await?;
    Ok(ApiResponse::no_content())
}

/// `ListVoiceConnectorTerminationCredentials`
pub(super) async fn list(
    state: &ApiState,
    request: &ApiRequest<'_>,
    id: &str,
) -> Result<ApiResponse, ApiError> {
    let id = connector_id(id)?;
    let output = ListOutput {
        usernames: state
            .control
            .store()
            .credential_usernames(request.account, id)
            .await?,
    };
    ApiResponse::json(&output)
}

/// `DeleteVoiceConnectorTerminationCredentials`
pub(super) async fn delete(
    state: &ApiState,
    request: &ApiRequest<'_>,
    input: &Input,
) -> Result<ApiResponse, ApiError> {
    let id = connector_id(input.text("VoiceConnectorId"))?;
    let usernames = usernames(input)?;
    state
        .control
        .delete_credentials(request.account, id, &usernames)
        .await?;
    Ok(ApiResponse::no_content())
}

fn credentials(input: &Input, most: usize) -> Result<Vec<(String, Secret)>, BadRequest> {
    let credentials = input.members().required("Credentials")?;
    credentials
        .list(1..=most)?
        .into_iter()
        .map(credential)
        .collect()
}

fn credential(member: Member<'_>) -> Result<(String, Secret), BadRequest> {
    let members = member.members()?;
    let username = members
        .required("Username")?
        .text()?
        .matching(USERNAME, is_username)?;
    let password = members
        .required("Password")?
        .text()?
        .matching(PASSWORD, is_password)?;
    Ok((username.to_owned(), Secret(password.to_owned())))
}

fn usernames(input: &Input) -> Result<Vec<String>, BadRequest> {
    let usernames = input.members().required("Usernames")?;
    usernames
        .list(1..=USERNAMES_MAX)?
        .into_iter()
        .map(|username| Ok(username.text()?.as_str().to_owned()))
        .collect()
}

/// RFC 2617 §2: the user name ends at a colon; §3.2.2: it is a quoted string.
pub(super) fn is_username(text: &str) -> bool {
    is_printable(text) && !text.contains([':', '"'])
}

pub(super) fn is_password(text: &str) -> bool {
    is_printable(text)
}

fn is_printable(text: &str) -> bool {
    (1..=LENGTH_MAX).contains(&text.len()) && text.bytes().all(|byte| (b' '..=b'~').contains(&byte))
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ListOutput {
    usernames: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_names_and_passwords_are_printable_ascii() {
        assert!(is_username("pbx 1"));
        assert!(is_printable("a:b\"c"));
        for text in ["", "a\n", "a\u{7f}", "é", &"a".repeat(257)] {
            assert!(!is_username(text) && !is_printable(text), "{text:?}");
        }
        assert!(!is_username("a:b"));
        assert!(!is_username("a\"b"));
    }
}

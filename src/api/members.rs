//! The members that several operations have.

use jiff::Timestamp;

use super::ApiState;
use super::errors::{ApiError, BadRequest, Expected, NotFound};
use super::model::{Input, Range};
use super::request::{ApiRequest, Member};
use crate::connector_id::VoiceConnectorId;
use crate::numbering::E164;
use crate::store::StoreError;

/// A full page, as `ResultMax` has it.
const RESULTS_MAX: u32 = 100;

/// `MaxResults`, or a full page.
pub(super) fn page_length(input: &Input) -> u32 {
    let most = input.integer("MaxResults");
    most.and_then(|most| u32::try_from(most).ok())
        .unwrap_or(RESULTS_MAX)
}

/// `NextToken`; the store knows what it means.
pub(super) fn next_token(input: &Input) -> Option<&str> {
    input.text_if_any("NextToken")
}

/// The id of a path. What cannot be an id is an id that nobody has.
pub(super) fn connector_id(text: &str) -> Result<VoiceConnectorId, ApiError> {
    text.parse()
        .map_err(|_| NotFound::VoiceConnector(text.to_owned()).into())
}

/// The numbers of an `E164PhoneNumberList`, each with its path; the models give no limits.
pub(super) fn e164_list(
    input: &Input,
    member: &str,
    length: Range,
) -> Result<Vec<(String, E164)>, BadRequest> {
    few(member, input.list(member).len(), length)?;
    let numbers = input.texts(member).enumerate();
    numbers
        .map(|(index, text)| {
            let path = format!("{member}[{index}]");
            match text.parse() {
                Ok(number) => Ok((path, number)),
                Err(_) => Err(invalid(path, "an E.164 number")),
            }
        })
        .collect()
}

/// Refuses a list that is too long or too short where the models give no limit.
pub(super) fn few(member: &str, count: usize, length: Range) -> Result<(), BadRequest> {
    if length.contains(i64::try_from(count).unwrap_or(i64::MAX)) {
        return Ok(());
    }
    Err(BadRequest::Invalid {
        member: member.to_owned(),
        expected: Expected::Elements(length),
    })
}

/// `E164PhoneNumber`
pub(super) fn e164(member: Member<'_>) -> Result<E164, BadRequest> {
    member
        .text()?
        .parsed("an E.164 number: an optional + and 2 to 15 digits, the first not 0")
}

/// `Iso8601Timestamp`, in milliseconds: not all SDKs read more digits.
pub(super) fn iso8601(time: Timestamp) -> String {
    format!("{time:.3}")
}

/// A member that is not what was expected.
pub(super) fn invalid(member: impl Into<String>, expected: &'static str) -> BadRequest {
    BadRequest::Invalid {
        member: member.into(),
        expected: Expected::Form(expected),
    }
}

/// The number of a member, which has to be one of the account's.
pub(super) async fn own_number(
    state: &ApiState,
    request: &ApiRequest<'_>,
    input: &Input,
    member: &str,
) -> Result<E164, ApiError> {
    let number: E164 = input
        .text(member)
        .parse()
        .map_err(|_| invalid(member, "an E.164 number"))?;
    match state
        .control
        .store()
        .phone_number(request.account, number)
        .await
    {
        Ok(record) if record.deleted.is_none() => Ok(record.number),
        Ok(_) | Err(StoreError::UnknownNumber(_)) => Err(invalid(
            member,
            "a phone number of the account: order it with CreatePhoneNumberOrder first",
        )
        .into()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_are_utc_with_milliseconds() {
        let time = Timestamp::new(1_700_000_000, 123_456_789).unwrap();
        assert_eq!(iso8601(time), "2023-11-14T22:13:20.123Z");
    }

    #[test]
    fn a_malformed_connector_id_is_not_found() {
        assert_eq!(
            connector_id("X").unwrap_err().message(),
            "Could not find VoiceConnector with Id 'X'"
        );
    }
}

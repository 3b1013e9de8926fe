//! The API's side of declared resources: they are not written through it.

use serde_json::Value;

use super::Owners;
use crate::api::errors::{ApiError, Conflict};
use crate::api::model::{Input, Operation};
use crate::api::phone_numbers::number_of_id;
use crate::store::Resource;

impl Owners {
    /// Refuses a request that would write what a file declares: the connector itself, its configurations, credentials
    /// and tags; but not its proxy sessions, which nobody declares, and the association of numbers, which is the
    /// numbers'.
    pub(in crate::api) fn refuse(
        &self,
        operation: &Operation,
        account: &str,
        input: &Input,
    ) -> Result<(), ApiError> {
        for resource in written(operation.name, input) {
            let owner = self.0.get(&resource);
            if let Some(owner) = owner.filter(|owner| owner.account == account) {
                return Err(Conflict::Declared {
                    resource,
                    file: owner.file.display().to_string(),
                }
                .into());
            }
        }
        Ok(())
    }
}

/// What a request would write, as far as files could declare it.
fn written(operation: &str, input: &Input) -> Vec<Resource> {
    let mut written = Vec::new();
    let is_of_holder = operation.contains("ProxySession") || operation.contains("PhoneNumbers");
    if !is_of_holder {
        let connector = input.text_if_any("VoiceConnectorId");
        let connector = connector.and_then(|id| id.parse().ok());
        written.extend(connector.map(Resource::VoiceConnector));
        let group = input.text_if_any("VoiceConnectorGroupId");
        let group = group.and_then(|id| id.parse().ok());
        written.extend(group.map(Resource::VoiceConnectorGroup));
    }
    // A call that an application places does not write it.
    if !operation.contains("SipMediaApplicationCall") {
        let application = input.text_if_any("SipMediaApplicationId");
        written.extend(application.map(|id| Resource::SipMediaApplication(id.to_owned())));
    }
    let rule = input.text_if_any("SipRuleId");
    written.extend(rule.map(|id| Resource::SipRule(id.to_owned())));
    written.extend(input.text_if_any("ResourceARN").and_then(tagged));
    written.extend(numbers(operation, input));
    written
}

/// The resource of an ARN that has tags.
fn tagged(arn: &str) -> Option<Resource> {
    let (_, name) = arn.rsplit_once(':')?;
    match name.split_once('/')? {
        ("vc", id) => id.parse().ok().map(Resource::VoiceConnector),
        ("sma", id) => Some(Resource::SipMediaApplication(id.to_owned())),
        (_, _) => None,
    }
}

/// The numbers that a request would write. An order takes only numbers that nobody has.
fn numbers<'i>(operation: &str, input: &'i Input) -> impl Iterator<Item = Resource> + use<'i> {
    let is_order = operation == "CreatePhoneNumberOrder";
    let items = input.list("UpdatePhoneNumberRequestItems").iter();
    let items = items.filter_map(|item| item.get("PhoneNumberId").and_then(Value::as_str));
    let named = input.texts("E164PhoneNumbers").filter(move |_| !is_order);
    input
        .text_if_any("PhoneNumberId")
        .into_iter()
        .chain(input.texts("PhoneNumberIds"))
        .chain(items)
        .chain(named)
        .chain(input.text_if_any("E164PhoneNumber"))
        .filter_map(|id| number_of_id(id).ok())
        .map(Resource::PhoneNumber)
}

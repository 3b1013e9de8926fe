//! What the caller reads of a refusal: what is wrong, where, and what to do about it.

use std::fmt;

use super::{BadRequest, Conflict, Expected, NotFound};
use crate::store::{Holder, NumberProblem};

impl fmt::Display for BadRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotJson { line, column } => {
                write!(f, "The body is not JSON (line {line}, column {column})")
            }
            Self::NotAnObject => f.write_str("The body is not a JSON object"),
            Self::Missing { member } => write!(f, "{member} is required"),
            Self::Invalid { member, expected } => write!(f, "{member}: expected {expected}"),
            Self::NumberInNoPool { member, number } => write!(
                f,
                "{member}: {number} is in no number pool of this node; pools are declared as \
                 [[number_pool]] in the config"
            ),
            Self::TooManyCredentials { most } => write!(
                f,
                "Credentials: a VoiceConnector has at most {most}; delete some with \
                 DeleteVoiceConnectorTerminationCredentials first"
            ),
            Self::InvalidToken => {
                f.write_str("NextToken: expected the NextToken of an earlier answer")
            }
            Self::NoApplicationCalls => f.write_str(
                "SIP media applications place no calls on this node: it invokes no AWS Lambda functions",
            ),
            Self::ProxyDisabled => f.write_str(
                "The VoiceConnector's proxy is disabled; enable it with PutVoiceConnectorProxy first",
            ),
            Self::EmergencyConfigured => f.write_str(
                "The VoiceConnector has an emergency calling configuration, which needs termination and origination; \
                 delete it with DeleteVoiceConnectorEmergencyCallingConfiguration first",
            ),
            Self::ProxySessionClosed => {
                f.write_str("The ProxySession is Closed; create another with CreateProxySession")
            }
            Self::NoProxyNumber { member } => write!(
                f,
                "{member}: no phone number of the VoiceConnector that the proxy's countries allow is free for \
                 this participant; associate more, or delete proxy sessions"
            ),
            Self::OneProperty { within } => write!(
                f,
                "Expected one of {within}ProductType, {within}CallingName and {within}Name: one property is \
                 updated at a time"
            ),
            Self::PhoneNumber { number, problem } => {
                write!(f, "{number}: {}", said(problem))
            }
            Self::CallingNameUpdated { again } => write!(
                f,
                "CallingName: the default calling name is updated once in seven days, from {again} on again"
            ),
            Self::NumberTaken { number } => write!(
                f,
                "{number} is associated already; disassociate it from its VoiceConnector, group or user first"
            ),
            Self::UnknownMeeting => f.write_str(
                "MeetingId: no meeting is held on this node, so nobody can be called into one",
            ),
            Self::NulInText => f.write_str("a text has a NUL character (U+0000); send it without"),
        }
    }
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Object => f.write_str("an object"),
            Self::List { fewest, most } => write!(f, "a list of {fewest} to {most} elements"),
            Self::String => f.write_str("a string"),
            Self::Boolean => f.write_str("true or false"),
            Self::Integer { least, most } => write!(f, "an integer from {least} to {most}"),
            Self::Array => f.write_str("a list"),
            Self::Elements(length) => write!(f, "a list of {}", length.of("elements")),
            Self::Entries(length) => write!(f, "an object with {}", length.of("members")),
            Self::Characters(length) => write!(f, "a string of {}", length.of("characters")),
            Self::Whole(range) => match (range.least, range.most) {
                (Some(least), Some(most)) => write!(f, "an integer from {least} to {most}"),
                (_, _) => f.write_str(&range.of("an integer")),
            },
            Self::Time => f.write_str("a time in ISO 8601"),
            Self::OneOf(values) => write!(f, "one of {}", values.join(", ")),
            Self::Form(form) => f.write_str(form),
        }
    }
}

impl fmt::Display for NotFound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::VoiceConnector(id) => write!(f, "Could not find VoiceConnector with Id '{id}'"),
            Self::Configuration(name) => {
                write!(f, "The VoiceConnector has no {name} configuration")
            }
            Self::PhoneNumber(id) => write!(f, "Could not find PhoneNumber with Id '{id}'"),
            Self::PhoneNumberOrder => f.write_str("Could not find PhoneNumberOrder with this Id"),
            Self::Resource { kind, id } => write!(f, "Could not find {kind} with Id '{id}'"),
            Self::ProxySession => f.write_str("Could not find ProxySession with this Id"),
            Self::User(user) => write!(
                f,
                "Could not find User '{user}': the users of a node are its config's api.users"
            ),
            Self::ApplicationLogging => {
                f.write_str("The SipMediaApplication has no logging configuration")
            }
            Self::VoiceConnectorGroup(id) => {
                write!(f, "Could not find VoiceConnectorGroup with Id '{id}'")
            }
        }
    }
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Declared { resource, file } => write!(
                f,
                "{resource} is declared in {file}: change it there, and reload the node (SIGHUP)"
            ),
            Self::NumbersAssociated(count) => write!(
                f,
                "The VoiceConnector has {count} associated phone number{}; disassociate with \
                 DisassociatePhoneNumbersFromVoiceConnector first",
                plural(*count)
            ),
            Self::ConnectorInRule { rule } => write!(
                f,
                "The SipRule with Id '{rule}' is triggered by the VoiceConnector's OutboundHostName; delete it with \
                 DeleteSipRule first"
            ),
            Self::ConnectorInGroup { id, name } => write!(
                f,
                "The VoiceConnector is in the VoiceConnectorGroup '{name}' with Id '{id}'; take it out with \
                 UpdateVoiceConnectorGroup first"
            ),
            Self::GroupHasNumbers(count) => write!(
                f,
                "The VoiceConnectorGroup has {count} associated phone number{}; disassociate with \
                 DisassociatePhoneNumbersFromVoiceConnectorGroup first",
                plural(*count)
            ),
            Self::GroupHasConnectors(count) => write!(
                f,
                "The VoiceConnectorGroup has {count} VoiceConnector{}; take them out with \
                 UpdateVoiceConnectorGroup first",
                plural(*count)
            ),
            Self::PhoneNumber { number, problem } => write!(f, "{number}: {}", said(problem)),
            Self::EmergencyConfiguration => f.write_str(
                "The VoiceConnector has an emergency calling configuration; delete it with \
                 DeleteVoiceConnectorEmergencyCallingConfiguration first",
            ),
            Self::TargetOfRule { rule } => write!(
                f,
                "The SIP rule {rule} targets the SipMediaApplication; change it with UpdateSipRule or delete it with \
                 DeleteSipRule first"
            ),
            Self::TriggerTaken { rule } => write!(
                f,
                "The SIP rule {rule} has this TriggerType and TriggerValue; a trigger has one rule"
            ),
            Self::RuleEnabled { rule } => write!(
                f,
                "The SIP rule {rule} is enabled; disable it with UpdateSipRule first"
            ),
        }
    }
}

fn plural(count: u64) -> &'static str {
    if count == 1 { "" } else { "s" }
}

/// What cannot be done with a number, and what to do about it.
pub(in crate::api) fn said(problem: &NumberProblem) -> String {
    let fixed = match problem {
        NumberProblem::NotInInventory => "The account has no such phone number: order it first",
        NumberProblem::AssociatedElsewhere => {
            "The phone number is associated with another VoiceConnector, VoiceConnectorGroup or user: set \
             ForceAssociate to move it"
        }
        NumberProblem::NotAssociated => {
            "The phone number is not associated with this VoiceConnector or VoiceConnectorGroup"
        }
        NumberProblem::Associated(Holder::VoiceConnector(id)) => {
            return format!(
                "The phone number is associated with the VoiceConnector '{id}'; disassociate it with \
                 DisassociatePhoneNumbersFromVoiceConnector first"
            );
        }
        NumberProblem::DefaultOf(id) => {
            return format!(
                "The phone number is the DefaultPhoneNumber of the VoiceConnector '{id}'; put a termination without \
                 it with PutVoiceConnectorTermination first"
            );
        }
        NumberProblem::TriggerOf(rule) => {
            return format!(
                "The SipRule with Id '{rule}' is triggered by the phone number; delete it with DeleteSipRule first"
            );
        }
        NumberProblem::Associated(Holder::User(user)) => {
            return format!(
                "The phone number is associated with User '{user}'; disassociate it with \
                 DisassociatePhoneNumberFromUser first"
            );
        }
        NumberProblem::Associated(Holder::VoiceConnectorGroup(id)) => {
            return format!(
                "The phone number is associated with the VoiceConnectorGroup '{id}'; disassociate it with \
                 DisassociatePhoneNumbersFromVoiceConnectorGroup first"
            );
        }
        NumberProblem::OtherProductType => {
            "The phone number's ProductType is not VoiceConnector: change it with UpdatePhoneNumber first"
        }
        NumberProblem::InDeletionQueue => {
            "The phone number is in the deletion queue: restore it with RestorePhoneNumber first"
        }
        NumberProblem::NotInDeletionQueue => "The phone number is not in the deletion queue",
    };
    fixed.to_owned()
}

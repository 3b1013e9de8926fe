//! What holds for the calls of customers to the PSTN besides what the API says: limits, classes, prefixes, and how
//! numbers are dialled.

use std::collections::HashMap;
use std::sync::Arc;

use crate::connector_id::VoiceConnectorId;

/// `[termination]` and every `[[termination.connector]]`.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct TerminationPolicies {
    /// For every connector that has none of its own.
    pub node: Arc<TerminationPolicy>,
    /// Of the connectors that have a section: the node's, with what the section says.
    pub connectors: HashMap<VoiceConnectorId, Arc<TerminationPolicy>>,
}

impl TerminationPolicies {
    /// What holds for a connector's calls.
    pub fn policy_of(&self, connector: VoiceConnectorId) -> &Arc<TerminationPolicy> {
        self.connectors.get(&connector).unwrap_or(&self.node)
    }
}

/// What holds for the calls of a connector's customer.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct TerminationPolicy {
    /// Calls at once; 0 for no limit.
    pub concurrent_calls: u32,
    /// Calls an hour.
    pub spending: SpendingLimits,
    /// Premium-rate numbers may be called.
    pub premium_rate: bool,
    /// Satellite networks may be called.
    pub satellite: bool,
    /// First digits that a number must have some of, without `+`; empty for all numbers.
    pub allow_prefixes: Vec<String>,
    /// First digits that a number must have none of, without `+`.
    pub deny_prefixes: Vec<String>,
    /// How the customer's hosts dial.
    pub dialling: CustomerDialling,
}

/// The spending guard's limits; they hold for an hour of the clock.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SpendingLimits {
    /// Calls an hour; 0 for no limit.
    pub calls_per_hour: u32,
    /// Calls an hour to any one country; 0 for no limit.
    pub calls_per_hour_to_country: u32,
    /// The share of a limit at which an alert is told, 1 to 100.
    pub alert_percent: u32,
}

impl Default for SpendingLimits {
    fn default() -> Self {
        Self {
            calls_per_hour: 0,
            calls_per_hour_to_country: 0,
            alert_percent: 80,
        }
    }
}

/// How the numbers look that a customer's hosts dial. One that begins with `+` is E.164 always.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct CustomerDialling {
    /// Digits of the customer's own country code.
    pub country_code: Option<String>,
    /// What an international number may begin with, digits.
    pub international_prefixes: Vec<String>,
    /// What a national number begins with; empty where that is nothing.
    pub national_prefix: String,
    /// What digits are that begin with none of these.
    pub digits: PlainDigits,
}

impl CustomerDialling {
    /// Whether some numbers are national ones.
    pub(super) fn needs_country_code(&self) -> bool {
        let is_plain = match self.digits {
            PlainDigits::National => true,
            PlainDigits::Refuse | PlainDigits::E164 => false,
        };
        is_plain || !self.national_prefix.is_empty()
    }
}

/// `digits`: what a number without any prefix is.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum PlainDigits {
    /// Nothing that is called: nobody knows whether `2025550123` is in Washington or in Cairo.
    #[default]
    Refuse,
    /// An E.164 number without its `+`.
    E164,
    /// A national number without its prefix.
    National,
}

//! What holds for the calls of customers to the PSTN besides what the API says: limits, classes, prefixes, and how
//! numbers are dialled.

use std::collections::HashMap;
use std::sync::Arc;

use crate::connector_id::VoiceConnectorId;
use crate::numbering::PrefixSet;
use crate::numbering::dialling::DiallingRules;

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
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TerminationPolicy {
    /// Calls at once; 0 for no limit.
    pub concurrent_calls: u32,
    /// Calls an hour.
    pub spending: SpendingLimits,
    /// Premium-rate numbers may be called.
    pub premium_rate: bool,
    /// Satellite networks may be called.
    pub satellite: bool,
    /// First digits of which a number must have some; empty for all numbers.
    pub allow_prefixes: PrefixSet,
    /// First digits of which a number must have none, unless longer ones of `allow_prefixes` fit it.
    pub deny_prefixes: PrefixSet,
    /// How the customer's hosts dial.
    pub dialling: DiallingRules,
}

impl Default for TerminationPolicy {
    fn default() -> Self {
        Self {
            concurrent_calls: 0,
            spending: SpendingLimits::default(),
            premium_rate: false,
            satellite: false,
            allow_prefixes: PrefixSet::default(),
            deny_prefixes: PrefixSet::default(),
            dialling: DiallingRules::customer(),
        }
    }
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

//! `[termination]` and `[[termination.connector]]`.

use std::sync::Arc;

use toml::Spanned;

use super::{Placed, Section, Settler};
use crate::config::problem::Problem;
use crate::config::{SpendingLimits, TerminationPolicies, TerminationPolicy, value, written};
use crate::connector_id::VoiceConnectorId;
use crate::numbering::PrefixSet;

impl Settler<'_> {
    pub(super) fn termination(
        &mut self,
        written: Option<Spanned<written::Termination>>,
    ) -> Option<TerminationPolicies> {
        let (section, mut termination) = self.open("termination", written);
        let connectors = std::mem::take(&mut termination.connector);
        let node = self.termination_policy(
            &section,
            termination.policy(),
            &TerminationPolicy::default(),
        );
        // What the node's section has wrong is told once; a connector's is looked at all the same.
        let fallback = node.clone().unwrap_or_default();
        let mut policies = TerminationPolicies::default();
        let mut ids: Vec<Placed<VoiceConnectorId>> = Vec::new();
        for (section, mut connector) in self.open_each(&section.key("connector"), connectors) {
            let id = std::mem::take(&mut connector.id);
            let id = self.required(
                &section,
                "id",
                id,
                value::CONNECTOR_ID,
                value::voice_connector_id,
            );
            let policy = self.termination_policy(&section, connector.policy(), &fallback);
            let (Some(id), Some(policy)) = (id, policy) else {
                continue;
            };
            if let Some(first) = ids.iter().find(|first| first.value == id.value) {
                let problem = Problem::Duplicate {
                    what: "voice connector id",
                    first: first.line,
                };
                self.errors.push(id.refused(problem));
            }
            policies.connectors.insert(id.value, Arc::new(policy));
            ids.push(id);
        }
        policies.node = Arc::new(node?);
        Some(policies)
    }

    /// The keys of one section; what it does not say is as in `default`.
    fn termination_policy(
        &mut self,
        section: &Section,
        keys: written::TerminationPolicy,
        default: &TerminationPolicy,
    ) -> Option<TerminationPolicy> {
        let concurrent_calls = self.number(
            section,
            "concurrent_calls",
            keys.concurrent_calls,
            0..=1_000_000,
            default.concurrent_calls,
        );
        let mut hourly =
            |name, written, default| self.number(section, name, written, 0..=10_000_000, default);
        let calls_per_hour = hourly(
            "calls_per_hour",
            keys.calls_per_hour,
            default.spending.calls_per_hour,
        );
        let calls_per_hour_to_country = hourly(
            "calls_per_hour_to_country",
            keys.calls_per_hour_to_country,
            default.spending.calls_per_hour_to_country,
        );
        let alert_percent = self.number(
            section,
            "alert_percent",
            keys.alert_percent,
            1..=100,
            default.spending.alert_percent,
        );
        let mut class = |name, written, default| {
            self.optional(section, name, written, default, value::is_allowed)
        };
        let premium_rate = class("premium_rate", keys.premium_rate, default.premium_rate);
        let satellite = class("satellite", keys.satellite, default.satellite);
        let mut prefixes = |name, written: Option<_>, default: &PrefixSet| match written {
            Some(_) => {
                let read = self.values(section, name, written, value::prefix);
                read.into_iter().map(|prefix| prefix.value).collect()
            }
            None => default.clone(),
        };
        let allow_prefixes = prefixes(
            "allow_prefixes",
            keys.allow_prefixes,
            &default.allow_prefixes,
        );
        let deny_prefixes = prefixes("deny_prefixes", keys.deny_prefixes, &default.deny_prefixes);
        let dialling = self.dialling(section, keys.dialling, &default.dialling);
        let dialling = dialling.and_then(|parts| self.dialling_rules(section, parts));
        Some(TerminationPolicy {
            concurrent_calls: concurrent_calls?,
            spending: SpendingLimits {
                calls_per_hour: calls_per_hour?,
                calls_per_hour_to_country: calls_per_hour_to_country?,
                alert_percent: alert_percent?,
            },
            premium_rate: premium_rate?.value,
            satellite: satellite?.value,
            allow_prefixes,
            deny_prefixes,
            dialling: dialling?,
        })
    }
}

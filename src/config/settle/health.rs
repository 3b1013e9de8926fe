//! `[health]`

use std::time::Duration;

use toml::Spanned;

use super::Settler;
use crate::config::problem::Problem;
use crate::config::{Health, written};

impl Settler<'_> {
    pub(super) fn health(&mut self, written: Option<Spanned<written::Health>>) -> Option<Health> {
        let (section, health) = self.open("health", written);
        let default = Health::default();
        let timeout_line = health
            .timeout_ms
            .as_ref()
            .map_or(section.line, |timeout| self.line(timeout));
        let mut number = |name, written, allowed, default: u64| {
            self.number(&section, name, written, allowed, default)
        };
        let interval = number(
            "interval_s",
            health.interval_s,
            0..=3_600,
            default.interval.as_secs(),
        );
        let down_interval = number(
            "down_interval_s",
            health.down_interval_s,
            1..=3_600,
            default.down_interval.as_secs(),
        );
        let milliseconds = u64::try_from(default.timeout.as_millis()).unwrap_or(u64::MAX);
        let timeout = number("timeout_ms", health.timeout_ms, 100..=32_000, milliseconds);
        let mut count =
            |name, written, default: u8| self.number(&section, name, written, 1..=100, default);
        let down_after = count("down_after", health.down_after, default.down_after);
        let up_after = count("up_after", health.up_after, default.up_after);
        let interval = Duration::from_secs(interval?);
        let down_interval = Duration::from_secs(down_interval?);
        let timeout = Duration::from_millis(timeout?);
        let shortest = match interval.is_zero() {
            true => down_interval,
            false => interval.min(down_interval),
        };
        if timeout > shortest {
            let problem = Problem::PingTimeoutTooLong { shortest };
            self.refuse(section.key("timeout_ms"), timeout_line, problem);
            return None;
        }
        Some(Health {
            interval,
            down_interval,
            timeout,
            down_after: down_after?,
            up_after: up_after?,
        })
    }
}

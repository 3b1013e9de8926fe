//! `[media]`.

use std::ops::RangeInclusive;
use std::time::Duration;

use toml::Spanned;

use super::{Placed, Section, Settler};
use crate::config::problem::Problem;
use crate::config::{Dscp, Media, MediaAddress, SrtpPolicy, Suite, defaults, value, written};

/// `[media]`, with the place that conflicts are told with.
pub(in crate::config) struct PlacedMedia {
    pub(in crate::config) addresses: Vec<MediaAddress>,
    pub(in crate::config) ports: Placed<RangeInclusive<u16>>,
    timeout: Duration,
    dscp: Dscp,
    srtp: SrtpPolicy,
    offer_rtcp_mux: bool,
    latch_anywhere: bool,
    packets_per_second: u16,
}

impl PlacedMedia {
    pub(super) fn settings(self) -> Media {
        Media {
            addresses: self.addresses,
            ports: self.ports.value,
            timeout: self.timeout,
            dscp: self.dscp,
            srtp: self.srtp,
            offer_rtcp_mux: self.offer_rtcp_mux,
            latch_anywhere: self.latch_anywhere,
            packets_per_second: self.packets_per_second,
        }
    }
}

impl Settler<'_> {
    /// `srtp` and `srtp_suites`
    pub(super) fn srtp(
        &mut self,
        section: &Section,
        mode: written::Text,
        suites: Option<Spanned<Vec<Spanned<String>>>>,
    ) -> Option<SrtpPolicy> {
        let usual = SrtpPolicy::default();
        let mode = self.optional(section, "srtp", mode, usual.mode, value::srtp_mode);
        let Some(written) = suites else {
            return Some(SrtpPolicy {
                mode: mode?.value,
                ..usual
            });
        };
        let (key, line) = (section.key("srtp_suites"), self.line(&written));
        let errors_before = self.errors.len();
        let placed = self.values(
            section,
            "srtp_suites",
            Some(written.into_inner()),
            value::suite,
        );
        let mut suites: Vec<Suite> = Vec::new();
        for suite in &placed {
            let mut before = placed.iter().take(suites.len());
            if let Some(first) = before.find(|first| first.value == suite.value) {
                let (what, first) = ("suite", first.line);
                self.errors
                    .push(suite.refused(Problem::Duplicate { what, first }));
            }
            suites.push(suite.value);
        }
        if suites.is_empty() && self.errors.len() == errors_before {
            let expected = "at least one suite; srtp = \"off\" does without";
            self.refuse(key, line, Problem::Empty { expected });
        }
        (self.errors.len() == errors_before).then_some(SrtpPolicy {
            mode: mode?.value,
            suites: suites.into(),
        })
    }

    pub(super) fn media(
        &mut self,
        written: Option<Spanned<written::Media>>,
    ) -> Option<PlacedMedia> {
        let (section, media) = self.open("media", written);
        let ports = self.optional(
            &section,
            "ports",
            media.ports,
            defaults::MEDIA_PORTS,
            value::ports,
        );
        let timeout = self.number(
            &section,
            "timeout_s",
            media.timeout_s,
            1..=86_400,
            defaults::MEDIA_TIMEOUT.as_secs(),
        );
        let most = i64::from(Dscp::MAX);
        let dscp = self.number(&section, "dscp", media.dscp, 0..=most, defaults::MEDIA_DSCP);
        let bind = match media.bind {
            Some(bind) => self.addresses(&section, "bind", bind, value::address)?,
            None => Placed {
                value: vec![defaults::MEDIA_ADDRESS],
                key: section.key("bind"),
                line: section.line,
            },
        };
        let advertise = match media.advertise {
            Some(advertise) => {
                Some(self.addresses(&section, "advertise", advertise, value::address)?)
            }
            None => None,
        };
        let pairs = self.pairs(&bind, advertise.as_ref())?;
        let srtp = self.srtp(&section, media.srtp, media.srtp_suites);
        let latch = self.optional(&section, "latch", media.latch, false, value::latch);
        let packets_per_second = self.number(
            &section,
            "packets_per_second",
            media.packets_per_second,
            50..=10_000,
            defaults::MEDIA_PACKETS_PER_SECOND,
        );
        Some(PlacedMedia {
            srtp: srtp?,
            offer_rtcp_mux: media.offer_rtcp_mux.unwrap_or(false),
            latch_anywhere: latch?.value,
            packets_per_second: packets_per_second?,
            addresses: pairs
                .into_iter()
                .map(|(bind, advertise)| MediaAddress { bind, advertise })
                .collect(),
            ports: ports?,
            timeout: Duration::from_secs(timeout?),
            dscp: dscp?,
        })
    }
}

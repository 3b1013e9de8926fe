//! `[media]`.

use std::ops::RangeInclusive;
use std::time::Duration;

use toml::Spanned;

use super::{Placed, Settler};
use crate::config::{Dscp, Media, MediaAddress, defaults, value, written};

/// `[media]`, with the place that conflicts are told with.
pub(in crate::config) struct PlacedMedia {
    pub(in crate::config) addresses: Vec<MediaAddress>,
    pub(in crate::config) ports: Placed<RangeInclusive<u16>>,
    timeout: Duration,
    dscp: Dscp,
}

impl PlacedMedia {
    pub(super) fn settings(self) -> Media {
        Media {
            addresses: self.addresses,
            ports: self.ports.value,
            timeout: self.timeout,
            dscp: self.dscp,
        }
    }
}

impl Settler<'_> {
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
        Some(PlacedMedia {
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

//! `[media]`.

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use toml::Spanned;

use super::{Placed, Section, Settler};
use crate::config::problem::Problem;
use crate::config::written::OneOrMore;
use crate::config::{Media, MediaAddress, defaults, value, written};

/// `[media]`, with the place that conflicts are told with.
pub(in crate::config) struct PlacedMedia {
    pub(in crate::config) addresses: Vec<MediaAddress>,
    pub(in crate::config) ports: Placed<RangeInclusive<u16>>,
    timeout: Duration,
}

impl PlacedMedia {
    pub(super) fn settings(self) -> Media {
        Media {
            addresses: self.addresses,
            ports: self.ports.value,
            timeout: self.timeout,
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
        let bind = match media.bind {
            Some(bind) => self.addresses(&section, "bind", bind)?,
            None => Placed {
                value: vec![defaults::MEDIA_ADDRESS],
                key: section.key("bind"),
                line: section.line,
            },
        };
        let advertise = match media.advertise {
            Some(advertise) => Some(self.addresses(&section, "advertise", advertise)?),
            None => None,
        };
        Some(PlacedMedia {
            addresses: self.pairs(&bind, advertise.as_ref())?,
            ports: ports?,
            timeout: Duration::from_secs(timeout?),
        })
    }

    /// One address, or one of each family.
    fn addresses(
        &mut self,
        section: &Section,
        name: &str,
        written: Spanned<OneOrMore>,
    ) -> Option<Placed<Vec<IpAddr>>> {
        let (key, line) = (section.key(name), self.line(&written));
        let texts = written.into_inner().0;
        let addresses: Result<Vec<_>, _> = texts.iter().map(|text| value::address(text)).collect();
        let problem = match addresses {
            Ok(addresses) => match addresses.as_slice() {
                [_] => None,
                [first, second] if first.is_ipv4() != second.is_ipv4() => None,
                [] => Some(Problem::Missing {
                    expected: value::ADDRESS,
                }),
                [_, ..] => Some(Problem::TwoOfAFamily),
            }
            .map_or(Ok(addresses), Err),
            Err(problem) => Err(problem),
        };
        match problem {
            Ok(value) => Some(Placed { value, key, line }),
            Err(problem) => {
                self.refuse(key, line, problem);
                None
            }
        }
    }

    /// Every bound address with the advertised one of its family.
    fn pairs(
        &mut self,
        bind: &Placed<Vec<IpAddr>>,
        advertise: Option<&Placed<Vec<IpAddr>>>,
    ) -> Option<Vec<MediaAddress>> {
        let offered = advertise.map_or(&[][..], |advertise| &advertise.value);
        let of_no_bind = offered.iter().find(|shown| {
            !bind
                .value
                .iter()
                .any(|bind| bind.is_ipv4() == shown.is_ipv4())
        });
        if let (Some(_), Some(advertise), Some(first)) = (of_no_bind, advertise, bind.value.first())
        {
            self.errors
                .push(advertise.refused(Problem::FamilyMismatch { bind: *first }));
            return None;
        }
        let mut pairs = Vec::new();
        for address in &bind.value {
            let shown = offered
                .iter()
                .find(|shown| shown.is_ipv4() == address.is_ipv4());
            let pair = MediaAddress {
                bind: *address,
                advertise: *shown.unwrap_or(address),
            };
            if let Some(problem) =
                value::advertise_problem(pair.bind, pair.advertise, shown.is_some())
            {
                let place = advertise.filter(|_| shown.is_some()).unwrap_or(bind);
                self.errors.push(place.refused(problem));
                return None;
            }
            pairs.push(pair);
        }
        Some(pairs)
    }
}

//! Addresses to bind and to advertise: one, or one of each family.

use std::net::{IpAddr, SocketAddr};

use toml::Spanned;

use super::{Placed, Section, Settler};
use crate::config::problem::Problem;
use crate::config::value;
use crate::config::written::OneOrMore;

/// An address, with or without a port.
pub(super) trait Address: Copy {
    fn ip(&self) -> IpAddr;
}

impl Address for IpAddr {
    fn ip(&self) -> IpAddr {
        *self
    }
}

impl Address for SocketAddr {
    fn ip(&self) -> IpAddr {
        Self::ip(self)
    }
}

fn same_family<T: Address>(one: &T, other: &T) -> bool {
    one.ip().is_ipv4() == other.ip().is_ipv4()
}

impl Settler<'_> {
    /// One address, or one of each family.
    pub(super) fn addresses<T: Address>(
        &mut self,
        section: &Section,
        name: &str,
        written: Spanned<OneOrMore>,
        parse: impl Fn(&str) -> Result<T, Problem>,
    ) -> Option<Placed<Vec<T>>> {
        let (key, line) = (section.key(name), self.line(&written));
        let texts = written.into_inner().0;
        let addresses: Result<Vec<T>, _> = texts.iter().map(|text| parse(text)).collect();
        let checked = addresses.and_then(|addresses| match addresses.as_slice() {
            [_] => Ok(addresses),
            [first, second] if !same_family(first, second) => Ok(addresses),
            [] => Err(Problem::Missing {
                expected: value::ADDRESS,
            }),
            [_, ..] => Err(Problem::TwoOfAFamily),
        });
        match checked {
            Ok(value) => Some(Placed { value, key, line }),
            Err(problem) => {
                self.refuse(key, line, problem);
                None
            }
        }
    }

    /// Every bound address with the advertised one of its family.
    pub(super) fn pairs<T: Address>(
        &mut self,
        bind: &Placed<Vec<T>>,
        advertise: Option<&Placed<Vec<T>>>,
    ) -> Option<Vec<(T, T)>> {
        let offered = advertise.map_or(&[][..], |advertise| &advertise.value);
        let of_no_bind = offered
            .iter()
            .find(|shown| !bind.value.iter().any(|bind| same_family(bind, shown)));
        if let (Some(_), Some(advertise), Some(first)) = (of_no_bind, advertise, bind.value.first())
        {
            self.errors
                .push(advertise.refused(Problem::FamilyMismatch { bind: first.ip() }));
            return None;
        }
        let mut pairs = Vec::new();
        for address in &bind.value {
            let shown = offered.iter().find(|shown| same_family(*shown, address));
            let pair = (*address, *shown.unwrap_or(address));
            if let Some(problem) =
                value::advertise_problem(pair.0.ip(), pair.1.ip(), shown.is_some())
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

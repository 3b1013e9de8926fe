//! `[[carrier]]` and `[[number_pool]]`: what the operator has from the PSTN.

use std::net::SocketAddr;
use std::sync::Arc;

use ipnetwork::IpNetwork;
use toml::Spanned;

use super::{Placed, Section, Settler};
use crate::config::problem::Problem;
use crate::config::{
    Carrier, CarrierCredentials, CarrierPolicy, CarrierRoute, CarrierTls, Host, NumberPool, Secret,
    Target, Transport, value, written,
};
use crate::numbering::Prefix;

/// A carrier, with the places that conflicts are told with.
pub(in crate::config) struct PlacedCarrier {
    pub(in crate::config) name: Placed<String>,
    pub(in crate::config) sources: Vec<Placed<IpNetwork>>,
    pub(in crate::config) certificate_names: Vec<Placed<Host>>,
    /// Each placed at its `transport` key.
    pub(in crate::config) routes: Vec<Placed<CarrierRoute>>,
    tls: CarrierTls,
    policy: CarrierPolicy,
    pub(in crate::config) listener: Placed<Option<SocketAddr>>,
}

impl PlacedCarrier {
    pub(super) fn settings(self) -> Carrier {
        let names = self.certificate_names.into_iter();
        Carrier {
            name: self.name.value,
            sources: self
                .sources
                .into_iter()
                .map(|source| source.value)
                .collect(),
            routes: self.routes.into_iter().map(|route| route.value).collect(),
            tls: CarrierTls {
                names: names.map(|name| name.value).collect(),
                ..self.tls
            },
            policy: Arc::new(self.policy),
        }
    }
}

impl Settler<'_> {
    /// The carriers that are right.
    pub(super) fn carriers(
        &mut self,
        written: Vec<Spanned<written::Carrier>>,
    ) -> Vec<PlacedCarrier> {
        let mut carriers = Vec::new();
        for (section, carrier) in self.open_each("carrier", written) {
            let name = self.required(&section, "name", carrier.name, value::NAME, value::name);
            let sources = self.values(&section, "sources", carrier.sources, value::network);
            let certificate_names = self.values(
                &section,
                "certificate_names",
                carrier.certificate_names,
                value::host,
            );
            let mut routes = Vec::new();
            for (section, route) in self.open_each(&section.key("route"), carrier.route) {
                routes.extend(self.route(&section, route));
            }
            let tls = self.carrier_tls(&section.key("tls"), carrier.tls);
            let credentials =
                self.carrier_credentials(&section.key("credentials"), carrier.credentials);
            let numbers = self.carrier_numbers(&section.key("numbers"), carrier.numbers);
            let codecs = self.carrier_codecs(&section, carrier.codecs);
            let headers = self.carrier_headers(&section.key("headers"), carrier.headers);
            let srtp = self.srtp(&section, carrier.srtp, carrier.srtp_suites);
            let redirect = self.optional(
                &section,
                "redirect",
                carrier.redirect,
                false,
                value::redirect,
            );
            let listener = self.optional(&section, "listener", carrier.listener, None, |text| {
                value::peer_address(text).map(Some)
            });
            let mut limit =
                |key, written| self.number(&section, key, written, 0..=1_000_000, 0_u32);
            let cps = limit("cps", carrier.cps);
            let concurrent_calls = limit("concurrent_calls", carrier.concurrent_calls);
            let (Some(name), Some(tls), Some(credentials), Some(redirect), Some(listener)) =
                (name, tls, credentials, redirect, listener)
            else {
                continue;
            };
            let (Some(cps), Some(concurrent_calls)) = (cps, concurrent_calls) else {
                continue;
            };
            let (Some(numbers), Some(codecs), Some(headers), Some(srtp)) =
                (numbers, codecs, headers, srtp)
            else {
                continue;
            };
            let policy = CarrierPolicy {
                carrier: name.value.as_str().into(),
                cps,
                concurrent_calls,
                credentials,
                trusted: carrier.trusted.unwrap_or(true),
                redirect: redirect.value,
                listener: listener.value,
                emergency: carrier.emergency.unwrap_or(false),
                numbers,
                codecs,
                headers,
                srtp,
            };
            carriers.push(PlacedCarrier {
                name,
                sources,
                certificate_names,
                routes,
                tls,
                policy,
                listener,
            });
        }
        carriers
    }

    fn route(
        &mut self,
        section: &Section,
        route: written::CarrierRoute,
    ) -> Option<Placed<CarrierRoute>> {
        let host = self.required(section, "host", route.host, value::HOST, value::host);
        let transport = self.optional(section, "transport", route.transport, None, |text| {
            value::transport(text).map(Some)
        });
        let is_said = route.port.is_some();
        let port = self
            .number(section, "port", route.port, 1..=65_535, 0)
            .map(|port| is_said.then_some(port));
        let prefix = self.optional(section, "prefix", route.prefix, Prefix::ANY, value::prefix);
        let priority = self.number(section, "priority", route.priority, 1..=100, 1);
        let weight = self.number(section, "weight", route.weight, 1..=100, 1);
        let cost = self.number(section, "cost", route.cost, 0..=1_000_000, 0);
        let transport = transport?;
        Some(Placed {
            value: CarrierRoute {
                target: target(host?.value, port?, transport.value),
                prefix: prefix?.value,
                priority: priority?,
                weight: weight?,
                cost: cost?,
                verify: route.verify.unwrap_or(true),
            },
            key: transport.key,
            line: transport.line,
        })
    }

    /// Both keys or none.
    fn carrier_credentials(
        &mut self,
        path: &str,
        written: Option<Spanned<written::CarrierCredentials>>,
    ) -> Option<Option<CarrierCredentials>> {
        let (section, written) = self.open(path, written);
        if written.username.is_none() && written.password.is_none() {
            return Some(None);
        }
        let expected = "the user name that the carrier gave us";
        let username = self.required(
            &section,
            "username",
            written.username,
            expected,
            value::name,
        );
        let expected = "the password that the carrier gave us";
        let password = self.required(
            &section,
            "password",
            written.password,
            expected,
            value::secret,
        );
        Some(Some(CarrierCredentials {
            username: username?.value,
            password: Secret(password?.value),
        }))
    }

    fn carrier_tls(
        &mut self,
        path: &str,
        written: Option<Spanned<written::CarrierTls>>,
    ) -> Option<CarrierTls> {
        let (section, tls) = self.open(path, written);
        let ca = self.optional_roots(&section, "ca", tls.ca);
        let names = [
            (
                "client_certificate",
                "the PEM file of the certificate that client_key is for",
            ),
            ("client_key", "the PEM file of the client certificate's key"),
        ];
        let client = self.optional_pair(&section, names, tls.client_certificate, tls.client_key);
        let client = client?;
        Some(CarrierTls {
            ca: ca?,
            client,
            names: Vec::new(),
        })
    }

    /// The pools that are right, each placed at its `first` key.
    pub(super) fn number_pools(
        &mut self,
        written: Vec<Spanned<written::NumberPool>>,
    ) -> Vec<Placed<NumberPool>> {
        let mut pools = Vec::new();
        for (section, pool) in self.open_each("number_pool", written) {
            pools.extend(self.number_pool(&section, pool));
        }
        pools
    }

    fn number_pool(
        &mut self,
        section: &Section,
        pool: written::NumberPool,
    ) -> Option<Placed<NumberPool>> {
        let country = self.required(
            section,
            "country",
            pool.country,
            value::COUNTRY,
            value::country,
        );
        let toll_free = self.optional(section, "type", pool.kind, false, value::is_toll_free);
        let state = self.optional(
            section,
            "state",
            pool.state,
            String::new(),
            value::search_key,
        );
        let city = self.optional(section, "city", pool.city, String::new(), value::search_key);
        let first = self.required(section, "first", pool.first, value::NUMBER, value::number);
        let last = self.required(section, "last", pool.last, value::NUMBER, value::number);
        let (first, last) = first.zip(last)?;
        // As integers with equal digits, a range of numbers is what its ends look like.
        if last.value < first.value || last.value.ilog10() != first.value.ilog10() {
            let problem = Problem::PoolOrder {
                first: format!("+{}", first.value),
            };
            self.errors.push(last.refused(problem));
            return None;
        }
        Some(Placed {
            value: NumberPool {
                numbers: first.value..=last.value,
                country: country?.value,
                state: state?.value,
                city: city?.value,
                toll_free: toll_free?.value,
            },
            key: first.key,
            line: first.line,
        })
    }
}

/// RFC 3263 §4: an address has a transport and a port by default, a name with a port a transport; a name by
/// itself is left to the DNS.
fn target(host: Host, port: Option<u16>, transport: Option<Transport>) -> Target {
    let is_name = matches!(host, Host::Name(_));
    let transport = match is_name && port.is_none() {
        true => transport,
        false => Some(transport.unwrap_or(Transport::Udp)),
    };
    let default_port = transport
        .filter(|_| !is_name)
        .map(|transport| transport.default_port());
    Target {
        host,
        port: port.or(default_port),
        transport,
        tls: None,
    }
}

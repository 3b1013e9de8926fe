//! `[sip]`, its listeners and its timers.

use std::time::Duration;

use toml::Spanned;

use super::{Placed, Section, Settler};
use crate::config::problem::Problem;
use crate::config::{
    CertificateFiles, Dscp, Sip, SipListener, SipTimers, SipTls, defaults, value, written,
};

/// `Flow::listener` is a byte, and nobody needs more.
const LISTENERS_MAX: usize = 64;

impl Settler<'_> {
    /// The section, and its listeners with their places (each its `bind` key's), as far as they are
    /// right.
    pub(super) fn sip(
        &mut self,
        written: Option<Spanned<written::Sip>>,
    ) -> (Option<Sip>, Vec<Placed<SipListener>>) {
        let (section, sip) = self.open("sip", written);
        let domain = self.optional(
            &section,
            "domain",
            sip.domain,
            defaults::domain(),
            value::host_name,
        );
        let aliases = self.values(&section, "aliases", sip.aliases, value::host);
        let udp_mtu = self.number(
            &section,
            "udp_mtu",
            sip.udp_mtu,
            0..=65_535,
            defaults::UDP_MTU,
        );
        let transfers = self.optional(&section, "refer", sip.refer, false, value::refer);
        let registers = self.optional(&section, "register", sip.register, false, value::register);
        let methods = transfers.zip(registers);
        let timers = self.timers(sip.timers);
        let tls = self.sip_tls(sip.tls);

        match sip.listener.len() {
            0 => self.refuse(section.key("listener"), section.line, Problem::NoListener),
            1..=LISTENERS_MAX => {}
            _ => {
                let max = LISTENERS_MAX;
                self.refuse(
                    section.key("listener"),
                    section.line,
                    Problem::TooMany {
                        what: "listeners",
                        max,
                    },
                );
            }
        }
        let mut listeners = Vec::new();
        for (section, listener) in self.open_each("sip.listener", sip.listener) {
            listeners.extend(self.listener(&section, listener));
        }
        let rest = timers.zip(tls).zip(udp_mtu.zip(methods));
        let settings = domain.zip(rest).map(
            |(domain, ((timers, tls), (udp_mtu, (transfers, registers))))| Sip {
                domain: domain.value,
                aliases: aliases
                    .into_iter()
                    .map(|alias| alias.value.to_string())
                    .collect(),
                listeners: listeners
                    .iter()
                    .map(|listener| listener.value.clone())
                    .collect(),
                timers,
                udp_mtu,
                transfers: transfers.value,
                registers: registers.value,
                tls,
            },
        );
        (settings, listeners)
    }

    /// One listener for each address.
    fn listener(
        &mut self,
        section: &Section,
        written: written::SipListener,
    ) -> Vec<Placed<SipListener>> {
        let transport = self.required(
            section,
            "transport",
            written.transport,
            value::TRANSPORT,
            value::transport,
        );
        let bind = match written.bind {
            Some(bind) => self.addresses(section, "bind", bind, value::peer_address),
            None => {
                let expected = value::SOCKET_ADDRESS;
                self.refuse(
                    section.key("bind"),
                    section.line,
                    Problem::Missing { expected },
                );
                None
            }
        };
        let advertise = written
            .advertise
            .map(|advertise| self.addresses(section, "advertise", advertise, value::peer_address));
        let most = i64::from(Dscp::MAX);
        let dscp = self.number(section, "dscp", written.dscp, 0..=most, defaults::SIP_DSCP);
        let (Some(transport), Some(bind), Some(dscp), Some(advertise)) = (
            transport,
            bind,
            dscp,
            advertise.map_or(Some(None), |advertise| advertise.map(Some)),
        ) else {
            return Vec::new();
        };
        let pairs = self.pairs(&bind, advertise.as_ref()).unwrap_or_default();
        let listener = |(address, advertise)| Placed {
            value: SipListener {
                transport: transport.value,
                bind: address,
                advertise,
                dscp,
            },
            key: bind.key.clone(),
            line: bind.line,
        };
        pairs.into_iter().map(listener).collect()
    }

    fn sip_tls(&mut self, written: Option<Spanned<written::SipTls>>) -> Option<SipTls> {
        let (section, tls) = self.open("sip.tls", written);
        let default = SipTls::default();
        let mut certificates = Vec::new();
        let mut is_right = true;
        for (section, files) in self.open_each("sip.tls.certificate", tls.certificate) {
            let certificate = self.required(
                &section,
                "certificate",
                files.certificate,
                value::PEM_FILE,
                value::file,
            );
            let key = self.required(&section, "key", files.key, value::PEM_FILE, value::file);
            match certificate.zip(key) {
                Some((certificate, key)) => {
                    self.name_pair(&certificate, &key);
                    certificates.push(CertificateFiles {
                        certificate: certificate.value,
                        key: key.value,
                    });
                }
                None => is_right = false,
            }
        }
        let client_ca = self.optional_roots(&section, "client_ca", tls.client_ca);
        let required = tls.require_client_certificate;
        let require_client_certificate = required.as_ref().is_some_and(|is| *is.get_ref());
        if let (true, Some(required), Some(None)) =
            (require_client_certificate, &required, &client_ca)
        {
            let line = self.line(required);
            let key = section.key("require_client_certificate");
            self.refuse(key, line, Problem::NoClientCa);
        }
        let ca = self.optional_roots(&section, "ca", tls.ca);
        let handshake_timeout = self.number(
            &section,
            "handshake_timeout_s",
            tls.handshake_timeout_s,
            1..=60,
            default.handshake_timeout.as_secs(),
        );
        let handshakes_per_turn = self.number(
            &section,
            "handshakes_per_turn",
            tls.handshakes_per_turn,
            1..=1_024,
            default.handshakes_per_turn,
        );
        Some(SipTls {
            certificates: is_right.then_some(certificates)?,
            client_ca: client_ca?,
            require_client_certificate,
            ca: ca?,
            verify_customers: tls.verify_customers.unwrap_or(default.verify_customers),
            handshake_timeout: Duration::from_secs(handshake_timeout?),
            handshakes_per_turn: handshakes_per_turn?,
        })
    }

    /// `session_expires_s` and `min_se_s`.
    fn session_timer(
        &mut self,
        section: &Section,
        timers: &written::SipTimers,
    ) -> Option<(u32, u32)> {
        let default = SipTimers::default();
        let written = timers.session_expires_s.clone();
        let line = written.as_ref().map(|written| self.line(written));
        let expires = self.number(
            section,
            "session_expires_s",
            written,
            0..=86_400,
            default.session_expires,
        );
        let min_se = self.number(
            section,
            "min_se_s",
            timers.min_se_s.clone(),
            i64::from(SipTimers::MIN_SE_MIN)..=86_400,
            default.min_se,
        );
        let (expires, min_se) = expires.zip(min_se)?;
        if (1..min_se).contains(&expires) {
            let key = section.key("session_expires_s");
            let line = line.unwrap_or(section.line);
            self.refuse(key, line, Problem::SessionBelowMinSe { min_se });
            return None;
        }
        Some((expires, min_se))
    }

    fn timers(&mut self, written: Option<Spanned<written::SipTimers>>) -> Option<SipTimers> {
        let (section, timers) = self.open("sip.timers", written);
        let default = SipTimers::default();
        let t2_line = timers
            .t2_ms
            .as_ref()
            .or(timers.t1_ms.as_ref())
            .map(|t2| self.line(t2));
        let session = self.session_timer(&section, &timers);
        let milliseconds =
            |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let mut number = |name, written, allowed, default| {
            self.number(&section, name, written, allowed, default)
        };
        let t1 = number("t1_ms", timers.t1_ms, 10..=10_000, milliseconds(default.t1));
        let t2 = number("t2_ms", timers.t2_ms, 10..=60_000, milliseconds(default.t2));
        let t4 = number("t4_ms", timers.t4_ms, 10..=60_000, milliseconds(default.t4));
        let timer_c = number(
            "timer_c_s",
            timers.timer_c_s,
            1..=3_600,
            default.timer_c.as_secs(),
        );
        let route_timeout = number(
            "route_timeout_ms",
            timers.route_timeout_ms,
            100..=60_000,
            milliseconds(default.route_timeout),
        );
        let (session_expires, min_se) = session?;
        let (t1, t2) = t1.zip(t2)?;
        if t2 < t1 {
            self.refuse(
                section.key("t2_ms"),
                t2_line.unwrap_or(section.line),
                Problem::T2BelowT1,
            );
            return None;
        }
        Some(SipTimers {
            t1: Duration::from_millis(t1),
            t2: Duration::from_millis(t2),
            t4: Duration::from_millis(t4?),
            timer_c: Duration::from_secs(timer_c?),
            route_timeout: Duration::from_millis(route_timeout?),
            session_expires,
            min_se,
        })
    }
}

//! What the settings mean, in a few lines.

use std::fmt;

use super::{
    Carrier, CarrierRoute, Config, Dns, Health, MediaAddress, SipListener, SipTls, SrtpMode,
    SrtpPolicy, Suite, TerminationPolicies, Transport, calls_of_ports,
};

impl Config {
    /// What listens where and what is known, for people; one line a fact, no secrets.
    pub fn summary(&self) -> impl fmt::Display + '_ {
        Summary(self)
    }
}

struct Summary<'c>(&'c Config);

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Config {
            node,
            sip,
            media,
            carriers,
            termination,
            number_pools,
            api,
            declared,
            dns,
            health,
            store,
            quotas: _,
            limits: _,
            log: _,
        } = self.0;
        for listener in &sip.listeners {
            writeln!(f, "  SIP      {}", ShownListener(listener))?;
        }
        writeln!(f, "  domain   {}", sip.domain)?;
        if sip.has_tls() {
            writeln!(f, "  TLS      {}", ShownTls(&sip.tls))?;
        }
        for address in &media.addresses {
            let (first, last) = (media.ports.start(), media.ports.end());
            writeln!(
                f,
                "  media    {} ports {first}-{last}, {} calls",
                ShownAddress(address),
                calls_of_ports(&media.ports, node.shards)
            )?;
        }
        writeln!(f, "  SRTP     customers: {}", ShownSrtp(&media.srtp))?;
        for carrier in carriers {
            writeln!(f, "  carrier  {}", ShownCarrier(carrier))?;
            for route in &carrier.routes {
                writeln!(f, "  route    {}", ShownRoute(carrier, route))?;
            }
        }
        if *termination != TerminationPolicies::default() {
            writeln!(
                f,
                "  calls    limits and rules of the node's own, and of {} voice connectors",
                termination.connectors.len()
            )?;
        }
        writeln!(f, "  DNS      {}", ShownDns(dns))?;
        writeln!(f, "  health   {}", ShownHealth(health))?;
        let numbers: u64 = number_pools
            .iter()
            .map(|pool| pool.numbers.end() - pool.numbers.start() + 1)
            .sum();
        writeln!(f, "  numbers  {numbers} in {} pools", number_pools.len())?;
        writeln!(
            f,
            "  API      {}://{} with {} access keys",
            api.scheme(),
            api.bind,
            api.access_keys.len()
        )?;
        for file in &declared.files {
            writeln!(f, "  declared {}", file.display())?;
        }
        writeln!(f, "  store    {}", store.url)?;
        write!(
            f,
            "  node     {} shards, data in {}",
            node.shards,
            node.data_dir.display()
        )
    }
}

struct ShownListener<'c>(&'c SipListener);

impl fmt::Display for ShownListener<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let SipListener {
            transport,
            bind,
            advertise,
            dscp: _,
        } = self.0;
        write!(f, "{transport} {bind}")?;
        match bind == advertise {
            true => Ok(()),
            false => write!(f, " advertised as {advertise}"),
        }
    }
}

struct ShownAddress<'c>(&'c MediaAddress);

impl fmt::Display for ShownAddress<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let MediaAddress { bind, advertise } = self.0;
        write!(f, "{bind}")?;
        match bind == advertise {
            true => Ok(()),
            false => write!(f, " advertised as {advertise}"),
        }
    }
}

struct ShownSrtp<'c>(&'c SrtpPolicy);

impl fmt::Display for ShownSrtp<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let SrtpPolicy { mode, suites } = self.0;
        match mode {
            SrtpMode::Off => return f.write_str("off"),
            SrtpMode::Accept => f.write_str("accept")?,
            SrtpMode::Optional => f.write_str("optional")?,
            SrtpMode::Required => f.write_str("required")?,
        }
        if suites.len() == Suite::ALL.len() {
            return f.write_str(" with every suite");
        }
        let suites: Vec<&str> = suites.iter().map(|suite| suite.name()).collect();
        write!(f, " with {}", suites.join(", "))
    }
}

struct ShownCarrier<'c>(&'c Carrier);

impl fmt::Display for ShownCarrier<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Carrier {
            name,
            sources,
            routes,
            tls,
            policy,
        } = self.0;
        write!(
            f,
            "{name}: {} sources, {} routes, SRTP {}",
            sources.len(),
            routes.len(),
            ShownSrtp(&policy.srtp)
        )?;
        match &tls.client {
            None => Ok(()),
            Some(client) => write!(f, ", shown {}", client.certificate.display()),
        }
    }
}

struct ShownRoute<'c>(&'c Carrier, &'c CarrierRoute);

impl fmt::Display for ShownRoute<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(carrier, route) = self;
        let target = &route.target;
        write!(f, "{}", target.host)?;
        if let Some(port) = target.port {
            write!(f, ":{port}")?;
        }
        match target.transport {
            Some(transport) => write!(f, " over {transport}")?,
            None => f.write_str(" over what the DNS says")?,
        }
        if !route.prefix.is_empty() {
            write!(f, ", numbers {}…", route.prefix)?;
        }
        write!(f, ", priority {} weight {}", route.priority, route.weight)?;
        let over_tls = match target.transport {
            Some(Transport::Udp | Transport::Tcp) => return Ok(()),
            Some(Transport::Tls) => "",
            None => "over TLS ",
        };
        match (route.verify, &carrier.tls.ca) {
            (false, _) => write!(f, ", {over_tls}not verified"),
            (true, None) => write!(f, ", {over_tls}verified with the system's roots"),
            (true, Some(ca)) => write!(f, ", {over_tls}verified with {}", ca.display()),
        }
    }
}

struct ShownTls<'c>(&'c SipTls);

impl fmt::Display for ShownTls<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.certificates.as_slice() {
            [] => f.write_str("a development certificate")?,
            [first, others @ ..] => {
                write!(f, "{}", first.certificate.display())?;
                for files in others {
                    write!(f, ", {}", files.certificate.display())?;
                }
            }
        }
        match (self.0.verify_customers, &self.0.ca) {
            (false, _) => f.write_str("; customers' hosts are not verified"),
            (true, None) => f.write_str("; customers' hosts are verified with the system's roots"),
            (true, Some(ca)) => write!(
                f,
                "; customers' hosts are verified with the system's roots and {}",
                ca.display()
            ),
        }
    }
}

struct ShownDns<'c>(&'c Dns);

impl fmt::Display for ShownDns<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Dns { servers, stale } = self.0;
        match servers.as_slice() {
            [] => f.write_str("the system's name servers")?,
            [first, others @ ..] => {
                write!(f, "{first}")?;
                for server in others {
                    write!(f, ", {server}")?;
                }
            }
        }
        write!(
            f,
            "; answers serve {} s longer while none answers",
            stale.as_secs()
        )
    }
}

struct ShownHealth<'c>(&'c Health);

impl fmt::Display for ShownHealth<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Health {
            interval,
            down_interval,
            timeout,
            down_after,
            up_after,
        } = self.0;
        if interval.is_zero() {
            return f.write_str("no pings");
        }
        write!(
            f,
            "a ping every {} s, {} s in doubt; down after {down_after} unanswered within {} ms, up after {up_after} answered",
            interval.as_secs(),
            down_interval.as_secs(),
            timeout.as_millis()
        )
    }
}

//! What the settings mean, in a few lines.

use std::fmt;

use super::{Carrier, Config, MediaAddress, SipListener};

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
            number_pools,
            api,
            store,
            ..
        } = self.0;
        for listener in &sip.listeners {
            writeln!(f, "  SIP      {}", ShownListener(listener))?;
        }
        writeln!(f, "  domain   {}", sip.domain)?;
        for address in &media.addresses {
            let (first, last) = (media.ports.start(), media.ports.end());
            writeln!(
                f,
                "  media    {} ports {first}-{last}",
                ShownAddress(address)
            )?;
        }
        for carrier in carriers {
            writeln!(f, "  carrier  {}", ShownCarrier(carrier))?;
        }
        let numbers: u64 = number_pools
            .iter()
            .map(|pool| pool.numbers.end() - pool.numbers.start() + 1)
            .sum();
        writeln!(f, "  numbers  {numbers} in {} pools", number_pools.len())?;
        writeln!(
            f,
            "  API      http://{} with {} access keys",
            api.bind,
            api.access_keys.len()
        )?;
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

struct ShownCarrier<'c>(&'c Carrier);

impl fmt::Display for ShownCarrier<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Carrier {
            name,
            sources,
            routes,
            tls: _,
            policy: _,
        } = self.0;
        write!(
            f,
            "{name}: {} sources, {} routes",
            sources.len(),
            routes.len()
        )
    }
}

//! Turns the host names of routes and carriers into addresses, ahead of the calls that need them.
//!
//! A shard never waits for DNS: it finds the addresses in its snapshot. This task asks for every name
//! the routes have, every half minute and whenever the routes change, and publishes what it learnt. A
//! name that cannot be resolved now keeps its last addresses: a DNS server that is down must not take a
//! trunk down with it. A name that no route has any more is forgotten.
//!
//! SRV and NAPTR (RFC 3263 §4) are not asked for: a route names its port and transport.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

/// How often every name is asked for again.
const REFRESH: Duration = Duration::from_secs(30);
/// How long one name may take.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Names asked for at once. The system's resolver blocks a thread for each.
const CONCURRENT_MAX: usize = 32;

/// What host names (lower case) resolve to. A name that never resolved is not in it.
pub type Addresses = BTreeMap<String, Vec<IpAddr>>;

/// Where the names come from and the addresses go to.
pub trait Routes: Send + Sync {
    /// The host names that routes have now.
    fn names(&self) -> Vec<String>;

    /// Takes the addresses; called only where they differ from the last ones.
    fn publish(&self, addresses: &Addresses) -> impl Future<Output = ()> + Send;
}

/// Keeps the addresses of the routes' names fresh: at once, every 30 s, and whenever `changed` is
/// notified. Runs until its task is dropped.
pub async fn run(routes: impl Routes, changed: Arc<Notify>) {
    run_with(routes, changed, REFRESH, |names| async move {
        resolve_all(&names).await
    })
    .await;
}

/// Resolves the names, up to 32 at once, each within 5 s. The answer has every name once, in their
/// order; one that cannot be resolved has no address.
pub async fn resolve_all(names: &[String]) -> Vec<(String, Vec<IpAddr>)> {
    let at_once = Arc::new(Semaphore::new(CONCURRENT_MAX));
    let mut lookups = JoinSet::new();
    let unique: BTreeSet<&String> = names.iter().collect();
    for name in unique {
        let (name, at_once) = (name.clone(), Arc::clone(&at_once));
        lookups.spawn(async move {
            // The semaphore is never closed; a permit is held until the lookup's end.
            let _permit = at_once.acquire_owned().await;
            let addresses = resolve(&name).await;
            (name, addresses)
        });
    }
    let mut answers: BTreeMap<String, Vec<IpAddr>> = BTreeMap::new();
    while let Some(answer) = lookups.join_next().await {
        answers.extend(answer);
    }
    let in_order = names.iter().filter_map(|name| answers.remove_entry(name));
    in_order.collect()
}

/// The addresses of a name, IPv4 and IPv6 in the system's order (RFC 6724), each once.
async fn resolve(name: &str) -> Vec<IpAddr> {
    let lookup = tokio::time::timeout(TIMEOUT, tokio::net::lookup_host((name, 0)));
    match lookup.await {
        Ok(Ok(found)) => {
            let mut addresses = Vec::new();
            for socket in found {
                if !addresses.contains(&socket.ip()) {
                    addresses.push(socket.ip());
                }
            }
            addresses
        }
        Ok(Err(error)) => {
            tracing::warn!(name, %error, "host name cannot be resolved");
            Vec::new()
        }
        Err(_elapsed) => {
            tracing::warn!(name, "host name cannot be resolved in time");
            Vec::new()
        }
    }
}

async fn run_with<L, A>(routes: impl Routes, changed: Arc<Notify>, refresh: Duration, lookup: L)
where
    L: Fn(Vec<String>) -> A,
    A: Future<Output = Vec<(String, Vec<IpAddr>)>>,
{
    let mut interval = tokio::time::interval(refresh);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut last = Addresses::new();
    loop {
        tokio::select! {
            _ = interval.tick() => {}
            () = changed.notified() => {}
        }
        let answers = lookup(routes.names()).await;
        let addresses = with_last_known(answers, &last);
        if addresses != last {
            routes.publish(&addresses).await;
            last = addresses;
        }
    }
}

/// The answers, and for a name without one what was known of it.
fn with_last_known(answers: Vec<(String, Vec<IpAddr>)>, last: &Addresses) -> Addresses {
    let mut addresses = Addresses::new();
    for (name, mut found) in answers {
        // Servers rotate their answers; the order is no change worth publishing.
        found.sort_unstable();
        let known = match found.is_empty() {
            true => last.get(&name).cloned(),
            false => Some(found),
        };
        addresses.extend(known.map(|known| (name, known)));
    }
    addresses
}

#[cfg(test)]
mod tests {
    use std::sync::{Mutex, PoisonError};

    use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

    use super::*;

    /// Routes of one name; what is published goes to a channel.
    struct OneRoute(UnboundedSender<Addresses>);

    impl Routes for OneRoute {
        fn names(&self) -> Vec<String> {
            vec!["pbx.example".to_owned()]
        }

        async fn publish(&self, addresses: &Addresses) {
            self.0.send(addresses.clone()).unwrap();
        }
    }

    /// Runs the task against a script: one answer for each time it asks, and after that none.
    fn start(
        refresh: Duration,
        script: &[&[&str]],
    ) -> (
        Arc<Notify>,
        UnboundedReceiver<Addresses>,
        UnboundedReceiver<()>,
    ) {
        let (published, publications) = unbounded_channel();
        let (asked, questions) = unbounded_channel();
        let changed = Arc::new(Notify::new());
        let mut answers: Vec<Vec<IpAddr>> = Vec::new();
        for answer in script.iter().rev() {
            answers.push(answer.iter().map(|text| text.parse().unwrap()).collect());
        }
        let answers = Mutex::new(answers);
        let lookup = move |names: Vec<String>| {
            let mut answers = answers.lock().unwrap_or_else(PoisonError::into_inner);
            let answer = answers.pop().unwrap_or_default();
            asked.send(()).unwrap();
            std::future::ready(
                names
                    .into_iter()
                    .map(|name| (name, answer.clone()))
                    .collect(),
            )
        };
        tokio::spawn(run_with(
            OneRoute(published),
            Arc::clone(&changed),
            refresh,
            lookup,
        ));
        (changed, publications, questions)
    }

    fn address(addresses: &Addresses) -> String {
        addresses["pbx.example"][0].to_string()
    }

    #[tokio::test]
    async fn names_are_resolved_at_once_and_when_routes_change() {
        let never = Duration::from_secs(3_600);
        let (changed, mut publications, _questions) =
            start(never, &[&["192.0.2.1"], &["192.0.2.2"]]);
        assert_eq!(address(&publications.recv().await.unwrap()), "192.0.2.1");
        changed.notify_one();
        assert_eq!(address(&publications.recv().await.unwrap()), "192.0.2.2");
    }

    #[tokio::test]
    async fn names_are_resolved_again_after_a_while() {
        let soon = Duration::from_millis(5);
        let (_changed, mut publications, _questions) =
            start(soon, &[&["192.0.2.1"], &["192.0.2.2"]]);
        assert_eq!(address(&publications.recv().await.unwrap()), "192.0.2.1");
        assert_eq!(address(&publications.recv().await.unwrap()), "192.0.2.2");
    }

    #[tokio::test]
    async fn a_failure_keeps_the_last_answer() {
        let never = Duration::from_secs(3_600);
        let script: &[&[&str]] = &[&["192.0.2.1"], &[], &["192.0.2.3"]];
        let (changed, mut publications, mut questions) = start(never, script);
        assert_eq!(address(&publications.recv().await.unwrap()), "192.0.2.1");
        questions.recv().await.unwrap();
        changed.notify_one();
        questions.recv().await.unwrap();
        changed.notify_one();
        // Nothing was published for the failure: the next thing is the third answer.
        assert_eq!(address(&publications.recv().await.unwrap()), "192.0.2.3");
    }

    #[test]
    fn a_name_without_a_route_is_forgotten() {
        let last =
            Addresses::from([("old.example".to_owned(), vec!["192.0.2.1".parse().unwrap()])]);
        assert_eq!(with_last_known(Vec::new(), &last), Addresses::new());
    }

    #[tokio::test]
    async fn addresses_resolve_to_themselves_and_nonsense_to_nothing() {
        let names = ["127.0.0.1", "no such host", "127.0.0.1", "::1"].map(str::to_owned);
        let answers = resolve_all(&names).await;
        let shown: Vec<_> = answers
            .iter()
            .map(|(name, found)| (name.as_str(), found.len()))
            .collect();
        assert_eq!(shown, [("127.0.0.1", 1), ("no such host", 0), ("::1", 1)]);
    }
}

//! Locates host names ahead of the calls that need them (RFC 3263).
//!
//! A shard never waits for DNS: it finds places in its snapshot. This task locates every name that routes have,
//! and for a while every name that a call came upon, again whenever its records' time to live is over, and
//! publishes what has changed. While no name server answers, what was known serves on.

mod dns;

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;
use tokio::time::Instant;

pub use self::dns::Dns;
use crate::config::Transport;
use crate::shard::snapshot::Located;
use crate::sip::locate::{Answer, Destination, Place, Question, locate};

/// Destinations looked up at once.
const LOOKUPS_MAX: usize = 32;
/// An answer serves for so long even where it says less: nobody is to be asked for every call.
const VALID_MIN: Duration = Duration::from_secs(5);
/// An answer serves no longer than this, whatever it says.
const VALID_MAX: Duration = Duration::from_secs(86_400);
/// After a failure a name is looked up again so soon.
const RETRY: Duration = Duration::from_secs(10);
/// A name that a call came upon is kept for so long after it was asked for.
const WANTED_FOR: Duration = Duration::from_secs(3_600);
/// Names of calls that are kept; the one asked for longest ago goes for a new one.
const WANTED_MAX: usize = 1_024;

/// What the DNS says to a question.
#[derive(Debug)]
pub struct Known {
    /// The records.
    pub answer: Answer,
    /// How long they hold: their time to live, or that of their absence (RFC 2308).
    pub valid: Duration,
}

/// Where answers come from.
pub trait Ask: Send + Sync + 'static {
    /// Asks; an error where nobody answers, or nothing of use.
    fn ask(&self, question: &Question) -> impl Future<Output = Result<Known, String>> + Send;
}

/// Where the names come from and the places go to.
pub trait Routes: Send + Sync {
    /// What routes name now.
    fn destinations(&self) -> Vec<Destination>;

    /// Takes for each name what is known of it from now on; `None` where it is forgotten.
    fn publish(&self, changes: Changes) -> impl Future<Output = ()> + Send;
}

/// What has changed of host names.
pub type Changes = Vec<(Arc<str>, Option<Arc<[Located]>>)>;

/// Locates until its task is dropped: at once, whenever `changed` is notified, and what calls want. `spoken`
/// are the transports that there are listeners for; an answer outlives its time to live by `stale` while
/// nobody answers.
pub async fn run(
    routes: impl Routes,
    dns: impl Ask,
    (spoken, stale): (Vec<Transport>, Duration),
    changed: Arc<Notify>,
    mut wanted: mpsc::Receiver<Destination>,
) {
    let mut resolver = Resolver {
        dns: Arc::new(dns),
        spoken: spoken.into(),
        stale,
        entries: BTreeMap::new(),
        lookups: JoinSet::new(),
        changed: BTreeSet::new(),
    };
    resolver.take_routes(routes.destinations());
    loop {
        resolver.start_lookups();
        resolver.publish(&routes).await;
        let due = resolver.next_due();
        tokio::select! {
            () = changed.notified() => resolver.take_routes(routes.destinations()),
            Some(destination) = wanted.recv() => resolver.want(destination),
            Some(found) = resolver.lookups.join_next() => resolver.take(found),
            () = tokio::time::sleep_until(due) => resolver.forget_unwanted(),
        }
    }
}

/// What is known of a destination.
struct Entry {
    /// `None` until the first lookup has ended.
    places: Option<Arc<[Place]>>,
    /// What is known serves until then though nobody answers.
    serves_until: Instant,
    /// When it is to be looked up; `None` while it is.
    due: Option<Instant>,
    /// Until when it is kept though no route names it; `None` for a route's.
    wanted_until: Option<Instant>,
    is_failing: bool,
}

/// What a lookup came to.
struct Found {
    destination: Destination,
    places: Vec<Place>,
    valid: Duration,
    /// Why it is not whole.
    failure: Option<String>,
}

struct Resolver<D> {
    dns: Arc<D>,
    spoken: Arc<[Transport]>,
    stale: Duration,
    entries: BTreeMap<Destination, Entry>,
    lookups: JoinSet<Found>,
    /// Names of which something was learnt or forgotten since the last publishing.
    changed: BTreeSet<Arc<str>>,
}

impl<D: Ask> Resolver<D> {
    fn take_routes(&mut self, destinations: Vec<Destination>) {
        let destinations: BTreeSet<Destination> = destinations.into_iter().collect();
        self.keep(|destination, entry| {
            entry.wanted_until.is_some() || destinations.contains(destination)
        });
        for destination in destinations {
            let name = Arc::clone(&destination.name);
            if self.entry(destination).wanted_until.take().is_some() {
                self.changed.insert(name);
            }
        }
    }

    fn want(&mut self, destination: Destination) {
        if self.entries.contains_key(&destination) {
            return;
        }
        let wanted = self.entries.iter().filter_map(|(destination, entry)| {
            entry.wanted_until.map(|until| (until, destination.clone()))
        });
        let (count, oldest) = wanted.fold((0, None), |(count, oldest), one| {
            let oldest = oldest.filter(|oldest| *oldest < one).unwrap_or(one);
            (count + 1, Some(oldest))
        });
        if let (WANTED_MAX.., Some((_, oldest))) = (count, oldest) {
            self.keep(|destination, _| *destination != oldest);
        }
        self.entry(destination).wanted_until = Some(Instant::now() + WANTED_FOR);
    }

    fn forget_unwanted(&mut self) {
        let now = Instant::now();
        self.keep(|_, entry| entry.wanted_until.is_none_or(|until| until > now));
    }

    fn entry(&mut self, destination: Destination) -> &mut Entry {
        let now = Instant::now();
        self.entries.entry(destination).or_insert(Entry {
            places: None,
            serves_until: now,
            due: Some(now),
            wanted_until: None,
            is_failing: false,
        })
    }

    fn keep(&mut self, is_kept: impl Fn(&Destination, &Entry) -> bool) {
        let changed = &mut self.changed;
        self.entries.retain(|destination, entry| {
            let is_kept = is_kept(destination, entry);
            if !is_kept {
                changed.insert(Arc::clone(&destination.name));
            }
            is_kept
        });
    }

    fn next_due(&self) -> Instant {
        // What is due and not started waits for a lookup to end.
        let waits = self.lookups.len() >= LOOKUPS_MAX;
        let due = self.entries.values().filter_map(|entry| entry.due);
        let due = due.filter(|_| !waits);
        let wanted = self.entries.values().filter_map(|entry| entry.wanted_until);
        let next = due.chain(wanted).min();
        next.unwrap_or_else(|| Instant::now() + VALID_MAX)
    }

    fn start_lookups(&mut self) {
        let now = Instant::now();
        let due = self.entries.iter_mut();
        let due = due.filter(|(_, entry)| entry.due.is_some_and(|due| due <= now));
        for (destination, entry) in due.take(LOOKUPS_MAX.saturating_sub(self.lookups.len())) {
            entry.due = None;
            let lookup = look_up(
                Arc::clone(&self.dns),
                Arc::clone(&self.spoken),
                destination.clone(),
            );
            self.lookups.spawn(lookup);
        }
    }

    /// Takes a lookup's end, and those of others that have ended too.
    fn take(&mut self, found: Result<Found, tokio::task::JoinError>) {
        let mut next = Some(found);
        while let Some(found) = next {
            match found {
                Ok(found) => self.learn(found),
                Err(error) => tracing::error!(%error, "a lookup has ended by a fault"),
            }
            next = self.lookups.try_join_next();
        }
    }

    fn learn(&mut self, found: Found) {
        let Some(entry) = self.entries.get_mut(&found.destination) else {
            return;
        };
        let now = Instant::now();
        let is_failing = found.failure.is_some();
        if is_failing != entry.is_failing {
            entry.is_failing = is_failing;
            let name = &*found.destination.name;
            match &found.failure {
                Some(failure) => tracing::warn!(name, failure, "host name cannot be located"),
                None => tracing::info!(name, "host name is located again"),
            }
        }
        let valid = found.valid.clamp(VALID_MIN, VALID_MAX);
        entry.due = Some(now + if is_failing { RETRY } else { valid });
        let serves_on = is_failing && entry.places.is_some() && now < entry.serves_until;
        if serves_on {
            return;
        }
        if !is_failing {
            entry.serves_until = now + valid + self.stale;
        }
        let places: Arc<[Place]> = found.places.into();
        if entry.places.as_ref() != Some(&places) {
            entry.places = Some(places);
            self.changed.insert(found.destination.name);
        }
    }

    async fn publish(&mut self, routes: &impl Routes) {
        if self.changed.is_empty() {
            return;
        }
        let names = std::mem::take(&mut self.changed);
        let changes = names.into_iter().map(|name| {
            let first = Destination {
                name: Arc::clone(&name),
                port: None,
                transport: None,
            };
            let of_name = self.entries.range(first..);
            let of_name = of_name.take_while(|(destination, _)| destination.name == name);
            let located: Vec<Located> = of_name
                .filter_map(|(destination, entry)| {
                    Some(Located {
                        port: destination.port,
                        transport: destination.transport,
                        places: entry.places.clone()?,
                        is_route: entry.wanted_until.is_none(),
                    })
                })
                .collect();
            (name, (!located.is_empty()).then(|| located.into()))
        });
        routes.publish(changes.collect()).await;
    }
}

/// Asks until [`locate`] knows enough. What nobody answers counts as absent: the places that come out then are
/// better than none, and not to be relied on.
async fn look_up<D: Ask>(dns: Arc<D>, spoken: Arc<[Transport]>, destination: Destination) -> Found {
    let mut known: BTreeMap<Question, Answer> = BTreeMap::new();
    let (mut valid, mut failure) = (VALID_MAX, None);
    loop {
        let located = locate(&destination, &spoken, |question| known.get(question));
        let missing = match located {
            Ok(places) => {
                return Found {
                    destination,
                    places: in_order(places),
                    valid,
                    failure,
                };
            }
            Err(missing) => missing,
        };
        let mut asked = JoinSet::new();
        for question in missing {
            let dns = Arc::clone(&dns);
            asked.spawn(async move { (dns.ask(&question).await, question) });
        }
        for (result, question) in asked.join_all().await {
            match result {
                Ok(answered) => {
                    valid = valid.min(answered.valid);
                    known.insert(question, answered.answer);
                }
                Err(error) => {
                    failure = Some(error);
                    known.insert(question.clone(), nothing(&question));
                }
            }
        }
    }
}

fn nothing(question: &Question) -> Answer {
    match question {
        Question::Naptr(_) => Answer::Naptr(Vec::new()),
        Question::Srv(_) => Answer::Srv(Vec::new()),
        Question::Addresses(_) => Answer::Addresses(Vec::new()),
    }
}

/// Name servers rotate their answers: that is no change worth publishing.
fn in_order(mut places: Vec<Place>) -> Vec<Place> {
    for place in &mut places {
        let mut addresses = place.addresses.to_vec();
        addresses.sort_unstable();
        addresses.dedup();
        place.addresses = addresses.into();
    }
    places.sort_by(|one, other| {
        let key = |place: &Place| {
            (
                place.rank,
                place.port,
                place.weight,
                place.addresses.clone(),
            )
        };
        key(one).cmp(&key(other))
    });
    places
}

#[cfg(test)]
mod tests;

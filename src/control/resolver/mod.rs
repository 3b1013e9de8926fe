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
/// Of these, those for names that calls came upon: a peer that names hosts of dead zones keeps no route waiting.
const WANTED_LOOKUPS_MAX: usize = 8;
/// After a failure a name is looked up again so soon; one of calls later and later.
const RETRY: Duration = Duration::from_secs(10);
/// As often that wait doubles at most.
const DOUBLINGS_MAX: u32 = 6;
/// A lookup that has not come back after this has ended by a fault of ours.
const LOST: Duration = Duration::from_secs(120);
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
    /// Why some of them may be missing, where one family's addresses could not be told.
    pub missing: Option<String>,
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
    /// What the last lookup heard, for when nobody answers.
    heard: Heard,
    /// When it is to be looked up.
    due: Instant,
    /// Until when it is kept though no route names it; `None` for a route's.
    wanted_until: Option<Instant>,
    /// Lookups in a row that were not whole.
    failures: u32,
    is_looked_up: bool,
}

/// Answers, and until when each serves though nobody answers.
type Heard = BTreeMap<Question, (Answer, Instant)>;

/// What a lookup came to.
struct Found {
    destination: Destination,
    places: Vec<Place>,
    heard: Heard,
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
        self.entries.entry(destination).or_insert(Entry {
            places: None,
            heard: Heard::new(),
            due: Instant::now(),
            wanted_until: None,
            failures: 0,
            is_looked_up: false,
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
        // What is due and has to wait for a lookup to end is looked at again then.
        let now = Instant::now();
        let due = self
            .entries
            .values()
            .map(|entry| entry.due)
            .filter(|due| *due > now);
        let wanted = self.entries.values().filter_map(|entry| entry.wanted_until);
        let next = due.chain(wanted).min();
        next.unwrap_or_else(|| now + VALID_MAX)
    }

    /// Begins what is due: routes' names before those of calls, and what has been due longest first.
    fn start_lookups(&mut self) {
        let now = Instant::now();
        let under_way = self.entries.values().filter(|entry| entry.is_looked_up);
        let wanted_under_way = under_way
            .filter(|entry| entry.wanted_until.is_some())
            .count();
        let due = self
            .entries
            .iter_mut()
            .filter(|(_, entry)| entry.due <= now);
        let mut due: Vec<(&Destination, &mut Entry)> = due.collect();
        due.sort_by_key(|(_, entry)| (entry.wanted_until.is_some(), entry.due));
        let mut room = LOOKUPS_MAX.saturating_sub(self.lookups.len());
        let mut room_for_wanted = WANTED_LOOKUPS_MAX.saturating_sub(wanted_under_way);
        for (destination, entry) in due {
            let is_wanted = entry.wanted_until.is_some();
            if room == 0 || (is_wanted && room_for_wanted == 0) {
                break;
            }
            room -= 1;
            room_for_wanted -= usize::from(is_wanted);
            entry.due = now + LOST;
            entry.is_looked_up = true;
            let lookup = Lookup {
                dns: Arc::clone(&self.dns),
                spoken: Arc::clone(&self.spoken),
                stale: self.stale,
                destination: destination.clone(),
                before: entry.heard.clone(),
            };
            self.lookups.spawn(lookup.run());
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
        let name = &found.destination.name;
        let is_of_route = entry.wanted_until.is_none();
        if is_of_route {
            tell(name, entry, &found);
        }
        entry.is_looked_up = false;
        entry.heard = found.heard;
        let wait = match (found.failure.is_some(), is_of_route) {
            (false, _) => {
                entry.failures = 0;
                found.valid.clamp(VALID_MIN, VALID_MAX)
            }
            (true, is_of_route) => {
                entry.failures = entry.failures.saturating_add(1);
                let doublings = (entry.failures - 1).min(DOUBLINGS_MAX);
                match is_of_route {
                    true => RETRY,
                    false => RETRY * (1 << doublings),
                }
            }
        };
        entry.due = Instant::now() + wait;
        let places: Arc<[Place]> = found.places.into();
        if entry.places.as_ref() != Some(&places) {
            entry.places = Some(places);
            self.changed.insert(Arc::clone(name));
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

/// What an operator wants to know of a route's name: when it is first located, when it is nowhere, and when
/// nobody can say.
fn tell(name: &str, before: &Entry, found: &Found) {
    let had_places = before.places.as_ref().map(|places| !places.is_empty());
    let (had_failed, has_places) = (before.failures > 0, !found.places.is_empty());
    match (&found.failure, had_failed) {
        (Some(failure), false) => tracing::warn!(name, failure, "host name cannot be located"),
        (Some(_), true) => {}
        (None, _) if has_places && (had_failed || had_places != Some(true)) => {
            tracing::info!(name, places = found.places.len(), "host name is located");
        }
        (None, _) if !has_places && had_places != Some(false) => {
            tracing::warn!(
                name,
                "host name is nowhere: no SRV record, and no address; check its spelling"
            );
        }
        (None, _) => {}
    }
}

/// One lookup of a destination.
struct Lookup<D> {
    dns: Arc<D>,
    spoken: Arc<[Transport]>,
    stale: Duration,
    destination: Destination,
    /// What the lookup before has heard.
    before: Heard,
}

impl<D: Ask> Lookup<D> {
    /// Asks until [`locate`] knows enough. A question that nobody answers has its last answer, while that
    /// serves, and after that counts as one for nothing.
    async fn run(self) -> Found {
        let mut known: BTreeMap<Question, Answer> = BTreeMap::new();
        let mut heard = Heard::new();
        let (mut valid, mut failure) = (VALID_MAX, None);
        loop {
            let located = locate(&self.destination, &self.spoken, |question| {
                known.get(question)
            });
            let missing = match located {
                Ok(places) => {
                    return Found {
                        destination: self.destination,
                        places: in_order(places),
                        heard,
                        valid,
                        failure,
                    };
                }
                Err(missing) => missing,
            };
            let mut asked = JoinSet::new();
            for question in missing {
                let dns = Arc::clone(&self.dns);
                asked.spawn(async move { (dns.ask(&question).await, question) });
            }
            for (result, question) in asked.join_all().await {
                let now = Instant::now();
                let before = self.before.get(&question).filter(|(_, until)| *until > now);
                let (answer, until) = match result {
                    Ok(Known {
                        answer,
                        valid: holds,
                        missing,
                    }) => {
                        valid = valid.min(holds);
                        let until = now + holds.clamp(VALID_MIN, VALID_MAX) + self.stale;
                        match (missing, before) {
                            (None, _) => (answer, until),
                            (Some(error), None) => {
                                failure = Some(error);
                                (answer, until)
                            }
                            (Some(error), Some((before, until))) => {
                                failure = Some(error);
                                (both(answer, before), *until)
                            }
                        }
                    }
                    Err(error) => {
                        failure = Some(error);
                        before.cloned().unwrap_or_else(|| (nothing(&question), now))
                    }
                };
                heard.insert(question.clone(), (answer.clone(), until));
                known.insert(question, answer);
            }
        }
    }
}

/// Addresses that were told now, and those that were told before.
fn both(now: Answer, before: &Answer) -> Answer {
    match (now, before) {
        (Answer::Addresses(mut now), Answer::Addresses(before)) => {
            now.extend(before);
            Answer::Addresses(now)
        }
        (now, _) => now,
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

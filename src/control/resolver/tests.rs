use std::sync::{Mutex, PoisonError};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::*;

/// What the DNS says: for a name its addresses and their time to live, or that nobody answers.
type Zone = Arc<Mutex<BTreeMap<String, Result<(Vec<&'static str>, u64), ()>>>>;

/// The DNS as a table; every question for addresses goes to a channel.
struct Table {
    zone: Zone,
    asked: UnboundedSender<String>,
}

impl Ask for Table {
    async fn ask(&self, question: &Question) -> Result<Known, String> {
        let Question::Addresses(name) = question else {
            return Ok(Known {
                answer: nothing(question),
                valid: VALID_MAX,
                missing: None,
            });
        };
        self.asked.send(name.clone()).ok();
        let zone = self.zone.lock().unwrap_or_else(PoisonError::into_inner);
        match zone.get(name) {
            Some(Ok((addresses, seconds))) => Ok(Known {
                answer: Answer::Addresses(
                    addresses
                        .iter()
                        .map(|address| address.parse().unwrap())
                        .collect(),
                ),
                valid: Duration::from_secs(*seconds),
                missing: None,
            }),
            Some(Err(())) => Err("no answer".to_owned()),
            None => Ok(Known {
                answer: nothing(question),
                valid: Duration::from_secs(60),
                missing: None,
            }),
        }
    }
}

/// Routes by name; what is published goes to a channel.
struct Named {
    names: Arc<Mutex<Vec<&'static str>>>,
    published: UnboundedSender<(String, Option<Vec<String>>)>,
}

impl Routes for Named {
    fn destinations(&self) -> Vec<Destination> {
        let names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        names.iter().map(|name| destination(name)).collect()
    }

    async fn publish(&self, changes: Changes) {
        for (name, located) in changes {
            let addresses = located.map(|located| {
                let places = located.iter().flat_map(|located| located.places.iter());
                let addresses = places.flat_map(|place| place.addresses.iter());
                addresses.map(ToString::to_string).collect()
            });
            self.published.send((name.to_string(), addresses)).ok();
        }
    }
}

fn destination(name: &str) -> Destination {
    Destination {
        name: name.into(),
        port: Some(5060),
        transport: None,
    }
}

/// Lets virtual time pass.
async fn pass(time: Duration) {
    let forever = std::future::pending::<()>();
    assert!(tokio::time::timeout(time, forever).await.is_err());
}

/// A resolver that runs, in virtual time.
struct Running {
    zone: Zone,
    names: Arc<Mutex<Vec<&'static str>>>,
    changed: Arc<Notify>,
    wanted: mpsc::Sender<Destination>,
    published: UnboundedReceiver<(String, Option<Vec<String>>)>,
    asked: UnboundedReceiver<String>,
}

fn start(names: &[&'static str], zone: &[(&str, &'static str, u64)], stale: u64) -> Running {
    let (published, publications) = unbounded_channel();
    let (asked, questions) = unbounded_channel();
    let (wanted, wants) = mpsc::channel(4_096);
    let changed = Arc::new(Notify::new());
    let names = Arc::new(Mutex::new(names.to_vec()));
    let records = zone
        .iter()
        .map(|(name, address, seconds)| ((*name).to_owned(), Ok((vec![*address], *seconds))));
    let zone: Zone = Arc::new(Mutex::new(records.collect()));
    tokio::spawn(run(
        Named {
            names: Arc::clone(&names),
            published,
        },
        Table {
            zone: Arc::clone(&zone),
            asked,
        },
        (vec![Transport::Udp], Duration::from_secs(stale)),
        Arc::clone(&changed),
        wants,
    ));
    Running {
        zone,
        names,
        changed,
        wanted,
        published: publications,
        asked: questions,
    }
}

impl Running {
    fn set(&self, name: &str, record: Result<(Vec<&'static str>, u64), ()>) {
        let mut zone = self.zone.lock().unwrap_or_else(PoisonError::into_inner);
        zone.insert(name.to_owned(), record);
    }

    async fn published(&mut self, name: &str, addresses: Option<&[&str]>) {
        let (published, found) = self.published.recv().await.unwrap();
        let expected =
            addresses.map(|addresses| addresses.iter().map(|one| (*one).to_owned()).collect());
        assert_eq!((published.as_str(), found), (name, expected));
    }

    /// Lets that many seconds pass, and says how often `name` was asked for.
    async fn asked_within(&mut self, name: &str, seconds: u64) -> usize {
        pass(Duration::from_secs(seconds)).await;
        let mut count = 0;
        while let Ok(asked) = self.asked.try_recv() {
            count += usize::from(asked == name);
        }
        count
    }

    fn nothing_published(&mut self) {
        assert!(self.published.try_recv().is_err());
    }
}

#[tokio::test(start_paused = true)]
async fn a_name_is_located_again_when_its_time_to_live_is_over() {
    let mut running = start(&["pbx.example"], &[("pbx.example", "192.0.2.1", 60)], 0);
    running.published("pbx.example", Some(&["192.0.2.1"])).await;
    assert_eq!(running.asked_within("pbx.example", 59).await, 1);
    running.set("pbx.example", Ok((vec!["192.0.2.2"], 60)));
    running.published("pbx.example", Some(&["192.0.2.2"])).await;
    assert_eq!(running.asked_within("pbx.example", 590).await, 10);
    running.nothing_published();
}

#[tokio::test(start_paused = true)]
async fn no_time_to_live_is_not_every_moment() {
    let mut running = start(&["pbx.example"], &[("pbx.example", "192.0.2.1", 0)], 0);
    let asked = running.asked_within("pbx.example", 99).await;
    assert_eq!(asked, 20, "every 5 s");
}

#[tokio::test(start_paused = true)]
async fn what_was_known_serves_on_while_nobody_answers_but_not_for_ever() {
    let mut running = start(&["pbx.example"], &[("pbx.example", "192.0.2.1", 60)], 100);
    running.published("pbx.example", Some(&["192.0.2.1"])).await;
    running.set("pbx.example", Err(()));
    let asked = running.asked_within("pbx.example", 155).await;
    assert_eq!(asked, 1 + 10, "after its 60 s every 10 s");
    running.nothing_published();
    // 60 s of its own and 100 s of grace are over.
    running.published("pbx.example", Some(&[])).await;
    running.set("pbx.example", Ok((vec!["192.0.2.1"], 60)));
    running.published("pbx.example", Some(&["192.0.2.1"])).await;
}

#[tokio::test(start_paused = true)]
async fn a_name_that_is_decidedly_gone_does_not_serve_on() {
    let mut running = start(
        &["pbx.example"],
        &[("pbx.example", "192.0.2.1", 60)],
        86_400,
    );
    running.published("pbx.example", Some(&["192.0.2.1"])).await;
    running.set("pbx.example", Ok((vec![], 60)));
    running.published("pbx.example", Some(&[])).await;
}

#[tokio::test(start_paused = true)]
async fn new_routes_are_located_at_once_and_old_ones_forgotten() {
    let zone = [
        ("one.example", "192.0.2.1", 3_600),
        ("two.example", "192.0.2.2", 3_600),
    ];
    let mut running = start(&["one.example"], &zone, 0);
    running.published("one.example", Some(&["192.0.2.1"])).await;
    *running.names.lock().unwrap() = vec!["two.example"];
    running.changed.notify_one();
    running.published("one.example", None).await;
    running.published("two.example", Some(&["192.0.2.2"])).await;
}

#[tokio::test(start_paused = true)]
async fn what_calls_came_upon_is_located_for_a_while_and_no_more_than_so_many() {
    let mut running = start(&[], &[("peer.example", "192.0.2.1", 600)], 0);
    running
        .wanted
        .send(destination("peer.example"))
        .await
        .unwrap();
    running
        .wanted
        .send(destination("peer.example"))
        .await
        .unwrap();
    running
        .published("peer.example", Some(&["192.0.2.1"]))
        .await;
    assert_eq!(running.asked_within("peer.example", 10).await, 1);
    running.published("peer.example", None).await;

    for number in 0..=WANTED_MAX {
        let name = destination(&format!("h{number}.example"));
        running.wanted.send(name).await.unwrap();
        pass(Duration::from_millis(1)).await;
    }
    let mut kept = BTreeSet::new();
    while let Ok((name, located)) = running.published.try_recv() {
        match located {
            Some(_) => assert!(kept.insert(name)),
            None => assert!(kept.remove(&name)),
        }
    }
    assert_eq!(kept.len(), WANTED_MAX);
    assert!(
        !kept.contains("h0.example"),
        "the one wanted longest ago went"
    );
}

#[tokio::test(start_paused = true)]
async fn many_names_are_asked_for_in_turns() {
    let names: Vec<&'static str> = (0..1_000)
        .map(|number| &*Box::leak(format!("h{number}.example").into_boxed_str()))
        .collect();
    let mut running = start(&names, &[], 0);
    for _ in 0..1_000 {
        running.published.recv().await.unwrap();
    }
    running.nothing_published();
}

#[tokio::test(start_paused = true)]
async fn names_of_calls_that_nobody_answers_for_keep_no_route_waiting() {
    let mut running = start(&["pbx.example"], &[("pbx.example", "192.0.2.1", 60)], 0);
    for number in 0..200 {
        let name = format!("a{number}.dead");
        running.set(&name, Err(()));
        running.wanted.send(destination(&name)).await.unwrap();
    }
    assert_eq!(running.asked_within("pbx.example", 605).await, 11);
    // They are asked for less and less often.
    let asked: usize = running.asked_within("a7.dead", 3_000).await;
    assert!(asked <= 10, "{asked}");
}

/// Answers to the questions of one destination with SRV: what each says, or that nobody answers.
struct Srv2(Arc<Mutex<BTreeMap<Question, Result<Answer, ()>>>>);

impl Ask for Srv2 {
    async fn ask(&self, question: &Question) -> Result<Known, String> {
        let zone = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let answer = match zone.get(question) {
            Some(Ok(answer)) => answer.clone(),
            Some(Err(())) => return Err("no answer".to_owned()),
            None => nothing(question),
        };
        Ok(Known {
            answer,
            valid: Duration::from_secs(60),
            missing: None,
        })
    }
}

#[tokio::test]
async fn what_is_answered_counts_and_only_what_is_not_is_stale() {
    let srv = |targets: &[&str]| {
        let records = targets
            .iter()
            .enumerate()
            .map(|(rank, target)| crate::sip::locate::Srv {
                priority: rank as u16,
                weight: 0,
                port: 5060,
                target: (*target).to_owned(),
            });
        Ok(Answer::Srv(records.collect()))
    };
    let name = Question::Srv("_sip._udp.trunk.example".to_owned());
    let addresses = |name: &str| Question::Addresses(name.to_owned());
    let at = |address: &str| Ok(Answer::Addresses(vec![address.parse().unwrap()]));
    let zone = Arc::new(Mutex::new(BTreeMap::from([
        (name.clone(), srv(&["old", "kept"])),
        (addresses("old"), at("192.0.2.1")),
        (addresses("kept"), at("192.0.2.2")),
    ])));
    let dns = Arc::new(Srv2(Arc::clone(&zone)));
    let look_up = async |before: Heard| {
        let lookup = Lookup {
            dns: Arc::clone(&dns),
            spoken: [Transport::Udp].into(),
            stale: Duration::from_secs(1_000),
            destination: Destination {
                name: "trunk.example".into(),
                port: None,
                transport: Some(Transport::Udp),
            },
            before,
        };
        lookup.run().await
    };
    let shown = |found: &Found| -> Vec<String> {
        let all = found.places.iter().flat_map(|place| place.addresses.iter());
        all.map(ToString::to_string).collect()
    };
    let first = look_up(Heard::new()).await;
    assert_eq!(shown(&first), ["192.0.2.1", "192.0.2.2"]);
    // One target is replaced by two, of which one cannot be told; of another the old address still serves.
    {
        let mut zone = zone.lock().unwrap();
        zone.insert(name, srv(&["new", "dead", "kept"]));
        zone.insert(addresses("new"), at("192.0.2.3"));
        zone.insert(addresses("dead"), Err(()));
        zone.insert(addresses("kept"), Err(()));
    }
    let second = look_up(first.heard).await;
    assert!(second.failure.is_some());
    assert_eq!(shown(&second), ["192.0.2.3", "192.0.2.2"]);
}

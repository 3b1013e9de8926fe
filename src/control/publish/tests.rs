//! Two nodes on one PostgreSQL: what is written at one is what calls see at the other, within a second.

use std::time::Duration;

use serde_json::json;

use super::*;
use crate::config::SipTls;
use crate::numbering::E164;
use crate::shard::snapshot::{NumberHolder, ProxySession};
use crate::store::tests::place::Place;
use crate::store::{GroupItem, GroupRecord, NumberChange};

const ACCOUNT: &str = "111122223333";
const DEADLINE: Duration = Duration::from_secs(1);
/// For a node that has to connect anew first.
const RECONNECTED: Duration = Duration::from_secs(10);

struct Node {
    control: Arc<Control>,
    published: Arc<Notify>,
}

impl Node {
    async fn open(place: &Place, name: &str) -> Self {
        let url = place.url(name);
        let control = Control::open(
            &url,
            "vc.example",
            Vec::new(),
            SipTls::default().customers(),
            Default::default(),
        );
        let control = control.await.unwrap();
        let published = Arc::new(Notify::new());
        let notify = Arc::clone(&published);
        control.on_publish(move || notify.notify_one());
        Self { control, published }
    }

    async fn following(place: &Place, name: &str) -> Self {
        let node = Self::open(place, name).await;
        let control = Arc::clone(&node.control);
        tokio::spawn(async move { control.follow().await });
        node
    }

    /// Waits until calls see what they should.
    async fn sees(&self, within: Duration, what: &str, is_so: impl Fn(&Snapshot) -> bool) {
        let seen = async {
            while !is_so(&self.control.snapshot()) {
                self.published.notified().await;
            }
        };
        let seen = tokio::time::timeout(within, seen).await;
        assert!(seen.is_ok(), "{what} is not seen within {within:?}");
    }

    async fn create(&self, name: &str) -> VoiceConnectorId {
        let new = NewVoiceConnector {
            account: ACCOUNT.to_owned(),
            name: name.to_owned(),
            aws_region: "us-east-1".to_owned(),
            require_encryption: false,
            network_type: "IPV4_ONLY".to_owned(),
            integration_type: None,
        };
        self.control
            .create_voice_connector(new, 100)
            .await
            .unwrap()
            .id
    }
}

/// Of an hour.
fn session_document(connector: VoiceConnectorId, created: Timestamp) -> Document {
    let participant =
        |own: &str, proxy: &str| json!({"PhoneNumber": own, "ProxyPhoneNumber": proxy});
    Document {
        id: uuid::Uuid::new_v4().to_string(),
        parent: connector.to_string(),
        body: json!({
            "Participants": [
                participant("+14255550123", "+12065550101"),
                participant("+13605550145", "+12065550101"),
            ],
            "Capabilities": ["Voice"],
            "ExpiryMinutes": 60,
        }),
        created,
        updated: created,
    }
}

fn key<'i>(kind: &'static str, id: &'i VoiceConnectorId) -> Key<'i> {
    Key {
        kind,
        account: ACCOUNT,
        id: id.as_str(),
    }
}

async fn put_proxy(control: &Control, id: VoiceConnectorId, body: serde_json::Value) {
    let key = key(Store::PROXY, &id);
    let writing = control.hold_writes().await;
    let put = control.put_configuration(&writing, key, id, &body, Timestamp::now());
    put.await.unwrap();
}

fn group(items: &[(VoiceConnectorId, u8)]) -> GroupRecord {
    let items = items.iter().map(|(voice_connector, priority)| GroupItem {
        voice_connector: *voice_connector,
        priority: *priority,
    });
    GroupRecord {
        id: uuid::Uuid::new_v4(),
        account: ACCOUNT.to_owned(),
        name: "branches".to_owned(),
        call_distribution_type: None,
        items: items.collect(),
        created: Timestamp::now(),
        updated: Timestamp::now(),
    }
}

fn number(last: u64) -> E164 {
    E164::from_digits(12_065_550_100 + last).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_node_sees_each_write_within_a_second() {
    let Some(place) = Place::postgres().await else {
        return;
    };
    let writer = Node::following(&place, "one").await;
    let reader = Node::following(&place, "two").await;
    let control = &writer.control;
    let id = writer.create("new").await;
    let connector = |snapshot: &Snapshot| snapshot.connectors.get(&id).cloned();
    let is_there = |snapshot: &Snapshot| connector(snapshot).is_some();
    reader.sees(DEADLINE, "a new connector", is_there).await;

    let termination = TerminationRecord {
        cps_limit: 3,
        default_phone_number: None,
        calling_regions: vec!["US".to_owned()],
        cidr_allowed_list: vec!["192.0.2.0/28".parse().unwrap()],
        disabled: false,
    };
    control
        .put_termination(ACCOUNT, id, &termination)
        .await
        .unwrap();
    let has_termination = |snapshot: &Snapshot| {
        let termination = connector(snapshot).and_then(|found| found.termination.clone());
        termination.is_some_and(|found| found.cps_limit == 3)
    };
    reader.sees(DEADLINE, "termination", has_termination).await;

    let password = [("me".to_owned(), Secret("hush".to_owned()))];
    control
        .put_credentials(ACCOUNT, id, &password, 10)
        .await
        .unwrap();
    let has_credentials =
        |snapshot: &Snapshot| connector(snapshot).is_some_and(|found| found.credentials.len() == 1);
    reader.sees(DEADLINE, "a credential", has_credentials).await;

    let numbers: Vec<E164> = (0..500).map(number).collect();
    control
        .order_numbers(ACCOUNT, "VoiceConnector", None, &numbers)
        .await
        .unwrap();
    control
        .associate_numbers(ACCOUNT, id, &numbers, false)
        .await
        .unwrap();
    let has_numbers = |snapshot: &Snapshot| {
        numbers
            .iter()
            .all(|number| snapshot.numbers.get(number) == Some(&NumberHolder::Connector(id)))
    };
    reader.sees(DEADLINE, "the numbers", has_numbers).await;
    control
        .disassociate_numbers(ACCOUNT, id, &numbers)
        .await
        .unwrap();
    let has_none = |snapshot: &Snapshot| snapshot.numbers.is_empty();
    reader.sees(DEADLINE, "that they are gone", has_none).await;

    control
        .associate_numbers(ACCOUNT, id, &numbers[..1], false)
        .await
        .unwrap();
    let named = |name: &'static str| {
        move |snapshot: &Snapshot| {
            let found = snapshot.calling_names.get(&number(0));
            found.is_some_and(|found| &**found == name)
        }
    };
    let settings = json!({"CallingName": "Acme"});
    control
        .put_number_settings(ACCOUNT, None, &settings, Timestamp::now())
        .await
        .unwrap();
    let what = "the account's calling name";
    reader.sees(DEADLINE, what, named("Acme")).await;
    let own = [(number(0), NumberChange::CallingName("Trunk"))];
    control
        .change_numbers(ACCOUNT, &own, Timestamp::now())
        .await
        .unwrap();
    reader.sees(DEADLINE, "its own", named("Trunk")).await;
    control
        .disassociate_numbers(ACCOUNT, id, &numbers[..1])
        .await
        .unwrap();
    let has_none = |snapshot: &Snapshot| snapshot.calling_names.is_empty();
    reader.sees(DEADLINE, "that it has none", has_none).await;

    let group = group(&[(id, 7)]);
    control.create_group(&group, 10).await.unwrap();
    let has = |members: Option<usize>| {
        move |snapshot: &Snapshot| {
            let found = snapshot.groups.get(&group.id);
            found.map(|found| found.len()) == members
        }
    };
    reader.sees(DEADLINE, "a new group", has(Some(1))).await;
    control
        .update_group(ACCOUNT, group.id, "empty", None, &[], Timestamp::now())
        .await
        .unwrap();
    reader.sees(DEADLINE, "a change of it", has(Some(0))).await;
    control.delete_group(ACCOUNT, group.id).await.unwrap();
    reader.sees(DEADLINE, "that it is gone", has(None)).await;

    put_proxy(control, id, json!({"FallBackPhoneNumber": "+12065550199"})).await;
    let has_proxy =
        |snapshot: &Snapshot| connector(snapshot).is_some_and(|one| one.proxy.is_some());
    reader.sees(DEADLINE, "the proxy", has_proxy).await;

    let writing = control.hold_writes().await;
    let session = session_document(id, Timestamp::now());
    let name = session.id.clone();
    control
        .create_session(&writing, session, ACCOUNT)
        .await
        .unwrap();
    drop(writing);
    let has = |is: fn(&ProxySession) -> bool| {
        let name = name.clone();
        move |snapshot: &Snapshot| {
            snapshot
                .proxy_sessions
                .get(&name)
                .is_some_and(|one| is(one))
        }
    };
    let is_new = has(|session| !session.in_progress);
    reader.sees(DEADLINE, "a proxy session", is_new).await;
    control
        .use_session(id, &name, Timestamp::now())
        .await
        .unwrap();
    let is_used = has(|session| session.in_progress);
    reader.sees(DEADLINE, "that it is used", is_used).await;
    let writing = control.hold_writes().await;
    control
        .forget_session(&writing, ACCOUNT, &name)
        .await
        .unwrap();
    drop(writing);
    let is_gone = |snapshot: &Snapshot| {
        snapshot
            .proxy_sessions
            .connectors_of(number(1))
            .next()
            .is_none()
    };
    reader.sees(DEADLINE, "that it is gone", is_gone).await;

    // The other way round.
    reader
        .control
        .delete_voice_connector(ACCOUNT, id, &[], "none")
        .await
        .unwrap();
    let is_gone = |snapshot: &Snapshot| connector(snapshot).is_none();
    writer.sees(DEADLINE, "the deletion", is_gone).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_whose_connections_are_lost_sees_what_it_missed() {
    let Some(place) = Place::postgres().await else {
        return;
    };
    let writer = Node::following(&place, "one").await;
    let reader = Node::following(&place, "two").await;
    for round in 0..5 {
        place.disconnect("two").await;
        let id = writer.create("new").await;
        let is_there = |snapshot: &Snapshot| snapshot.connectors.contains_key(&id);
        let what = format!("what was created in round {round}");
        reader.sees(RECONNECTED, &what, is_there).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_is_read_again_when_nothing_was_heard() {
    let Some(place) = Place::postgres().await else {
        return;
    };
    let writer = Node::open(&place, "one").await;
    let control = &writer.control;
    let (deleted, kept) = (writer.create("deleted").await, writer.create("kept").await);
    let numbers = [number(0), number(1)];
    control
        .order_numbers(ACCOUNT, "VoiceConnector", None, &numbers)
        .await
        .unwrap();
    control
        .associate_numbers(ACCOUNT, kept, &numbers[..1], false)
        .await
        .unwrap();

    // It listens to nobody.
    let reader = Node::open(&place, "two").await;
    control
        .delete_voice_connector(ACCOUNT, deleted, &[], "none")
        .await
        .unwrap();
    control
        .update_voice_connector(ACCOUNT, kept, "kept", true)
        .await
        .unwrap();
    control
        .disassociate_numbers(ACCOUNT, kept, &numbers[..1])
        .await
        .unwrap();
    control
        .associate_numbers(ACCOUNT, kept, &numbers[1..], false)
        .await
        .unwrap();
    let created = writer.create("created").await;
    let group = group(&[(kept, 1), (created, 1)]);
    control.create_group(&group, 10).await.unwrap();

    reader.control.listen_again().await.unwrap();
    let snapshot = reader.control.snapshot();
    let connector = |id| snapshot.connectors.get(&id);
    assert!(connector(deleted).is_none() && connector(created).is_some());
    assert!(connector(kept).is_some_and(|kept| kept.require_encryption));
    let associated: Vec<_> = snapshot.numbers.iter().collect();
    assert_eq!(associated, [(&numbers[1], &NumberHolder::Connector(kept))]);
    assert_eq!(snapshot.hosts.len(), 2);
    assert_eq!(snapshot.groups[&group.id].len(), 2);
}

#[tokio::test]
async fn a_groups_numbers_and_members_are_what_calls_see() {
    let place = Place::sqlite();
    let node = Node::open(&place, "one").await;
    let control = &node.control;
    let mut ids = Vec::new();
    for name in ["one", "two", "three"] {
        ids.push(node.create(name).await);
    }
    let numbers = [number(0), number(1)];
    control
        .order_numbers(ACCOUNT, "VoiceConnector", None, &numbers)
        .await
        .unwrap();
    let group = group(&[(ids[0], 9), (ids[1], 1), (ids[2], 9)]);
    control.create_group(&group, 10).await.unwrap();
    control
        .associate_numbers(ACCOUNT, group.id, &numbers[..1], false)
        .await
        .unwrap();
    let seen = |snapshot: &Snapshot| {
        let members = snapshot.groups[&group.id].iter();
        let members: Vec<_> = members.map(|member| member.connector).collect();
        assert_eq!(members, [ids[1], ids[0], ids[2]], "by priority");
        let holder = NumberHolder::Group(group.id);
        assert_eq!(snapshot.numbers.get(&numbers[0]), Some(&holder));
        assert!(snapshot.is_number_of(numbers[0], ids[2]));
        assert!(!snapshot.numbers.contains_key(&numbers[1]));
    };
    seen(&control.snapshot());
    // As a node that starts reads it.
    seen(&Node::open(&place, "one").await.control.snapshot());

    let now = Timestamp::now();
    let items = [GroupItem {
        voice_connector: ids[0],
        priority: 1,
    }];
    let updated = control.update_group(ACCOUNT, group.id, "fewer", None, &items, now);
    assert_eq!(updated.await.unwrap().items, items);
    let snapshot = control.snapshot();
    assert!(!snapshot.is_number_of(numbers[0], ids[2]));
    assert!(snapshot.is_number_of(numbers[0], ids[0]));
    control
        .disassociate_numbers(ACCOUNT, group.id, &numbers[..1])
        .await
        .unwrap();
    let emptied = control.update_group(ACCOUNT, group.id, "empty", None, &[], now);
    emptied.await.unwrap();
    control.delete_group(ACCOUNT, group.id).await.unwrap();
    let snapshot = control.snapshot();
    assert!(snapshot.groups.is_empty() && snapshot.numbers.is_empty());
}

/// An origination with one route.
fn to(host: &str) -> OriginationRecord {
    OriginationRecord {
        routes: vec![RouteRecord {
            host: host.to_owned(),
            port: 5060,
            protocol: RouteProtocol::Udp,
            priority: 1,
            weight: 1,
        }],
        disabled: false,
    }
}

#[tokio::test]
async fn a_next_hop_is_down_until_it_is_up_again_or_no_route_leads_there() {
    let place = Place::sqlite();
    let node = Node::open(&place, "one").await;
    let control = &node.control;
    let id = node.create("pinged").await;
    let hop = |last: u8| NextHop {
        transport: Transport::Udp,
        address: ([192, 0, 2, last], 5060).into(),
        tls: None,
        listener: None,
    };
    let down = || [1, 2].map(|last| control.snapshot().next_hops.is_down(&hop(last)));
    let put = async |host: &str| {
        let done = control.put_origination(ACCOUNT, id, &to(host)).await;
        done.unwrap();
    };
    put("192.0.2.1").await;
    control.set_health(&[(hop(1), true), (hop(2), true)]).await;
    assert_eq!(down(), [true, false], "no route leads to the other");
    put("192.0.2.1").await;
    assert_eq!(down(), [true, false], "it is the same route");
    control.set_health(&[(hop(1), false)]).await;
    assert_eq!(down(), [false, false]);

    control.set_health(&[(hop(1), true)]).await;
    put("192.0.2.2").await;
    put("192.0.2.1").await;
    assert_eq!(down(), [false, false], "nobody has pinged since");
}

#[tokio::test]
async fn what_a_connector_says_of_proxy_and_emergency_calls_is_what_calls_see() {
    let place = Place::sqlite();
    let node = Node::open(&place, "one").await;
    let control = &node.control;
    let (id, other) = (node.create("one").await, node.create("other").await);
    let fallback = json!({"Disabled": true, "FallBackPhoneNumber": "+12065550199"});
    put_proxy(control, id, fallback).await;
    let emergency = json!({"DNIS": [
        {"EmergencyPhoneNumber": "+12065550911", "TestPhoneNumber": "12065550933", "CallingCountry": "US"},
        {"EmergencyPhoneNumber": "+14165550911", "CallingCountry": "CA"},
    ]});
    let origination = to("192.0.2.1");
    let put = control.put_origination(ACCOUNT, id, &origination);
    put.await.unwrap();
    let termination = TerminationRecord {
        cps_limit: 1,
        default_phone_number: None,
        calling_regions: Vec::new(),
        cidr_allowed_list: Vec::new(),
        disabled: false,
    };
    let put = control.put_termination(ACCOUNT, id, &termination);
    put.await.unwrap();
    let writing = control.hold_writes().await;
    let of_it = key(Store::EMERGENCY, &id);
    let put = control.put_configuration(&writing, of_it, id, &emergency, Timestamp::now());
    put.await.unwrap();
    drop(writing);
    let seen = |snapshot: &Snapshot| {
        let connector = &snapshot.connectors[&id];
        let proxy = ProxyPolicy {
            disabled: true,
            fallback: Some(number(99)),
        };
        assert_eq!(connector.proxy, Some(proxy));
        let [us, ca] = connector.emergency[..] else {
            panic!("{:?}", connector.emergency);
        };
        assert_eq!(us.number, "+12065550911".parse().unwrap());
        assert_eq!(us.test, Some("+12065550933".parse().unwrap()));
        assert_eq!(ca.test, None);
        let other = &snapshot.connectors[&other];
        assert_eq!((other.proxy, other.emergency.len()), (None, 0));
    };
    seen(&control.snapshot());
    // As a node that starts reads it, and one that was told of another write.
    let again = Node::open(&place, "one").await;
    seen(&again.control.snapshot());
    let writing = again.control.hold_writes().await;
    again.control.publish_connector(&writing, id).await.unwrap();
    seen(&again.control.snapshot());
    // Another write of the connector keeps them.
    let updated = control.update_voice_connector(ACCOUNT, id, "renamed", false);
    updated.await.unwrap();
    seen(&control.snapshot());

    for kind in [Store::PROXY, Store::EMERGENCY, Store::EMERGENCY] {
        let deleted = control.delete_configuration(key(kind, &id), id);
        deleted.await.unwrap();
    }
    let snapshot = control.snapshot();
    let connector = &snapshot.connectors[&id];
    assert_eq!((connector.proxy, connector.emergency.len()), (None, 0));
    let nobody = VoiceConnectorId::from_random([9; VoiceConnectorId::LENGTH]);
    let deleted = control.delete_configuration(key(Store::PROXY, &nobody), nobody);
    assert!(matches!(
        deleted.await,
        Err(StoreError::UnknownVoiceConnector(_))
    ));
}

#[tokio::test]
async fn an_expired_session_leaves_what_calls_look_through() {
    let place = Place::sqlite();
    let node = Node::open(&place, "one").await;
    let control = &node.control;
    let id = node.create("one").await;
    let now = Timestamp::now();
    let hours_ago = |hours| now - jiff::SignedDuration::from_hours(hours);
    let create = async |hours| {
        let session = session_document(id, hours_ago(hours));
        let name = session.id.clone();
        let writing = control.hold_writes().await;
        let created = control.create_session(&writing, session, ACCOUNT);
        created.await.unwrap();
        name
    };
    let is_participant = || {
        let sessions = &control.snapshot().proxy_sessions;
        sessions.has_participant("+14255550123".parse().unwrap())
    };
    let expired = |control: &Control| {
        let now = control.time().clock().now();
        control.snapshot().proxy_sessions.expired(now)
    };
    let over = create(2).await;
    assert_eq!(expired(control), [over.as_str().into()]);
    control.end_sessions().await;
    assert_eq!(expired(control), []);
    assert!(!is_participant());
    assert!(
        control
            .snapshot()
            .proxy_sessions
            .connectors_of(number(1))
            .next()
            .is_some()
    );
    // The next one has the same pairs.
    let open = create(0).await;
    assert!(is_participant());
    // All of them read anew are the same.
    control.publish_sessions().await.unwrap();
    assert_eq!(expired(control), []);
    let sessions = &control.snapshot().proxy_sessions;
    let at = control.time().instant(now);
    let found = sessions.find("+14255550123".parse().unwrap(), number(1), at);
    assert_eq!(found.map(|session| &*session.id), Some(open.as_str()));
}

#[tokio::test]
async fn names_are_looked_at_again_where_a_connectors_have_changed() {
    let place = Place::sqlite();
    let node = Node::open(&place, "one").await;
    let control = &node.control;
    let id = node.create("named").await;
    let changed = control.names_changed();
    let is_told = async || {
        let told = tokio::time::timeout(Duration::ZERO, changed.notified()).await;
        told.is_ok()
    };
    let put = async |host: &str| {
        let mut origination = to(host);
        origination.routes[0].protocol = RouteProtocol::Tcp;
        let done = control.put_origination(ACCOUNT, id, &origination).await;
        done.unwrap();
        is_told().await
    };
    assert!(!put("192.0.2.1").await, "an address is no name");
    assert!(put("pbx.example.com").await);
    assert!(!put("pbx.example.com").await, "the same name");
    // Encryption makes another transport of it.
    let updated = control.update_voice_connector(ACCOUNT, id, "named", true);
    updated.await.unwrap();
    assert!(is_told().await);
    assert!(put("sbc.example.com").await);
    assert!(put("192.0.2.1").await, "a name that is gone");
    control.delete_origination(ACCOUNT, id).await.unwrap();
    assert!(!is_told().await);
}

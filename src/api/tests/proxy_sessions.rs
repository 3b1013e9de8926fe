//! Proxy sessions. The connector has +1 206 555 0100..0102 and the proxy numbers of the United States.

use super::numbers::{associate, order};
use super::*;
use crate::numbering::E164;
use crate::shard::snapshot::ProxySession;

const ALICE: &str = "+14255550123";
const BOB: &str = "+13605550145";
const CAROL: &str = "+442071838750";

const NUMBERS: [&str; 3] = ["+12065550100", "+12065550101", "+12065550102"];

/// A node, and the path of a connector's proxy sessions.
async fn open() -> (Api, String) {
    let api = Api::open().await;
    let connector = api.connector().await;
    order(&api, &NUMBERS).await;
    let errors = associate(&api, &connector, json!({"E164PhoneNumbers": NUMBERS})).await;
    assert_eq!(errors, json!([]));
    put_proxy(
        &api,
        &connector,
        json!({"PhoneNumberPoolCountries": ["US"]}),
    )
    .await;
    (api, format!("{connector}/proxy-sessions"))
}

async fn put_proxy(api: &Api, connector: &str, with: Value) {
    let mut body = json!({"DefaultSessionExpiryMinutes": 60, "PhoneNumberPoolCountries": ["US"]});
    let members = body.as_object_mut().unwrap();
    members.extend(with.as_object().unwrap().clone());
    let path = format!("{connector}/programmable-numbers/proxy");
    api.put(&path, body).await.unwrap();
}

fn connector_of(sessions: &str) -> &str {
    sessions.strip_suffix("/proxy-sessions").unwrap()
}

async fn create(
    api: &Api,
    sessions: &str,
    pair: [&str; 2],
    with: Value,
) -> Result<Value, ApiError> {
    let mut body = json!({"ParticipantPhoneNumbers": pair, "Capabilities": ["Voice"]});
    let members = body.as_object_mut().unwrap();
    members.extend(with.as_object().unwrap().clone());
    let mut output = api.post(StatusCode::CREATED, sessions, body).await?;
    Ok(output["ProxySession"].take())
}

fn path_of(sessions: &str, session: &Value) -> String {
    format!("{sessions}/{}", session["ProxySessionId"].as_str().unwrap())
}

/// The proxy numbers of the two participants.
fn proxies(session: &Value) -> [&str; 2] {
    [0, 1].map(|index| {
        let participant = &session["Participants"][index];
        participant["ProxyPhoneNumber"].as_str().unwrap()
    })
}

fn in_59_minutes() -> jiff::Timestamp {
    jiff::Timestamp::now() + jiff::SignedDuration::from_mins(59)
}

fn in_61_minutes() -> jiff::Timestamp {
    jiff::Timestamp::now() + jiff::SignedDuration::from_mins(61)
}

#[tokio::test]
async fn a_session_is_created_read_changed_and_closed() {
    let (api, sessions) = open().await;
    let with = json!({"Name": "ride 7", "Capabilities": ["SMS", "Voice"]});
    let created = create(&api, &sessions, [ALICE, BOB], with).await.unwrap();
    let path = path_of(&sessions, &created);
    assert_eq!(created["Status"], "Open");
    assert_eq!(created["Name"], "ride 7");
    assert_eq!(created["ExpiryMinutes"], 60);
    assert_eq!(created["EndedTimestamp"], Value::Null);
    assert_eq!(created["Capabilities"], json!(["SMS", "Voice"]));
    assert_eq!(created["Participants"][0]["PhoneNumber"], ALICE);
    assert_eq!(created["Participants"][1]["PhoneNumber"], BOB);
    assert_eq!(proxies(&created), [NUMBERS[0]; 2]);
    let connector = connector_of(&sessions).rsplit('/').next().unwrap();
    assert_eq!(created["VoiceConnectorId"], connector);
    assert_eq!(api.get(&path).await.unwrap()["ProxySession"], created);

    let body = json!({"Capabilities": ["Voice"], "ExpiryMinutes": 5});
    let changed = api
        .post(StatusCode::CREATED, &path, body.clone())
        .await
        .unwrap();
    let changed = &changed["ProxySession"];
    assert_eq!(changed["Capabilities"], json!(["Voice"]));
    assert_eq!(changed["ExpiryMinutes"], 5);
    assert_eq!(changed["Participants"], created["Participants"]);
    assert_eq!(changed["Name"], "ride 7");

    api.delete(&path).await.unwrap();
    let closed = api.get(&path).await.unwrap()["ProxySession"].take();
    assert_eq!(closed["Status"], "Closed");
    assert!(closed["EndedTimestamp"].is_string());
    api.delete(&path).await.unwrap();
    assert_eq!(
        api.get(&path).await.unwrap()["ProxySession"]["EndedTimestamp"],
        closed["EndedTimestamp"]
    );
    let (exception, message) = refused(api.post(StatusCode::CREATED, &path, body).await);
    assert_eq!(exception, "BadRequestException");
    assert!(
        message.starts_with("The ProxySession is Closed"),
        "{message}"
    );
}

#[tokio::test]
async fn a_session_ends_by_its_time() {
    let (mut api, sessions) = open().await;
    let by_default = create(&api, &sessions, [ALICE, BOB], json!({}))
        .await
        .unwrap();
    let longer = create(
        &api,
        &sessions,
        [ALICE, CAROL],
        json!({"ExpiryMinutes": 90}),
    );
    let longer = longer.await.unwrap();
    put_proxy(
        &api,
        connector_of(&sessions),
        json!({"DefaultSessionExpiryMinutes": 0}),
    )
    .await;
    let endless = create(&api, &sessions, [BOB, CAROL], json!({}))
        .await
        .unwrap();
    assert_eq!(endless["ExpiryMinutes"], Value::Null);

    api.state.now = in_59_minutes;
    let path = path_of(&sessions, &by_default);
    assert_eq!(
        api.get(&path).await.unwrap()["ProxySession"]["Status"],
        "Open"
    );
    api.state.now = in_61_minutes;
    let ended = api.get(&path).await.unwrap()["ProxySession"].take();
    assert_eq!(ended["Status"], "Closed");
    let time = |value: &Value| value.as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    assert_eq!(
        time(&ended["EndedTimestamp"]).duration_since(time(&ended["CreatedTimestamp"])),
        jiff::SignedDuration::from_mins(60)
    );
    let list = |status: &'static str| {
        let (api, path) = (&api, format!("{sessions}?status={status}"));
        async move {
            let output = api.get(&path).await.unwrap();
            let rows = output["ProxySessions"].as_array().unwrap();
            let mut ids: Vec<Value> = rows
                .iter()
                .map(|row| row["ProxySessionId"].clone())
                .collect();
            ids.sort_by_key(Value::to_string);
            ids
        }
    };
    let mut open = vec![
        longer["ProxySessionId"].clone(),
        endless["ProxySessionId"].clone(),
    ];
    open.sort_by_key(Value::to_string);
    assert_eq!(list("Open").await, open);
    assert_eq!(list("Closed").await, [by_default["ProxySessionId"].clone()]);
    assert_eq!(list("InProgress").await, [Value::Null; 0]);
}

#[tokio::test]
async fn sessions_are_listed_in_pages() {
    let (api, sessions) = open().await;
    for pair in [[ALICE, BOB], [ALICE, CAROL], [BOB, CAROL]] {
        create(&api, &sessions, pair, json!({})).await.unwrap();
    }
    let first = api.get(&format!("{sessions}?max-results=2")).await.unwrap();
    assert_eq!(first["ProxySessions"].as_array().unwrap().len(), 2);
    let token = first["NextToken"].as_str().unwrap();
    let rest = api
        .get(&format!("{sessions}?max-results=2&next-token={token}"))
        .await
        .unwrap();
    assert_eq!(rest["ProxySessions"].as_array().unwrap().len(), 1);
    assert_eq!(rest["NextToken"], Value::Null);
    let wrong = api.get(&format!("{sessions}?status=Lost")).await;
    let message = "Status: expected one of Open, InProgress, Closed";
    assert_eq!(refused(wrong), bad_request(message));
}

#[tokio::test]
async fn a_participant_has_a_number_for_one_open_session() {
    let (api, sessions) = open().await;
    // Alice's sessions use up the numbers, one each; Bob and Carol may still have the first.
    let others = [BOB, CAROL, "+15035550111"];
    let mut of_alice = Vec::new();
    for (other, number) in others.into_iter().zip(NUMBERS) {
        let session = create(&api, &sessions, [ALICE, other], json!({}))
            .await
            .unwrap();
        assert_eq!(proxies(&session), [number; 2]);
        of_alice.push(session);
    }
    let full = create(&api, &sessions, ["+15035550112", ALICE], json!({})).await;
    let (exception, message) = refused(full);
    assert_eq!(exception, "BadRequestException");
    assert!(
        message.starts_with("ParticipantPhoneNumbers[1]: no phone number"),
        "{message}"
    );
    // Of Bob's and Carol's numbers only the third is free for both.
    let both = create(&api, &sessions, [BOB, CAROL], json!({}))
        .await
        .unwrap();
    assert_eq!(proxies(&both), [NUMBERS[2]; 2]);
    // None is now free for both, but one for each.
    let each = create(&api, &sessions, [BOB, CAROL], json!({}))
        .await
        .unwrap();
    assert_eq!(proxies(&each), [NUMBERS[1], NUMBERS[0]]);
    // What a closed session had is free.
    api.delete(&path_of(&sessions, &of_alice[1])).await.unwrap();
    let again = create(&api, &sessions, ["+15035550112", ALICE], json!({}))
        .await
        .unwrap();
    assert_eq!(proxies(&again), [NUMBERS[1]; 2]);
}

#[tokio::test]
async fn the_same_two_have_the_numbers_they_prefer() {
    let (api, sessions) = open().await;
    let other = create(&api, &sessions, [ALICE, CAROL], json!({}))
        .await
        .unwrap();
    let first = create(&api, &sessions, [ALICE, BOB], json!({}))
        .await
        .unwrap();
    assert_eq!(proxies(&first), [NUMBERS[1]; 2]);
    api.delete(&path_of(&sessions, &first)).await.unwrap();
    api.delete(&path_of(&sessions, &other)).await.unwrap();
    let sticky = json!({"NumberSelectionBehavior": "PreferSticky"});
    // Whichever is named first.
    let again = create(&api, &sessions, [BOB, ALICE], sticky.clone())
        .await
        .unwrap();
    assert_eq!(proxies(&again), [NUMBERS[1]; 2]);
    assert_eq!(again["NumberSelectionBehavior"], "PreferSticky");
    // The number is taken by the session itself now: another one then.
    let beside = create(&api, &sessions, [ALICE, BOB], sticky).await.unwrap();
    assert_eq!(proxies(&beside), [NUMBERS[0]; 2]);
    api.delete(&path_of(&sessions, &again)).await.unwrap();
    api.delete(&path_of(&sessions, &beside)).await.unwrap();
    let avoid = json!({"NumberSelectionBehavior": "AvoidSticky"});
    let fresh = create(&api, &sessions, [ALICE, BOB], avoid).await.unwrap();
    assert_eq!(proxies(&fresh), [NUMBERS[2]; 2]);
}

#[tokio::test]
async fn numbers_are_chosen_by_area_code_and_country() {
    let (mut api, sessions) = open().await;
    let pool = |numbers, country: &str| NumberPool {
        numbers,
        country: country.into(),
        state: String::new(),
        city: String::new(),
        toll_free: false,
    };
    api.state.number_pools.extend([
        pool(12_365_550_100..=12_365_550_109, "CA"),
        pool(14_255_550_100..=14_255_550_109, "US"),
        pool(442_071_838_700..=442_071_838_709, "GB"),
    ]);
    let more = ["+12365550100", "+14255550100", "+442071838700"];
    order(&api, &more).await;
    let connector = connector_of(&sessions);
    assert_eq!(
        associate(&api, connector, json!({"E164PhoneNumbers": more})).await,
        json!([])
    );
    put_proxy(
        &api,
        connector,
        json!({"PhoneNumberPoolCountries": ["US", "CA", "GB"]}),
    )
    .await;
    let chosen = |pair: [&'static str; 2], level: &'static str, params: Value| {
        let (api, sessions) = (&api, &sessions);
        let mut with = json!({"GeoMatchLevel": level});
        if !params.is_null() {
            with["GeoMatchParams"] = params;
        }
        async move {
            let session = create(api, sessions, pair, with).await.unwrap();
            let [first, second] = proxies(&session);
            assert_eq!(first, second);
            api.delete(&path_of(sessions, &session)).await.unwrap();
            first.to_owned()
        }
    };
    let params = |country: &str, code: &str| json!({"Country": country, "AreaCode": code});
    // The first participant's, where nothing else is said.
    assert_eq!(
        chosen([ALICE, BOB], "AreaCode", Value::Null).await,
        "+14255550100"
    );
    assert_eq!(
        chosen([CAROL, BOB], "Country", Value::Null).await,
        "+442071838700"
    );
    assert_eq!(
        chosen([ALICE, CAROL], "Country", params("CA", "")).await,
        "+12365550100"
    );
    assert_eq!(
        chosen([CAROL, BOB], "AreaCode", params("US", "425")).await,
        "+14255550100"
    );
    // A preference: where no number has the area code, one of the country is taken, and else any.
    assert_eq!(
        chosen([BOB, ALICE], "AreaCode", params("CA", "604")).await,
        "+12365550100"
    );
    assert_eq!(
        chosen([ALICE, BOB], "Country", params("FR", "")).await,
        NUMBERS[0]
    );
    // The proxy's countries are no preference.
    put_proxy(&api, connector, json!({"PhoneNumberPoolCountries": ["GB"]})).await;
    assert_eq!(
        chosen([ALICE, BOB], "AreaCode", Value::Null).await,
        "+442071838700"
    );
}

#[tokio::test]
async fn a_session_needs_a_proxy_and_two_participants() {
    let (api, sessions) = open().await;
    for pair in [[ALICE, ALICE], [ALICE, "14255550123"]] {
        assert_eq!(
            refused(create(&api, &sessions, pair, json!({})).await),
            bad_request("ParticipantPhoneNumbers: expected two different E.164 numbers")
        );
    }
    let three = json!({"ParticipantPhoneNumbers": [ALICE, BOB, CAROL]});
    assert_eq!(
        refused(create(&api, &sessions, [ALICE, BOB], three).await),
        bad_request("ParticipantPhoneNumbers: expected a list of 2 elements")
    );
    let connector = connector_of(&sessions);
    put_proxy(&api, connector, json!({"Disabled": true})).await;
    let disabled =
        "The VoiceConnector's proxy is disabled; enable it with PutVoiceConnectorProxy first";
    let refusal = create(&api, &sessions, [ALICE, BOB], json!({})).await;
    assert_eq!(refused(refusal), bad_request(disabled));
    let proxy = format!("{connector}/programmable-numbers/proxy");
    api.delete(&proxy).await.unwrap();
    let refusal = create(&api, &sessions, [ALICE, BOB], json!({})).await;
    let missing = not_found("The VoiceConnector has no proxy configuration");
    assert_eq!(refused(refusal), missing);
}

#[tokio::test]
async fn a_session_is_its_connectors_and_goes_with_it() {
    let (api, sessions) = open().await;
    let session = create(&api, &sessions, [ALICE, BOB], json!({}))
        .await
        .unwrap();
    let id = session["ProxySessionId"].as_str().unwrap();
    let unknown = not_found(&format!("Could not find ProxySession with Id '{id}'"));
    let other = format!("{}/proxy-sessions/{id}", api.connector().await);
    let body = json!({"Capabilities": []});
    assert_eq!(refused(api.get(&other).await), unknown);
    assert_eq!(refused(api.delete(&other).await), unknown);
    assert_eq!(
        refused(api.post(StatusCode::CREATED, &other, body).await),
        unknown
    );
    let nowhere = format!("/voice-connectors/{NOBODY}/proxy-sessions");
    assert_eq!(refused(api.get(&nowhere).await).0, "NotFoundException");
    let created = create(&api, &nowhere, [ALICE, BOB], json!({})).await;
    assert_eq!(refused(created).0, "NotFoundException");

    let connector = connector_of(&sessions);
    let disassociate = format!("{connector}?operation=disassociate-phone-numbers");
    let body = json!({"E164PhoneNumbers": NUMBERS});
    api.post(StatusCode::OK, &disassociate, body).await.unwrap();
    api.delete(connector).await.unwrap();
    let key = crate::store::Key {
        kind: crate::api::proxy_sessions::KIND,
        account: ACCOUNT,
        id,
    };
    assert_eq!(api.state.control.store().document(key).await.unwrap(), None);
}

/// What calls see of a session in which one dials the number at this time.
fn seen(api: &Api, one: &str, dialled: &str, at: Timestamp) -> Option<ProxySession> {
    let number = |text: &str| text.parse::<E164>().unwrap();
    let control = &api.state.control;
    let snapshot = control.snapshot();
    let sessions = &snapshot.proxy_sessions;
    let found = sessions.find(number(one), number(dialled), control.time().instant(at));
    found.map(|session| (**session).clone())
}

async fn list(api: &Api, sessions: &str, status: &str) -> usize {
    let output = api.get(&format!("{sessions}?status={status}")).await;
    let output = output.unwrap();
    output["ProxySessions"].as_array().unwrap().len()
}

fn time_in(value: &Value) -> Timestamp {
    value.as_str().unwrap().parse().unwrap()
}

#[tokio::test]
async fn calls_see_a_session_from_its_creation_to_its_very_end() {
    let (mut api, sessions) = open().await;
    let created = create(&api, &sessions, [ALICE, BOB], json!({"ExpiryMinutes": 10}))
        .await
        .unwrap();
    let [proxy, _] = proxies(&created).map(str::to_owned);
    let end = time_in(&created["CreatedTimestamp"]) + SignedDuration::from_mins(10);
    let tick = SignedDuration::from_millis(1);
    for _ in 0..2 {
        let session = seen(&api, ALICE, &proxy, end - tick).unwrap();
        assert_eq!(session.participants[1].number, BOB.parse().unwrap());
        assert_eq!(session.connector.as_str(), id_of(connector_of(&sessions)));
        assert!(session.voice && !session.sms && !session.in_progress);
        assert!(seen(&api, BOB, &proxy, end - tick).is_some());
        assert_eq!(seen(&api, CAROL, &proxy, end - tick), None);
        assert_eq!(seen(&api, ALICE, &proxy, end), None);
        // The same after a restart.
        api.restart().await;
    }

    let path = path_of(&sessions, &created);
    let body = json!({"Capabilities": ["SMS"], "ExpiryMinutes": 20});
    api.post(StatusCode::CREATED, &path, body).await.unwrap();
    let later = end + SignedDuration::from_mins(10);
    let session = seen(&api, ALICE, &proxy, later - tick).unwrap();
    assert!(session.sms && !session.voice);
    assert_eq!(seen(&api, ALICE, &proxy, later), None);
    api.delete(&path).await.unwrap();
    assert_eq!(seen(&api, ALICE, &proxy, clock()), None);
    let number = proxy.parse().unwrap();
    let has_number = |api: &Api| {
        api.state
            .control
            .snapshot()
            .proxy_sessions
            .connectors_of(number)
            .next()
            .is_some()
    };
    assert!(has_number(&api), "it stays what it is");
    api.restart().await;
    assert_eq!(seen(&api, ALICE, &proxy, clock()), None);
    assert!(has_number(&api));

    let connector = connector_of(&sessions);
    let disassociate = format!("{connector}?operation=disassociate-phone-numbers");
    let body = json!({"E164PhoneNumbers": NUMBERS});
    api.post(StatusCode::OK, &disassociate, body).await.unwrap();
    api.delete(connector).await.unwrap();
    assert!(!has_number(&api));
}

fn id_of(path: &str) -> &str {
    path.rsplit('/').next().unwrap()
}

#[tokio::test]
async fn a_session_that_was_used_is_in_progress_until_it_is_closed() {
    let (mut api, sessions) = open().await;
    let used = create(&api, &sessions, [ALICE, BOB], json!({}))
        .await
        .unwrap();
    let unused = create(&api, &sessions, [ALICE, CAROL], json!({}))
        .await
        .unwrap();
    let connector = id_of(connector_of(&sessions)).parse().unwrap();
    let id = used["ProxySessionId"].as_str().unwrap();
    let path = path_of(&sessions, &used);
    let read = async |api: &Api| api.get(&path).await.unwrap()["ProxySession"].take();
    for _ in 0..2 {
        let control = &api.state.control;
        control.use_session(connector, id, clock()).await.unwrap();
    }
    let in_progress = read(&api).await;
    assert_eq!(in_progress["Status"], "InProgress");
    assert!(in_progress.get("Used").is_none());
    let counts = async |api: &Api| {
        let count = async |status| list(api, &sessions, status).await;
        [
            count("Open").await,
            count("InProgress").await,
            count("Closed").await,
        ]
    };
    assert_eq!(counts(&api).await, [1, 1, 0]);
    api.restart().await;
    assert_eq!(read(&api).await, in_progress);
    assert!(
        seen(&api, ALICE, proxies(&used)[0], clock())
            .unwrap()
            .in_progress
    );

    let body = json!({"Capabilities": ["Voice", "SMS"], "ExpiryMinutes": 90});
    let changed = api.post(StatusCode::CREATED, &path, body).await.unwrap();
    assert_eq!(changed["ProxySession"]["Status"], "InProgress");
    assert_eq!(counts(&api).await, [1, 1, 0]);
    api.delete(&path).await.unwrap();
    assert_eq!(counts(&api).await, [1, 0, 1]);
    let closed = read(&api).await;
    // What is over is not used, whoever was told of it late; nor what nobody knows.
    let control = &api.state.control;
    control.use_session(connector, id, clock()).await.unwrap();
    control.use_session(connector, "x", clock()).await.unwrap();
    assert_eq!(read(&api).await, closed);

    api.state.now = in_61_minutes;
    assert_eq!(counts(&api).await, [0, 0, 2]);
    let expired = api.get(&path_of(&sessions, &unused)).await.unwrap();
    let expired = &expired["ProxySession"];
    let end = time_in(&expired["CreatedTimestamp"]) + SignedDuration::from_mins(60);
    assert_eq!(time_in(&expired["EndedTimestamp"]), end);
}

#[tokio::test]
async fn a_session_whose_minutes_are_made_fewer_than_have_passed_ends_now() {
    let (mut api, sessions) = open().await;
    let created = create(&api, &sessions, [ALICE, BOB], json!({}))
        .await
        .unwrap();
    api.state.now = in_59_minutes;
    let before = in_59_minutes();
    let path = path_of(&sessions, &created);
    let body = json!({"Capabilities": ["Voice"], "ExpiryMinutes": 5});
    let ended = api.post(StatusCode::CREATED, &path, body).await.unwrap();
    let ended = &ended["ProxySession"];
    assert_eq!(ended["Status"], "Closed");
    let end = time_in(&ended["EndedTimestamp"]);
    assert!((before - SignedDuration::from_millis(1)..=in_59_minutes()).contains(&end));
    assert_eq!(seen(&api, ALICE, proxies(&created)[0], clock()), None);
}

#[tokio::test]
async fn nobody_is_masked_by_a_number_that_leads_back() {
    let (api, sessions) = open().await;
    let connector = connector_of(&sessions);
    // The fallback is of the connector's numbers, and stands for nobody.
    put_proxy(&api, connector, json!({"FallBackPhoneNumber": NUMBERS[0]})).await;
    let session = create(&api, &sessions, [ALICE, BOB], json!({}))
        .await
        .unwrap();
    assert_eq!(proxies(&session), [NUMBERS[1]; 2]);
    let masked = create(&api, &sessions, [CAROL, NUMBERS[1]], json!({})).await;
    let message = "ParticipantPhoneNumbers[1]: expected a number that stands for no participant of another proxy session";
    assert_eq!(refused(masked), bad_request(message));
    // Somebody of the connector's own may be a participant; that number stands for nobody else then.
    let own = create(&api, &sessions, [CAROL, NUMBERS[2]], json!({}))
        .await
        .unwrap();
    assert_eq!(proxies(&own), [NUMBERS[1]; 2]);
    let none = create(&api, &sessions, [CAROL, ALICE], json!({})).await;
    assert_eq!(refused(none).0, "BadRequestException");
    api.delete(&path_of(&sessions, &own)).await.unwrap();
    let free = create(&api, &sessions, [CAROL, ALICE], json!({}))
        .await
        .unwrap();
    assert_eq!(proxies(&free), [NUMBERS[2]; 2]);
}

//! Every operation through [`dispatch`](super::dispatch), on a store in a folder of its own.

mod configurations;
mod declared;
mod documents;
mod groups;
mod number_lifecycle;
mod number_settings;
mod numbers;
mod proxy_sessions;
mod quotas;
mod round_trips;
mod sip_applications;
mod tags_and_settings;
mod users;
mod voice_connectors;
mod workable;

use axum::http::{Method, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;

use std::cell::Cell;

use jiff::{SignedDuration, Timestamp};

use super::{AddressTable, ApiError, ApiRequest, ApiState, dispatch};
use crate::config::{NumberPool, SipTls};
use crate::control::publish::Control;

const ACCOUNT: &str = "111122223333";

/// An id that no connector has.
const NOBODY: &str = "abcdefghij0123456789ab";

thread_local! {
    /// How far ahead of the system's the clock of this thread's node is; every test has a thread.
    static AHEAD: Cell<SignedDuration> = const { Cell::new(SignedDuration::ZERO) };
}

fn clock() -> Timestamp {
    Timestamp::now() + AHEAD.get()
}

/// Lets time pass for the node.
fn pass(hours: i64) {
    AHEAD.set(AHEAD.get() + SignedDuration::from_hours(hours));
}

struct Api {
    state: ApiState,
    folder: TempDir,
}

impl Api {
    /// Ends the node and begins another one with its store.
    async fn restart(&mut self) {
        self.state.control.store().close().await;
        let url = format!("sqlite://{}/trunkline.db", self.folder.path().display());
        let customers = SipTls::default().customers();
        let control = Control::open(
            &url,
            "vc.example",
            Vec::new(),
            customers,
            Default::default(),
        )
        .await;
        self.state.control = control.unwrap();
    }

    /// A node with the pools +1 206 555 0100..0109 (Local, Seattle) and +1 800 555 0100..0104.
    async fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}/trunkline.db", folder.path().display());
        let control = Control::open(
            &url,
            "vc.example",
            Vec::new(),
            SipTls::default().customers(),
            Default::default(),
        )
        .await;
        let pool = |numbers, city: &str, toll_free| NumberPool {
            numbers,
            country: "US".into(),
            state: if city.is_empty() { "" } else { "WA" }.into(),
            city: city.into(),
            toll_free,
        };
        Self {
            state: ApiState {
                control: control.unwrap(),
                number_pools: vec![
                    pool(12_065_550_100..=12_065_550_109, "Seattle", false),
                    pool(18_005_550_100..=18_005_550_104, "", true),
                ],
                e911_addresses: AddressTable::default(),
                users: Default::default(),
                throttle: Default::default(),
                quotas: Default::default(),
                declared: Default::default(),
                access_keys: Vec::new(),
                now: clock,
                status: Box::new(|| Value::Null),
                calls: Box::new(|_, _| Box::pin(async { Ok(Value::Null) })),
            },
            folder,
        }
    }

    /// `path` with its query, none of which needs decoding.
    async fn call_as(
        &self,
        account: &str,
        method: Method,
        path: &str,
        body: &[u8],
    ) -> Result<(StatusCode, Value), ApiError> {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        let request = ApiRequest {
            method: &method,
            segments: path.split('/').skip(1).map(str::to_owned).collect(),
            query: pairs
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .collect(),
            body,
            account,
        };
        let response = dispatch(&self.state, request).await?;
        Ok((response.status, response.body.unwrap_or_default()))
    }

    async fn get(&self, path: &str) -> Result<Value, ApiError> {
        self.expect(StatusCode::OK, Method::GET, path, Value::Null)
            .await
    }

    async fn put(&self, path: &str, body: Value) -> Result<Value, ApiError> {
        self.expect(StatusCode::OK, Method::PUT, path, body).await
    }

    async fn delete(&self, path: &str) -> Result<Value, ApiError> {
        self.expect(StatusCode::NO_CONTENT, Method::DELETE, path, Value::Null)
            .await
    }

    async fn post(&self, status: StatusCode, path: &str, body: Value) -> Result<Value, ApiError> {
        self.expect(status, Method::POST, path, body).await
    }

    async fn expect(
        &self,
        expected: StatusCode,
        method: Method,
        path: &str,
        body: Value,
    ) -> Result<Value, ApiError> {
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let (status, output) = self.call_as(ACCOUNT, method, path, body.as_bytes()).await?;
        assert_eq!(status, expected, "{path}");
        Ok(output)
    }

    /// Creates a connector and returns its path.
    async fn connector(&self) -> String {
        let body = json!({"Name": "pbx", "RequireEncryption": false});
        let output = self
            .post(StatusCode::CREATED, "/voice-connectors", body)
            .await
            .unwrap();
        let id = output["VoiceConnector"]["VoiceConnectorId"].as_str();
        format!("/voice-connectors/{}", id.unwrap())
    }

    /// Creates a connector that has numbers, termination and origination, and returns its path.
    async fn connector_with(&self, numbers: &[&str]) -> String {
        let path = self.connector().await;
        let numbers = json!({"E164PhoneNumbers": numbers, "ForceAssociate": true});
        let associate = format!("{path}?operation=associate-phone-numbers");
        let output = self.post(StatusCode::OK, &associate, numbers).await;
        assert_eq!(output.unwrap()["PhoneNumberErrors"], json!([]));
        for (name, body) in [
            ("termination", json!({"Termination": {}})),
            ("origination", json!({"Origination": {"Disabled": false}})),
        ] {
            self.put(&format!("{path}/{name}"), body).await.unwrap();
        }
        path
    }
}

/// The exception's name and message.
fn refused(result: Result<Value, ApiError>) -> (&'static str, String) {
    let error = result.unwrap_err();
    (error.exception(), error.message())
}

fn bad_request(message: &str) -> (&'static str, String) {
    ("BadRequestException", message.to_owned())
}

fn not_found(message: &str) -> (&'static str, String) {
    ("NotFoundException", message.to_owned())
}

#[tokio::test]
async fn what_is_no_operation_is_named() {
    let api = Api::open().await;
    let error = api
        .post(
            StatusCode::OK,
            "/voice-connectors/x?operation=dance",
            json!({}),
        )
        .await
        .unwrap_err();
    assert_eq!(error.status(), StatusCode::NOT_FOUND);
    assert_eq!(
        error.message(),
        "No operation is POST /voice-connectors/x?operation=dance"
    );
    assert!(api.get("/search?type=users").await.is_err());
    assert!(api.delete("/voice-connectors").await.is_err());
}

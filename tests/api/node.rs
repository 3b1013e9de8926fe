//! A node's control plane in this process, on a port that the kernel chose.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use trunkline::api::{ApiState, Throttle, server};
use trunkline::config::{AccessKey, NumberPool, Secret, SipTls};
use trunkline::control::publish::Control;

pub(crate) const FIRST_KEY: Key = Key {
    id: "AKIAIOSFODNN7EXAMPLE",
    secret: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    account: "111122223333",
};

pub(crate) const SECOND_KEY: Key = Key {
    id: "AKIAI44QH8DHBEXAMPLE",
    secret: "je7MtGbClwBF/2Zp9Utk/h3yCo8nvbEXAMPLEKEY",
    account: "444455556666",
};

/// What a key may ask for at once, for the clock of the tests stands still.
pub(crate) const REQUESTS_PER_SECOND: u32 = 5_000;

/// Of the first key's account; it may only read.
pub(crate) const READING_KEY: Key = Key {
    id: "AKIAREADSONLYEXAMPLE",
    secret: "yQMfDHGZXlQK2r7TVwJq8kLbNc3sEXAMPLEKEY00",
    account: FIRST_KEY.account,
};

#[derive(Clone, Copy)]
pub(crate) struct Key {
    pub(crate) id: &'static str,
    pub(crate) secret: &'static str,
    pub(crate) account: &'static str,
}

pub(crate) struct Node {
    pub(crate) address: SocketAddr,
    pub(crate) state: Arc<ApiState>,
    runtime: Runtime,
    stop: oneshot::Sender<()>,
    served: JoinHandle<std::io::Result<()>>,
}

/// The moment at which the tests' requests are signed.
pub(crate) fn fixed_now() -> Timestamp {
    "2026-03-01T12:00:00Z".parse().unwrap()
}

impl Node {
    /// Serves what the directory's store holds.
    pub(crate) fn start(directory: &Path) -> Self {
        Self::start_over(None, directory)
    }

    /// As [`start`](Self::start), over TLS where there is a certificate.
    pub(crate) fn start_over(tls: Option<server::Tls>, directory: &Path) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let url = format!("sqlite://{}", directory.join("trunkline.db").display());
        let (control, listener) = runtime.block_on(async {
            let customers = SipTls::default().customers();
            let control = Control::open(
                &url,
                "voiceconnector.localhost",
                Vec::new(),
                customers,
                Default::default(),
            )
            .await;
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            (control.unwrap(), listener)
        });
        let state = Arc::new(ApiState {
            control,
            number_pools: pools(),
            e911_addresses: Default::default(),
            users: Default::default(),
            throttle: Throttle::new(REQUESTS_PER_SECOND),
            quotas: Default::default(),
            declared: Arc::default(),
            access_keys: [FIRST_KEY, SECOND_KEY, READING_KEY]
                .map(access_key)
                .to_vec(),
            now: fixed_now,
            status: Box::new(|| json!({"Calls": 0})),
            calls: Box::new(|account, limit| {
                let told = json!([account, limit]);
                Box::pin(async move { Ok(told) })
            }),
        });
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let served = runtime.spawn(server::serve(listener, tls, Arc::clone(&state), async {
            let _ = stopped.await;
        }));
        Self {
            address,
            state,
            runtime,
            stop,
            served,
        }
    }

    /// Ends serving and closes the store.
    pub(crate) fn stop(self) {
        self.stop.send(()).unwrap();
        self.runtime.block_on(self.served).unwrap().unwrap();
    }

    /// Runs a call of the control plane.
    pub(crate) fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.runtime.block_on(future)
    }
}

fn access_key(key: Key) -> AccessKey {
    AccessKey {
        id: key.id.to_owned(),
        secret: Secret(key.secret.to_owned()),
        account: key.account.to_owned(),
        is_read_only: key.id == READING_KEY.id,
    }
}

fn pools() -> Vec<NumberPool> {
    vec![
        NumberPool {
            numbers: 12_065_550_100..=12_065_550_109,
            country: "US".to_owned(),
            state: "WA".to_owned(),
            city: "Seattle".to_owned(),
            toll_free: false,
        },
        NumberPool {
            numbers: 18_335_550_100..=18_335_550_104,
            country: "US".to_owned(),
            state: String::new(),
            city: String::new(),
            toll_free: true,
        },
    ]
}

//! The API over HTTP/1.1: from a connection to an operation and back.
//!
//! Everything that a client could hold on to has a bound: connections, the time to send a header or a
//! body, and a body's size. Bodies and `Authorization` are never logged; numbers in a path are masked.

use std::collections::HashMap;
use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, FromRequest, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use percent_encoding::percent_decode_str;
use serde_json::json;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_io_timeout::TimeoutStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use uuid::Uuid;

use super::sigv4::{self, SignatureFault, SignedRequest};
use super::{ApiError, ApiRequest, ApiState, dispatch, members, openapi};
use crate::config::AccessKey;
use crate::net::tls::Material;
use crate::numbering::{E164, Masked};

/// The largest body that is read.
pub const BODY_BYTES_MAX: usize = 1 << 20;

/// Connections served at once; more wait in the listener's backlog. Times [`BODY_BYTES_MAX`] it is the most
/// memory that bodies take, since a signature can be checked only with the body.
const CONNECTIONS_MAX: usize = 256;

/// Of these, connections from one address.
const SOURCE_CONNECTIONS_MAX: usize = 128;

/// How long a client may take for a request's header, counted from the connection's last response too:
/// an idle connection is closed after this.
const HEADER_TIME_MAX: Duration = Duration::from_secs(30);

/// How long a client may take for a request's body.
const BODY_TIME_MAX: Duration = Duration::from_secs(30);

/// How long requests that are being answered may take once `shutdown` has happened.
const SHUTDOWN_TIME_MAX: Duration = Duration::from_secs(5);

/// The pause after the listener failed, as it does where the process is out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Calls that are told of where nobody says how many, and at most.
const CALLS_TOLD_UNASKED: usize = 100;
const CALLS_TOLD: RangeInclusive<usize> = 1..=1_000;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");
const ERROR_TYPE: HeaderName = HeaderName::from_static("x-amzn-errortype");

/// How long a client may read nothing of an answer.
const WRITE_TIME_MAX: Duration = Duration::from_secs(30);

/// How long a client may take for a TLS handshake.
const HANDSHAKE_TIME_MAX: Duration = Duration::from_secs(10);

/// Where new connections find the certificate that clients are shown.
pub type Tls = Arc<ArcSwap<Material>>;

/// Serves the API until `shutdown` is ready, then lets the requests that are being answered end. Over TLS (1.2, 1.3)
/// where there is a certificate.
///
/// `GET /status` and `GET /openapi.json`, the API's description, answer without a signature. `GET /calls` wants one.
///
/// # Errors
///
/// The listener has no local address, as where it was closed.
pub async fn serve(
    listener: TcpListener,
    tls: Option<Tls>,
    state: Arc<ApiState>,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let address = listener.local_addr()?;
    tracing::debug!(%address, "API serves");
    let router = router(state);
    let connections = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let sources = Sources::default();
    let graceful = GracefulShutdown::new();
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            () = &mut shutdown => break,
            accepted = accept(&listener, &connections) => accepted,
        };
        let Some((stream, permit)) = accepted else {
            continue;
        };
        let Some(share) = sources.share(&stream) else {
            continue;
        };
        let mut stream = TimeoutStream::new(stream);
        stream.set_write_timeout(Some(WRITE_TIME_MAX));
        let stream = Box::pin(stream);
        let (router, watcher, tls) = (router.clone(), graceful.watcher(), tls.clone());
        tokio::spawn(async move {
            match tls {
                None => serve_connection(stream, router, watcher).await,
                Some(tls) => {
                    if let Some(stream) = handshake(stream, &tls).await {
                        serve_connection(stream, router, watcher).await;
                    }
                }
            }
            drop((permit, share));
        });
    }
    drop(listener);
    if tokio::time::timeout(SHUTDOWN_TIME_MAX, graceful.shutdown())
        .await
        .is_err()
    {
        tracing::warn!("API connections were still open at the end");
    }
    Ok(())
}

async fn serve_connection(
    stream: impl AsyncRead + AsyncWrite + Unpin + 'static,
    router: Router,
    watcher: Watcher,
) {
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIME_MAX)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    if let Err(error) = watcher.watch(connection).await {
        tracing::debug!(%error, "API connection ended");
    }
}

/// The connection once TLS is agreed on; `None` where it is not, or takes too long.
async fn handshake<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    tls: &Tls,
) -> Option<TlsStream<S>> {
    let acceptor = TlsAcceptor::from(tls.load().server()?);
    match tokio::time::timeout(HANDSHAKE_TIME_MAX, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => Some(stream),
        Ok(Err(error)) => {
            tracing::debug!(%error, "TLS of an API client failed");
            None
        }
        Err(_too_long) => None,
    }
}

/// How many connections each address has.
#[derive(Clone, Default)]
struct Sources(Arc<Mutex<HashMap<IpAddr, usize>>>);

/// A connection's part of what its address may have.
struct Share {
    sources: Sources,
    address: IpAddr,
}

impl Sources {
    /// `None` where the address has as many as it may have.
    fn share(&self, stream: &TcpStream) -> Option<Share> {
        let address = stream.peer_addr().ok()?.ip().to_canonical();
        let mut counts = self.counts();
        let count = counts.entry(address).or_default();
        if *count >= SOURCE_CONNECTIONS_MAX {
            tracing::warn!(%address, "has too many connections to the API, one more is closed");
            return None;
        }
        *count += 1;
        Some(Share {
            sources: self.clone(),
            address,
        })
    }

    fn counts(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut counts = self.sources.counts();
        match counts.get_mut(&self.address) {
            Some(count) if *count > 1 => *count -= 1,
            Some(_) | None => {
                counts.remove(&self.address);
            }
        }
    }
}

/// The next connection, once there is room for one; `None` where the listener failed this time.
async fn accept(
    listener: &TcpListener,
    connections: &Arc<Semaphore>,
) -> Option<(TcpStream, OwnedSemaphorePermit)> {
    if connections.available_permits() == 0 {
        tracing::warn!(
            CONNECTIONS_MAX,
            "all connections of the API are taken, more wait"
        );
    }
    let permit = Arc::clone(connections).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, _)) => Some((stream, permit)),
        Err(error) => {
            tracing::warn!(%error, "API listener cannot accept");
            tokio::time::interval_at(tokio::time::Instant::now() + ACCEPT_PAUSE, ACCEPT_PAUSE)
                .tick()
                .await;
            None
        }
    }
}

fn router(state: Arc<ApiState>) -> Router {
    Router::new()
        .route("/status", get(status).fallback(operation))
        .route("/calls", get(calls).fallback(operation))
        .route("/openapi.json", get(description).fallback(operation))
        .fallback(operation)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(state)
}

async fn status(State(state): State<Arc<ApiState>>) -> Response {
    axum::Json((state.status)()).into_response()
}

/// The calls of an account that are up, `limit` of them at most, for whoever has a key of it: they are nobody else's
/// affair.
async fn calls(State(state): State<Arc<ApiState>>, request: Request) -> Response {
    let request_id = Uuid::new_v4().to_string();
    settled(calls_of(&state, request).await, &request_id)
}

async fn calls_of(state: &ApiState, request: Request) -> Result<Response, Refusal> {
    let (parts, _body) = request.into_parts();
    let account = &verify(state, &parts, &[])?.account;
    let limit = calls_limit(parts.uri.query().unwrap_or_default())?;
    let calls = (state.calls)(account, limit)
        .await
        .map_err(ApiError::from)?;
    Ok(axum::Json(calls).into_response())
}

/// How many calls are wanted.
fn calls_limit(text: &str) -> Result<usize, Refusal> {
    let pairs = query(text)?;
    let mut pairs = pairs.iter();
    let Some((name, value)) = pairs.find(|(name, _)| name == "limit") else {
        return Ok(CALLS_TOLD_UNASKED);
    };
    let limit = value.parse().ok();
    limit
        .filter(|limit| CALLS_TOLD.contains(limit))
        .ok_or_else(|| ApiError::from(members::invalid(name, "a number from 1 to 1000")).into())
}

async fn description() -> Response {
    match openapi() {
        Ok(description) => {
            ([(header::CONTENT_TYPE, "application/json")], description).into_response()
        }
        Err(fault) => {
            tracing::error!(fault, "the declarations of the API cannot be read");
            Refusal::from(ApiError::ServiceFailure).response(&Uuid::new_v4().to_string())
        }
    }
}

/// Every operation of the API: the method, the path and the query say which.
async fn operation(
    State(state): State<Arc<ApiState>>,
    request: Request,
) -> Result<Response, Infallible> {
    let request_id = Uuid::new_v4().to_string();
    let method = request.method().clone();
    let path = masked(request.uri().path());
    // A client that goes away takes its handler with it. In a task of its own a write always comes to
    // its end: what was committed is published.
    let answered = tokio::spawn(async move { answer(&state, request).await }).await;
    let answered = answered.unwrap_or_else(|_| Err(ApiError::ServiceFailure.into()));
    let response = settled(answered, &request_id);
    let status = response.status().as_u16();
    tracing::debug!(%method, path, status, request_id, "API request");
    Ok(response)
}

/// An answer, or why there is none, with the request's id.
fn settled(answered: Result<Response, Refusal>, request_id: &str) -> Response {
    let mut response = answered.unwrap_or_else(|refusal| refusal.response(request_id));
    set(response.headers_mut(), REQUEST_ID, request_id);
    response
}

async fn answer(state: &ApiState, request: Request) -> Result<Response, Refusal> {
    let (parts, body) = request.into_parts();
    let body = read_body(Request::from_parts(parts.clone(), body)).await?;
    let key = verify(state, &parts, &body)?;
    if !state.throttle.admits(&key.id, (state.now)()) {
        return Err(ApiError::ThrottledClient.into());
    }
    // An operation that changes nothing is a GET.
    if key.is_read_only && parts.method != Method::GET {
        return Err(ApiError::Forbidden.into());
    }
    let answer = dispatch(
        state,
        ApiRequest {
            method: &parts.method,
            segments: segments(parts.uri.path())?,
            query: query(parts.uri.query().unwrap_or_default())?,
            body: &body,
            account: &key.account,
        },
    )
    .await?;
    let mut response = match answer.body {
        Some(body) => axum::Json(body).into_response(),
        None => StatusCode::OK.into_response(),
    };
    *response.status_mut() = answer.status;
    set(
        response.headers_mut(),
        header::CONTENT_TYPE,
        "application/json",
    );
    Ok(response)
}

async fn read_body(request: Request) -> Result<Bytes, Refusal> {
    match tokio::time::timeout(BODY_TIME_MAX, Bytes::from_request(request, &())).await {
        Ok(Ok(body)) => Ok(body),
        Ok(Err(rejection)) if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE => {
            Err(Refusal::BodyTooLarge)
        }
        Ok(Err(_)) => Err(Refusal::BodyBroken),
        Err(_) => Err(Refusal::BodyTooSlow),
    }
}

fn verify<'s>(
    state: &'s ApiState,
    parts: &Parts,
    body: &[u8],
) -> Result<&'s AccessKey, SignatureFault> {
    let request = SignedRequest {
        method: &parts.method,
        path: parts.uri.path(),
        query: parts.uri.query().unwrap_or_default(),
        headers: &parts.headers,
        body,
    };
    sigv4::verify(&state.access_keys, sigv4::SERVICE, &request, (state.now)())
}

/// The path's segments, decoded after they were split: an escaped slash does not make two.
fn segments(path: &str) -> Result<Vec<String>, Refusal> {
    path.strip_prefix('/')
        .unwrap_or(path)
        .split('/')
        .map(decoded)
        .collect()
}

/// The query's pairs, decoded. A `+` is a plus, as the signature takes it, so that a telephone number
/// may stand there as it is written.
fn query(query: &str) -> Result<Vec<(String, String)>, Refusal> {
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Ok((decoded(name)?, decoded(value)?))
        })
        .collect()
}

fn decoded(text: &str) -> Result<String, Refusal> {
    percent_decode_str(text)
        .decode_utf8()
        .map(|text| text.into_owned())
        .map_err(|_| Refusal::NotUtf8)
}

/// The path for the log.
fn masked(path: &str) -> String {
    let segments: Vec<String> = path
        .split('/')
        .map(|segment| {
            // The id of a number is the number escaped, which a client escapes once more.
            let once = percent_decode_str(segment).decode_utf8_lossy();
            let twice = percent_decode_str(&once).decode_utf8_lossy();
            let number = twice.parse::<E164>().ok();
            match number {
                Some(number) => Masked(number).to_string(),
                None => segment.to_owned(),
            }
        })
        .collect();
    segments.join("/")
}

/// Why a request got no answer of its operation.
#[derive(Debug)]
enum Refusal {
    /// Nobody we know signed it.
    Signature(SignatureFault),
    /// The operation refused it.
    Api(ApiError),
    /// More than [`BODY_BYTES_MAX`].
    BodyTooLarge,
    /// The connection failed or the framing was wrong.
    BodyBroken,
    /// Longer under way than [`BODY_TIME_MAX`].
    BodyTooSlow,
    /// The path or the query, decoded.
    NotUtf8,
}

impl Refusal {
    fn response(&self, request_id: &str) -> Response {
        let (status, exception, code) = self.kind();
        let body = json!({
            "Code": code,
            "Message": self.to_string(),
            "RequestId": request_id,
        });
        let mut response = (status, axum::Json(body)).into_response();
        set(response.headers_mut(), ERROR_TYPE, exception);
        response
    }

    fn kind(&self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::Signature(fault) => {
                let error = refused_as(fault);
                (error.status(), error.exception(), error.code())
            }
            Self::Api(error) => (error.status(), error.exception(), error.code()),
            Self::BodyTooLarge => (
                StatusCode::PAYLOAD_TOO_LARGE,
                "RequestEntityTooLargeException",
                "RequestEntityTooLarge",
            ),
            Self::BodyTooSlow => (
                StatusCode::REQUEST_TIMEOUT,
                "RequestTimeoutException",
                "RequestTimeout",
            ),
            Self::BodyBroken | Self::NotUtf8 => {
                (StatusCode::BAD_REQUEST, "BadRequestException", "BadRequest")
            }
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Signature(fault) => fault.fmt(f),
            Self::Api(error) => error.fmt(f),
            Self::BodyTooLarge => write!(f, "The body is longer than {BODY_BYTES_MAX} bytes"),
            Self::BodyBroken => f.write_str("The body could not be read"),
            Self::BodyTooSlow => write!(
                f,
                "The body did not arrive within {} seconds",
                BODY_TIME_MAX.as_secs()
            ),
            Self::NotUtf8 => f.write_str("The path or the query is not UTF-8 when decoded"),
        }
    }
}

impl From<SignatureFault> for Refusal {
    fn from(fault: SignatureFault) -> Self {
        Self::Signature(fault)
    }
}

impl From<ApiError> for Refusal {
    fn from(error: ApiError) -> Self {
        Self::Api(error)
    }
}

/// The common error of AWS services for a fault.
fn refused_as(fault: &SignatureFault) -> ApiError {
    match fault {
        SignatureFault::Unsigned => ApiError::MissingAuthenticationToken,
        SignatureFault::SignedTwice
        | SignatureFault::Algorithm
        | SignatureFault::Part(_)
        | SignatureFault::NotSigned(_)
        | SignatureFault::SignedHeaderMissing(_) => ApiError::IncompleteSignature,
        SignatureFault::UnknownAccessKey => ApiError::InvalidClientTokenId,
        SignatureFault::Expired { .. } | SignatureFault::NotYet { .. } => ApiError::RequestExpired,
        SignatureFault::Scope { .. }
        | SignatureFault::ScopeDate
        | SignatureFault::Body
        | SignatureFault::Signature => ApiError::SignatureDoesNotMatch,
    }
}

/// Sets a header to a text of ours; all of them are visible ASCII.
fn set(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_a_path_are_masked_for_the_log() {
        assert_eq!(
            masked("/phone-numbers/%2B12065550100"),
            format!("/phone-numbers/{}", Masked("+12065550100".parse().unwrap()))
        );
        assert!(!masked("/phone-numbers/%252B12065550100").contains("5550"));
        assert!(!masked("/phone-numbers/+12065550100").contains("5550"));
        assert_eq!(masked("/voice-connectors/a%2Fb"), "/voice-connectors/a%2Fb");
    }

    #[test]
    fn a_query_keeps_its_pluses_and_its_order() {
        let pairs = query("filter-value=+1206%2B&b&a=%20=").unwrap();
        let pairs: Vec<(&str, &str)> = pairs
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        assert_eq!(pairs, [("filter-value", "+1206+"), ("b", ""), ("a", " =")]);
        assert!(query("a=%C3").is_err());
    }
}

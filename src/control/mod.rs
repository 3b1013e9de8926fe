//! The control plane's own work: what runs beside the shards on tokio.

pub mod certificates;
pub mod declared;
pub mod deletion;
mod encryption;
mod health;
pub mod limiter;
mod live_calls;
mod proxy_sessions;
pub mod publish;
pub mod resolver;
pub mod route;
pub mod serve;
pub mod watch;

/// Random bytes from the system; without any there is no safe way on.
fn random_bytes<const LENGTH: usize>() -> [u8; LENGTH] {
    let mut bytes = [0; LENGTH];
    #[expect(
        clippy::expect_used,
        reason = "a system without randomness cannot run a gateway"
    )]
    getrandom::fill(&mut bytes).expect("the system has randomness");
    bytes
}

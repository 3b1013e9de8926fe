//! What other nodes on the same PostgreSQL write, heard through LISTEN and NOTIFY.
//!
//! A notification is sent by the transaction that it tells of, so it comes once that is committed, and names what
//! changed but not how: whoever hears it reads the row. Missed ones do not come again: when a connection was lost,
//! everything has to be read once the next one listens.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use sqlx::postgres::{PgListener, PgPoolOptions};
use sqlx::{Any, Transaction};

use super::{Database, Store};
use crate::connector_id::VoiceConnectorId;
use crate::numbering::E164;

const CHANNEL: &str = "trunkline";
/// How long a connection may be silent before it is asked whether it lives.
const SILENCE_MAX: Duration = Duration::from_secs(10);
/// How long it may take to answer.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// What a write changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Change {
    /// This connector: itself, its configurations or its credentials.
    VoiceConnector(VoiceConnectorId),
    /// This number's association.
    PhoneNumber(E164),
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::VoiceConnector(id) => write!(f, "voice_connector {id}"),
            Self::PhoneNumber(number) => write!(f, "phone_number {number}"),
        }
    }
}

impl FromStr for Change {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text.split_once(' ') {
            Some(("voice_connector", id)) => id.parse().map(Self::VoiceConnector).map_err(|_| ()),
            Some(("phone_number", number)) => number.parse().map(Self::PhoneNumber).map_err(|_| ()),
            Some(_) | None => Err(()),
        }
    }
}

pub(super) async fn notify(
    transaction: &mut Transaction<'static, Any>,
    node: uuid::Uuid,
    change: Change,
) -> Result<(), sqlx::Error> {
    sqlx::query("SELECT pg_notify($1, $2)")
        .bind(CHANNEL)
        .bind(format!("{node} {change}"))
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

/// What there is to hear.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum News {
    /// Another node changed this.
    Changed(Change),
    /// Another version's node said something that this one does not know: anything may have changed.
    Unknown,
}

/// Other nodes' writes, from the moment of [`Store::changes`] on.
pub struct Changes {
    listener: PgListener,
    node: uuid::Uuid,
}

impl Store {
    /// Whether other nodes may write to this store.
    pub fn is_shared(&self) -> bool {
        match self.database {
            Database::Sqlite => false,
            Database::Postgres(_) => true,
        }
    }

    /// Begins to listen for other nodes' writes, on a connection of its own; `None` where there are no other nodes.
    pub async fn changes(&self) -> Result<Option<Changes>, sqlx::Error> {
        let options = match &self.database {
            Database::Sqlite => return Ok(None),
            Database::Postgres(options) => options.as_ref().clone(),
        };
        let pool = PgPoolOptions::new()
            .max_connections(1)
            .max_lifetime(None)
            .idle_timeout(None)
            .acquire_timeout(ANSWER_MAX)
            .connect_with(options)
            .await?;
        let mut listener = PgListener::connect_with(&pool).await?;
        // A connection that is lost is an end here: what was missed has to be read after the next one listens.
        listener.eager_reconnect(false);
        listener.listen(CHANNEL).await?;
        Ok(Some(Changes {
            listener,
            node: self.node,
        }))
    }
}

impl Changes {
    /// The next write of another node; `None` when the connection is lost and this is of no more use.
    pub async fn next(&mut self) -> Result<Option<News>, sqlx::Error> {
        loop {
            let heard = tokio::time::timeout(SILENCE_MAX, self.listener.try_recv()).await;
            let Ok(heard) = heard else {
                let ask = sqlx::query("SELECT 1").execute(&mut self.listener);
                match tokio::time::timeout(ANSWER_MAX, ask).await {
                    Ok(answered) => answered.map(|_| ())?,
                    Err(_silent) => return Ok(None),
                }
                continue;
            };
            let Some(notification) = heard? else {
                return Ok(None);
            };
            let told = notification.payload().split_once(' ');
            let sender = told.and_then(|(sender, _)| sender.parse::<uuid::Uuid>().ok());
            if sender == Some(self.node) {
                continue;
            }
            let change = told.and_then(|(_, change)| change.parse().ok());
            return Ok(Some(change.map_or(News::Unknown, News::Changed)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_read_as_it_is_written() {
        let id = VoiceConnectorId::from_random([7; VoiceConnectorId::LENGTH]);
        let number: E164 = "+12065550100".parse().unwrap_or_else(|_| unreachable!());
        for change in [Change::VoiceConnector(id), Change::PhoneNumber(number)] {
            assert_eq!(change.to_string().parse(), Ok(change));
        }
        for nonsense in [
            "",
            "voice_connector",
            "voice_connector x",
            "calls +12065550100",
        ] {
            assert_eq!(nonsense.parse::<Change>(), Err(()), "{nonsense}");
        }
    }
}

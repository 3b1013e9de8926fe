//! What the nodes on one PostgreSQL write, heard through LISTEN and NOTIFY.
//!
//! A notification is sent by the transaction that it tells of, so it comes once that is committed, and names what
//! changed but not how: whoever hears it reads the row. A node hears itself too, which costs a reading and makes up for
//! a write whose answer was lost on the way from the database. Missed ones do not come again: when a connection was lost,
//! everything has to be read once the next one listens.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use sqlx::postgres::{PgListener, PgPoolOptions};
use sqlx::{Any, Transaction};
use uuid::Uuid;

use super::{Database, Store};
use crate::connector_id::VoiceConnectorId;
use crate::numbering::E164;

const CHANNEL: &str = "trunkline";
/// As many numbers as one notification has room for in its 8,000 bytes.
pub(super) const NUMBERS_MAX: usize = 400;
/// How long a connection may be silent before it is asked whether it lives.
const SILENCE_MAX: Duration = Duration::from_secs(10);
/// How long it may take to answer.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// What a write changed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Change {
    /// This connector: itself, its configurations or its credentials.
    VoiceConnector(VoiceConnectorId),
    /// This group.
    VoiceConnectorGroup(Uuid),
    /// What these numbers are associated with, or their names.
    PhoneNumbers(Vec<E164>),
    /// This proxy session.
    ProxySession {
        /// Whose it is.
        account: String,
        /// `ProxySessionId`
        id: String,
    },
    /// What holds for all numbers of this account.
    NumberSettings(String),
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::VoiceConnector(id) => write!(f, "voice_connector {id}"),
            Self::VoiceConnectorGroup(id) => write!(f, "voice_connector_group {id}"),
            Self::ProxySession { account, id } => write!(f, "proxy_session {account} {id}"),
            Self::NumberSettings(account) => write!(f, "number_settings {account}"),
            Self::PhoneNumbers(numbers) => {
                f.write_str("phone_numbers")?;
                numbers.iter().try_for_each(|number| write!(f, " {number}"))
            }
        }
    }
}

impl FromStr for Change {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text.split_once(' ') {
            Some(("voice_connector", id)) => id.parse().map(Self::VoiceConnector).map_err(|_| ()),
            Some(("voice_connector_group", id)) => {
                id.parse().map(Self::VoiceConnectorGroup).map_err(|_| ())
            }
            Some(("proxy_session", session)) => {
                let (account, id) = session.split_once(' ').ok_or(())?;
                let (account, id) = (account.to_owned(), id.to_owned());
                Ok(Self::ProxySession { account, id })
            }
            Some(("number_settings", account)) => Ok(Self::NumberSettings(account.to_owned())),
            Some(("phone_numbers", numbers)) => {
                let numbers = numbers
                    .split(' ')
                    .map(|number| number.parse().map_err(|_| ()));
                numbers.collect::<Result<_, _>>().map(Self::PhoneNumbers)
            }
            Some(_) | None => Err(()),
        }
    }
}

pub(super) async fn notify(
    transaction: &mut Transaction<'static, Any>,
    change: &Change,
) -> Result<(), sqlx::Error> {
    sqlx::query("SELECT pg_notify($1, $2)")
        .bind(CHANNEL)
        .bind(change.to_string())
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

/// What there is to hear.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum News {
    /// This was changed.
    Changed(Change),
    /// A node of another version said something that this one does not know: anything may have changed.
    Unknown,
}

/// All nodes' writes, from the moment of [`Store::changes`] on.
pub struct ChangeFeed {
    listener: PgListener,
}

impl Store {
    /// Begins to listen for writes, on a connection of its own; `None` where there are no other nodes.
    pub async fn changes(&self) -> Result<Option<ChangeFeed>, sqlx::Error> {
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
        Ok(Some(ChangeFeed { listener }))
    }
}

impl ChangeFeed {
    /// The next write; `None` when the connection is lost and this is of no more use.
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
            let change = |text: &str| text.parse().map_or(News::Unknown, News::Changed);
            return Ok(heard?.map(|notification| change(notification.payload())));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_read_as_it_is_written() {
        let id = VoiceConnectorId::from_random([7; VoiceConnectorId::LENGTH]);
        let numbers = (0..NUMBERS_MAX as u64)
            .filter_map(|last| E164::from_digits(120_655_501_000_000 + last));
        let numbers = Change::PhoneNumbers(numbers.collect());
        assert!(numbers.to_string().len() < 8_000);
        for change in [
            Change::VoiceConnector(id),
            Change::VoiceConnectorGroup(Uuid::from_u128(7)),
            Change::NumberSettings("111122223333".to_owned()),
            Change::ProxySession {
                account: "111122223333".to_owned(),
                id: Uuid::from_u128(7).to_string(),
            },
            numbers,
        ] {
            assert_eq!(change.to_string().parse(), Ok(change));
        }
        for nonsense in [
            "",
            "voice_connector",
            "voice_connector x",
            "voice_connector_group x",
            "proxy_session 111122223333",
            "phone_numbers ",
            "calls +12065550100",
        ] {
            assert_eq!(nonsense.parse::<Change>(), Err(()), "{nonsense}");
        }
    }
}

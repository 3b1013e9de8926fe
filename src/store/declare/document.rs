//! A declared document: what is kept of a connector, a SIP media application or a SIP rule as one.

use jiff::Timestamp;
use serde_json::Value;
use sqlx::{Any, Transaction};

use super::Put;
use crate::store::records::{Resource, StoreError};
use crate::store::{Key, Store};

/// A document, or that there is none.
pub struct DeclaredDocument {
    /// The resource that it is of.
    pub of: Resource,
    /// What it is, as in `sip-rule`.
    pub kind: &'static str,
    /// The AWS account that owns it.
    pub account: String,
    /// Its id among those of its kind and account.
    pub id: String,
    /// The id of the resource that it goes with; empty where it belongs to the account.
    pub parent: String,
    /// What it says; `None` where there is to be none.
    pub body: Option<Value>,
}

impl DeclaredDocument {
    pub(super) async fn put(
        &self,
        transaction: &mut Transaction<'static, Any>,
        now: Timestamp,
    ) -> Result<Option<Put>, StoreError> {
        let key = Key {
            kind: self.kind,
            account: &self.account,
            id: &self.id,
        };
        let before = Store::document_within(&mut **transaction, key).await?;
        let put = match (before, &self.body) {
            (None, None) => return Ok(None),
            (Some(before), Some(body)) if before.body == *body => return Ok(None),
            (Some(_), Some(_)) => Put::Updated,
            (None, Some(_)) => Put::Created,
            (Some(_), None) => {
                Store::delete_document_within(&mut **transaction, key).await?;
                return Ok(Some(Put::Updated));
            }
        };
        if let Some(body) = &self.body {
            Store::put_document_within(transaction, key, &self.parent, body, now).await?;
        }
        // Of a resource that is more than this document, a part was changed.
        match self.parent.is_empty() {
            true => Ok(Some(put)),
            false => Ok(Some(Put::Updated)),
        }
    }
}

//! What all resources have in common that are documents of the store.

use serde_json::{Map, Value};

use super::ApiState;
use super::errors::{ApiError, NotFound};
use super::members::{next_token, page_length};
use super::model::Input;
use super::request::ApiRequest;
use crate::store::{Document, Key, Page};

/// Documents that are read at once, of which a page may want few.
const READ: u32 = 1_000;

/// Rounds of [`Kind::change`]: each is lost only where somebody else's change was made.
const ROUNDS_MAX: usize = 16;

/// A kind of resources.
#[derive(Clone, Copy)]
pub(super) struct Kind {
    /// The kind of its documents.
    pub(super) kind: &'static str,
    /// Its name in the API, as in `SipRule`.
    pub(super) name: &'static str,
}

impl Kind {
    /// The key of one of an account's.
    pub(super) fn key<'a>(self, account: &'a str, id: &'a str) -> Key<'a> {
        Key {
            kind: self.kind,
            account,
            id,
        }
    }

    /// What is answered where there is none with this id.
    pub(super) fn missing(self, id: &str) -> ApiError {
        let id = id.to_owned();
        NotFound::Resource {
            kind: self.name,
            id,
        }
        .into()
    }

    /// One of the account's.
    pub(super) async fn existing(
        self,
        state: &ApiState,
        account: &str,
        id: &str,
    ) -> Result<Document, ApiError> {
        let found = state
            .control
            .store()
            .document(self.key(account, id))
            .await?;
        found.ok_or_else(|| self.missing(id))
    }

    /// Changes one of the account's; whoever changes it meanwhile, no change is lost.
    pub(super) async fn change(
        self,
        state: &ApiState,
        account: &str,
        id: &str,
        change: impl Fn(&Document) -> Result<Value, ApiError>,
    ) -> Result<Document, ApiError> {
        for _ in 0..ROUNDS_MAX {
            let before = self.existing(state, account, id).await?;
            let body = change(&before)?;
            let now = (state.now)();
            let store = state.control.store();
            let key = self.key(account, id);
            if store.replace_document(key, &before, &body, now).await? {
                return Ok(Document {
                    body,
                    updated: now,
                    ..before
                });
            }
        }
        Err(ApiError::ServiceUnavailable)
    }

    /// All that belong to `parent`, in the order of their creation.
    pub(super) async fn all(
        self,
        state: &ApiState,
        account: &str,
        parent: &str,
    ) -> Result<Vec<Document>, ApiError> {
        let store = state.control.store();
        Ok(store.all_documents(self.kind, account, parent).await?)
    }

    /// The page that the request asks for of those that belong to `parent` and are `wanted`.
    pub(super) async fn page(
        self,
        state: &ApiState,
        (request, input): (&ApiRequest<'_>, &Input),
        parent: &str,
        wanted: impl Fn(&Document) -> bool,
    ) -> Result<Page<Document>, ApiError> {
        let most = page_length(input);
        let length = usize::try_from(most).unwrap_or(usize::MAX);
        let mut rows: Vec<Document> = Vec::new();
        let mut after = next_token(input).map(str::to_owned);
        loop {
            let page = state
                .control
                .store()
                .documents((self.kind, request.account, parent), after.as_deref(), READ)
                .await?;
            for row in page.rows.into_iter().filter(&wanted) {
                // One more than the page holds tells that there is another.
                if rows.len() == length {
                    let next = rows.last().map(Document::token);
                    return Ok(Page { rows, next });
                }
                rows.push(row);
            }
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(Page { rows, next: None }),
            }
        }
    }
}

/// A member of a document that is a text.
pub(super) fn text<'a>(document: &'a Document, member: &str) -> &'a str {
    let value = document.body.get(member).and_then(Value::as_str);
    value.unwrap_or_default()
}

/// The members of a document.
pub(super) fn members(document: &Document) -> Map<String, Value> {
    document.body.as_object().cloned().unwrap_or_default()
}

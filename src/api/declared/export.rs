//! What an account has, written as a file that declares it.

use serde_json::{Map, Value, json};

use crate::api::{
    configurations, origination, sip_media_applications as applications, sip_rules, tags,
    termination,
};
use crate::store::{
    GroupRecord, Holder, Key, NumberFilter, PhoneNumberRecord, Store, StoreError, WholeConnector,
};

/// Rows that are read at once.
const PAGE: u32 = 1_000;

/// The file, as TOML. Credentials are written as the hashes that the store has. Proxy sessions, orders, settings and
/// users' numbers are not declared by files.
///
/// # Errors
///
/// The store's.
pub async fn export(store: &Store, account: &str) -> Result<String, StoreError> {
    let mut file = Map::new();
    file.insert("Account".into(), json!(account));
    let sections = [
        ("VoiceConnector", connectors(store, account).await?),
        ("VoiceConnectorGroup", groups(store, account).await?),
        ("PhoneNumber", numbers(store, account).await?),
        (
            "SipMediaApplication",
            sip_applications(store, account).await?,
        ),
        ("SipRule", rules(store, account).await?),
    ];
    let there = sections.into_iter().filter(|(_, list)| !list.is_empty());
    file.extend(there.map(|(name, list)| (name.to_owned(), Value::Array(list))));
    let mut file = Value::Object(file);
    without_nulls(&mut file);
    toml::to_string(&file).map_err(|_| StoreError::Corrupt("a resource that is no TOML"))
}

/// TOML has no null; what is null in JSON is not there.
fn without_nulls(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.retain(|_, value| !value.is_null());
            members.values_mut().for_each(without_nulls);
        }
        Value::Array(elements) => elements.iter_mut().for_each(without_nulls),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

async fn connectors(store: &Store, account: &str) -> Result<Vec<Value>, StoreError> {
    let (mut all, mut after) = (Vec::new(), None::<String>);
    loop {
        let page = store
            .voice_connectors(account, after.as_deref(), PAGE)
            .await?;
        for record in page.rows {
            let whole = store.whole_connector(record.id).await?;
            all.push(connector(store, account, &whole).await?);
        }
        after = page.next;
        if after.is_none() {
            return Ok(all);
        }
    }
}

async fn connector(
    store: &Store,
    account: &str,
    whole: &WholeConnector,
) -> Result<Value, StoreError> {
    let record = &whole.record;
    let credentials = whole.credentials.iter().map(|credential| {
        json!({
            "Username": credential.username,
            "Ha1Md5": credential.ha1_md5,
            "Ha1Sha256": credential.ha1_sha256,
        })
    });
    let credentials: Vec<Value> = credentials.collect();
    let mut section = json!({
        "VoiceConnectorId": record.id.as_str(),
        "Name": record.name,
        "AwsRegion": record.aws_region,
        "RequireEncryption": record.require_encryption,
        "NetworkType": record.network_type,
        "IntegrationType": record.integration_type,
        "Termination": whole.termination.as_ref().map(termination::answered),
        "Origination": whole.origination.as_ref().map(origination::answered),
        "Credentials": Some(credentials).filter(|list| !list.is_empty()),
    });
    for configuration in configurations::ALL {
        let body = body(store, account, configuration.kind(), record.id.as_str()).await?;
        section[configuration.member()] = body;
    }
    section["Tags"] = body(store, account, tags::KIND, record.id.as_str()).await?;
    Ok(section)
}

async fn body(
    store: &Store,
    account: &str,
    kind: &'static str,
    id: &str,
) -> Result<Value, StoreError> {
    let document = store.document(Key { kind, account, id }).await?;
    let body = document.map(|document| document.body);
    // A list that nobody needs is not there: no tags.
    Ok(body
        .filter(|body| body.as_array().is_none_or(|list| !list.is_empty()))
        .unwrap_or_default())
}

async fn groups(store: &Store, account: &str) -> Result<Vec<Value>, StoreError> {
    let (mut all, mut after) = (Vec::new(), None::<String>);
    loop {
        let page = store.groups(account, after.as_deref(), PAGE).await?;
        all.extend(page.rows.iter().map(group));
        after = page.next;
        if after.is_none() {
            return Ok(all);
        }
    }
}

fn group(group: &GroupRecord) -> Value {
    let items = group.items.iter().map(|item| {
        json!({"VoiceConnectorId": item.voice_connector.as_str(), "Priority": item.priority})
    });
    json!({
        "VoiceConnectorGroupId": group.id.to_string(),
        "Name": group.name,
        "CallDistributionType": group.call_distribution_type,
        "VoiceConnectorItems": items.collect::<Vec<_>>(),
    })
}

/// Those in the deletion queue are no longer the account's to declare.
async fn numbers(store: &Store, account: &str) -> Result<Vec<Value>, StoreError> {
    let (mut all, mut after) = (Vec::new(), None::<String>);
    let filter = NumberFilter::default();
    loop {
        let page = store
            .phone_numbers(account, &filter, after.as_deref(), PAGE)
            .await?;
        let kept = page.rows.iter().filter(|number| number.deleted.is_none());
        all.extend(kept.map(number));
        after = page.next;
        if after.is_none() {
            return Ok(all);
        }
    }
}

fn number(number: &PhoneNumberRecord) -> Value {
    let (connector, group) = match number.holder() {
        Some(Holder::VoiceConnector(id)) => (Some(id.to_string()), None),
        Some(Holder::VoiceConnectorGroup(id)) => (None, Some(id.to_string())),
        // A user's number is not declared.
        Some(Holder::User(_)) | None => (None, None),
    };
    json!({
        "E164PhoneNumber": number.number.to_string(),
        "ProductType": number.product_type,
        "Name": number.name,
        "CallingName": number.calling_name,
        "VoiceConnectorId": connector,
        "VoiceConnectorGroupId": group,
    })
}

async fn sip_applications(store: &Store, account: &str) -> Result<Vec<Value>, StoreError> {
    let mut all = Vec::new();
    for document in store
        .all_documents(applications::KIND.kind, account, "")
        .await?
    {
        let logging = applications::LOGGING;
        let mut section = document.body;
        section["SipMediaApplicationId"] = json!(document.id);
        section[logging.name] = body(store, account, logging.kind, &document.id).await?;
        section["Tags"] = body(store, account, tags::KIND, &document.id).await?;
        all.push(section);
    }
    Ok(all)
}

async fn rules(store: &Store, account: &str) -> Result<Vec<Value>, StoreError> {
    let documents = store
        .all_documents(sip_rules::KIND.kind, account, "")
        .await?;
    let rule = |document: crate::store::Document| {
        let mut section = document.body;
        section["SipRuleId"] = json!(document.id);
        section
    };
    Ok(documents.into_iter().map(rule).collect())
}

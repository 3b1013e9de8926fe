//! SIP rules: which SIP media applications a call to a number or a host name is for. They are kept; calls do
//! not read them.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::ApiState;
use super::errors::{ApiError, BadRequest, Conflict};
use super::members::{invalid, iso8601, own_number};
use super::model::Input;
use super::request::{ApiRequest, ApiResponse};
use super::resources::{Kind, members, text};
use super::sip_media_applications as applications;
use crate::connector_id::VoiceConnectorId;
use crate::store::{Document, StoreError};

/// SIP rules.
pub(super) const KIND: Kind = Kind {
    kind: "sip-rule",
    name: "SipRule",
};

/// The `TriggerType` of calls to a number; the other is of calls to a host name.
pub(super) const TO_NUMBER: &str = "ToPhoneNumber";

/// `CreateSipRule`
pub(super) async fn create(
    state: &ApiState,
    request: &ApiRequest<'_>,
    input: &Input,
) -> Result<ApiResponse, ApiError> {
    let _writing = state.control.hold_writes().await;
    let kind = input.text("TriggerType");
    let value = match kind {
        TO_NUMBER => own_number(state, request, input, "TriggerValue")
            .await?
            .to_string(),
        _ => own_host(state, request, input).await?,
    };
    let targets = targets_of(state, request, input).await?;
    let rules = KIND.all(state, request.account, "").await?;
    let most = state.quotas.sip_rules;
    if rules.len() >= most {
        return Err(ApiError::ResourceLimitExceeded {
            what: "SIP rules of an account",
            most,
        });
    }
    let has_trigger =
        |rule: &Document| text(rule, "TriggerType") == kind && text(rule, "TriggerValue") == value;
    if let Some(rule) = rules.into_iter().find(has_trigger) {
        return Err(Conflict::TriggerTaken { rule: rule.id }.into());
    }
    let id = uuid::Uuid::new_v4().to_string();
    let body = json!({
        "Name": input.text("Name"),
        "Disabled": input.boolean("Disabled"),
        "TriggerType": kind,
        "TriggerValue": value,
        "TargetApplications": targets,
    });
    let rule = state
        .control
        .store()
        .put_document(KIND.key(request.account, &id), "", &body, (state.now)())
        .await?;
    respond(&rule)
}

/// `GetSipRule`
pub(super) async fn get(
    state: &ApiState,
    request: &ApiRequest<'_>,
    input: &Input,
) -> Result<ApiResponse, ApiError> {
    let id = input.text("SipRuleId");
    respond(&KIND.existing(state, request.account, id).await?)
}

/// `ListSipRules`: all, or those that target an application.
pub(super) async fn list(
    state: &ApiState,
    request: &ApiRequest<'_>,
    input: &Input,
) -> Result<ApiResponse, ApiError> {
    let application = input.text_if_any("SipMediaApplicationId");
    if let Some(id) = application {
        applications::KIND
            .existing(state, request.account, id)
            .await?;
    }
    let wanted = |rule: &Document| application.is_none_or(|id| targets(rule, id));
    let page = KIND.page(state, (request, input), "", wanted).await?;
    let rules: Vec<Value> = page.rows.iter().map(rule).collect();
    ApiResponse::json(&json!({"SipRules": rules, "NextToken": page.next}))
}

/// `UpdateSipRule`; a member that is not given stays as it is.
pub(super) async fn update(
    state: &ApiState,
    request: &ApiRequest<'_>,
    input: &Input,
) -> Result<ApiResponse, ApiError> {
    let _writing = state.control.hold_writes().await;
    let id = input.text("SipRuleId");
    KIND.existing(state, request.account, id).await?;
    let targets = match input.value("TargetApplications") {
        Some(_) => Some(targets_of(state, request, input).await?),
        None => None,
    };
    let change = |before: &Document| {
        let mut body = members(before);
        body.extend(input.some_of(&["Name", "Disabled"]));
        if let Some(targets) = &targets {
            body.insert("TargetApplications".into(), targets.clone());
        }
        Ok(Value::Object(body))
    };
    respond(&KIND.change(state, request.account, id, change).await?)
}

/// `DeleteSipRule`
pub(super) async fn delete(
    state: &ApiState,
    request: &ApiRequest<'_>,
    input: &Input,
) -> Result<ApiResponse, ApiError> {
    let _writing = state.control.hold_writes().await;
    let id = input.text("SipRuleId");
    let rule = KIND.existing(state, request.account, id).await?;
    if rule.body.get("Disabled") != Some(&Value::Bool(true)) {
        return Err(Conflict::RuleEnabled { rule: rule.id }.into());
    }
    let key = KIND.key(request.account, id);
    state.control.store().delete_document(key).await?;
    Ok(ApiResponse::no_content())
}

/// Whether a rule targets an application.
pub(super) fn targets(rule: &Document, application: &str) -> bool {
    let targets = rule
        .body
        .get("TargetApplications")
        .and_then(Value::as_array);
    let mut targets = targets.into_iter().flatten();
    targets.any(|target| target_text(target, "SipMediaApplicationId") == Some(application))
}

fn target_text<'a>(target: &'a Value, member: &str) -> Option<&'a str> {
    target.get(member).and_then(Value::as_str)
}

/// The outbound host name of one of the account's connectors, as the connector has it.
async fn own_host(
    state: &ApiState,
    request: &ApiRequest<'_>,
    input: &Input,
) -> Result<String, ApiError> {
    let host = input.text("TriggerValue").to_ascii_lowercase();
    let refused = || {
        invalid(
            "TriggerValue",
            "the OutboundHostName of a VoiceConnector of the account",
        )
    };
    let label = host.split('.').next().unwrap_or_default();
    let id: VoiceConnectorId = label.parse().map_err(|_| refused())?;
    let store = state.control.store();
    match store.voice_connector(request.account, id).await {
        Ok(record) if record.outbound_host_name.eq_ignore_ascii_case(&host) => {
            Ok(record.outbound_host_name)
        }
        Ok(_) | Err(StoreError::UnknownVoiceConnector(_)) => Err(refused().into()),
        Err(error) => Err(error.into()),
    }
}

/// The target applications of a request: each is there, no two have a region or a priority in common. A region
/// that is not given is the application's.
async fn targets_of(
    state: &ApiState,
    request: &ApiRequest<'_>,
    input: &Input,
) -> Result<Value, ApiError> {
    let asked = input.list("TargetApplications");
    let mut regions = HashMap::new();
    for id in asked
        .iter()
        .filter_map(|target| target_text(target, "SipMediaApplicationId"))
    {
        let key = applications::KIND.key(request.account, id);
        if let Some(application) = state.control.store().document(key).await? {
            regions.insert(id, text(&application, "AwsRegion").to_owned());
        }
    }
    let region = |id: &str| regions.get(id).map(String::as_str);
    Ok(settled_targets("TargetApplications", asked, region)?)
}

/// The target applications that stand at `path`, as they are kept; `region` is of an application, where it is there.
pub(super) fn settled_targets<'a>(
    path: &str,
    asked: &[Value],
    region: impl Fn(&str) -> Option<&'a str>,
) -> Result<Value, BadRequest> {
    let mut targets: Vec<Value> = Vec::new();
    for (index, asked) in asked.iter().enumerate() {
        let member = |name: &str| format!("{path}[{index}].{name}");
        let missing = |name| BadRequest::Missing {
            member: member(name),
        };
        let id = target_text(asked, "SipMediaApplicationId");
        let id = id.ok_or_else(|| missing("SipMediaApplicationId"))?;
        let priority = asked.get("Priority").and_then(Value::as_i64);
        let priority = priority.ok_or_else(|| missing("Priority"))?;
        let region = region(id).ok_or_else(|| {
            let expected = "the id of a SIP media application of the account";
            invalid(member("SipMediaApplicationId"), expected)
        })?;
        if target_text(asked, "AwsRegion").is_some_and(|asked| asked != region) {
            let expected = "the AwsRegion of the SIP media application";
            return Err(invalid(member("AwsRegion"), expected));
        }
        let target =
            json!({"SipMediaApplicationId": id, "Priority": priority, "AwsRegion": region});
        let has = |name: &str| {
            let mut others = targets.iter();
            others.any(|other| other.get(name) == target.get(name))
        };
        if has("AwsRegion") {
            let expected = "a SIP media application of another region than the others'";
            return Err(invalid(member("SipMediaApplicationId"), expected));
        }
        if has("Priority") {
            let expected = "a priority that no other target has";
            return Err(invalid(member("Priority"), expected));
        }
        targets.push(target);
    }
    Ok(Value::Array(targets))
}

fn respond(document: &Document) -> Result<ApiResponse, ApiError> {
    ApiResponse::json(&json!({KIND.name: rule(document)}))
}

fn rule(document: &Document) -> Value {
    let mut rule = members(document);
    rule.insert("SipRuleId".into(), document.id.as_str().into());
    rule.insert("CreatedTimestamp".into(), iso8601(document.created).into());
    rule.insert("UpdatedTimestamp".into(), iso8601(document.updated).into());
    Value::Object(rule)
}

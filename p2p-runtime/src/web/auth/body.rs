//! What is asked of `/auth/…`: a form, as OAuth 2.0 has it, or the same members as JSON.

use std::collections::BTreeMap;

use axum::extract::Request;
use base64::{Engine, engine::general_purpose::STANDARD};
use http::{
    HeaderMap,
    header::{AUTHORIZATION, CONTENT_TYPE},
};
use percent_encoding::percent_decode_str;
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, Zeroizing};

use super::{
    super::rpc::{BodyLimits, read_body_within},
    AuthError,
};
use crate::{identity::ClientSecret, web::WebState};

/// The largest request, in bytes.
const MAX_BODY: usize = 16 * 1024;

/// What a body says, by name. Values may be secret, and are wiped when it goes.
pub(super) struct Members(BTreeMap<String, String>);

impl Members {
    pub(super) fn take(&mut self, name: &str) -> Option<String> {
        self.0.remove(name)
    }
}

impl Drop for Members {
    fn drop(&mut self) {
        self.0.values_mut().for_each(Zeroize::zeroize);
    }
}

/// `POST /auth/token`: who wants a token, and which.
#[derive(Serialize)]
pub(super) struct TokenGrant {
    #[serde(skip_serializing_if = "Option::is_none")]
    grant_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) client_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_secret: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) scope: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ttl_seconds: Option<u64>,
}

impl Drop for TokenGrant {
    fn drop(&mut self) {
        self.client_secret.zeroize();
    }
}

impl TokenGrant {
    pub(super) fn from_body(headers: &HeaderMap, mut members: Members) -> Result<Self, AuthError> {
        let (mut client_id, mut client_secret) = (members.take("client_id"), members.take("client_secret"));
        if let Some((id, secret)) = basic(headers)? {
            if client_secret.is_some() || client_id.as_ref().is_some_and(|named| *named != id) {
                return Err(AuthError::invalid_request("the client is named twice; name it in the header or in the body"));
            }
            (client_id, client_secret) = (Some(id), Some(secret));
        }
        let ttl = members.take("ttl_seconds").map(|text| text.parse());
        let ttl_seconds =
            ttl.transpose().map_err(|_| AuthError::invalid_request("ttl_seconds is a number of seconds, such as 300"))?;
        Ok(Self { grant_type: members.take("grant_type"), client_id, client_secret, scope: members.take("scope"), ttl_seconds })
    }

    /// There is one kind of grant. (Whoever asks by hand may leave it out.)
    pub(super) fn check_type(&self) -> Result<(), AuthError> {
        match self.grant_type.as_deref() {
            None | Some("client_credentials") => Ok(()),
            Some(_) => {
                let text = "the only grant_type is client_credentials";
                Err(AuthError::new(http::StatusCode::BAD_REQUEST, "unsupported_grant_type", text))
            }
        }
    }

    /// The secret, without the line's end that a file has.
    pub(super) fn secret(&self) -> Option<ClientSecret> {
        self.client_secret.as_deref().map(|secret| ClientSecret::new(secret.trim()))
    }

    /// The same again, for the coordinator that keeps the credential.
    pub(super) fn to_json(&self) -> Result<Vec<u8>, AuthError> {
        serde_json::to_vec(self).map_err(|error| AuthError::invalid_request(&error.to_string()))
    }
}

/// Reads a request's body and what is said in it.
pub(super) async fn read<T>(
    request: Request,
    state: &WebState,
    make: impl FnOnce(&HeaderMap, Members) -> Result<T, AuthError>,
) -> Result<T, AuthError> {
    let (parts, body) = request.into_parts();
    let limits = BodyLimits { max: MAX_BODY, ..state.config.live().body_limits };
    let body = read_body_within(body, limits).await.map_err(|error| AuthError::invalid_request(&error.to_string()))?;
    let text = std::str::from_utf8(&body).map_err(|_| AuthError::invalid_request("the body is not UTF-8"))?;
    let media = parts.headers.get(CONTENT_TYPE).and_then(|media| media.to_str().ok()).unwrap_or_default();
    let is_json = media.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json");
    let members = if is_json { from_json(text)? } else { from_form(text)? };
    make(&parts.headers, members)
}

/// The members of a form (`application/x-www-form-urlencoded`). One that stands twice is refused (RFC 6749, section 3.2).
fn from_form(text: &str) -> Result<Members, AuthError> {
    let decode = |text: &str| {
        let spaced = Zeroizing::new(text.replace('+', " "));
        percent_decode_str(&spaced).decode_utf8().map(std::borrow::Cow::into_owned).map_err(|_| unreadable("it is not UTF-8"))
    };
    let mut members = Members(BTreeMap::new());
    for pair in text.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').ok_or_else(|| unreadable("a member has no value"))?;
        let name = decode(name)?;
        if members.0.contains_key(&name) {
            return Err(unreadable("a member stands twice"));
        }
        members.0.insert(name, decode(value)?);
    }
    Ok(members)
}

/// The members of a JSON object: texts, and numbers.
fn from_json(text: &str) -> Result<Members, AuthError> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Body {
        grant_type: Option<String>,
        client_id: Option<String>,
        client_secret: Option<String>,
        scope: Option<String>,
        ttl_seconds: Option<u64>,
        token: Option<String>,
        token_type_hint: Option<String>,
    }
    // The error may quote what stood there; it tells the place only.
    let body: Body =
        serde_json::from_str(text).map_err(|error| unreadable(&format!("line {}, column {}", error.line(), error.column())))?;
    let members = [
        ("grant_type", body.grant_type),
        ("client_id", body.client_id),
        ("client_secret", body.client_secret),
        ("scope", body.scope),
        ("ttl_seconds", body.ttl_seconds.map(|ttl| ttl.to_string())),
        ("token", body.token),
        ("token_type_hint", body.token_type_hint),
    ];
    Ok(Members(members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()))
}

fn unreadable(why: &str) -> AuthError {
    AuthError::invalid_request(&format!(
        "the body cannot be read ({why}); it is a form or JSON with client_id, client_secret, and where wanted scope and ttl_seconds"
    ))
}

/// The client in the header (RFC 6749, section 2.3.1): both parts are encoded as in a form.
fn basic(headers: &HeaderMap) -> Result<Option<(String, String)>, AuthError> {
    let Some(value) = headers.get(AUTHORIZATION) else { return Ok(None) };
    let unreadable = || {
        AuthError::invalid_request("the header authorization cannot be read; here it is Basic, of client_id and client_secret")
    };
    let encoded =
        value.to_str().ok().and_then(|text| text.split_once(' ')).filter(|(scheme, _)| scheme.eq_ignore_ascii_case("basic"));
    let (_, encoded) = encoded.ok_or_else(unreadable)?;
    let decoded = Zeroizing::new(STANDARD.decode(encoded.trim()).map_err(|_| unreadable())?);
    let text = std::str::from_utf8(&decoded).map_err(|_| unreadable())?;
    let (id, secret) = text.split_once(':').ok_or_else(unreadable)?;
    let decode = |text: &str| percent_decode_str(text).decode_utf8().map(std::borrow::Cow::into_owned).map_err(|_| unreadable());
    Ok(Some((decode(id)?, decode(secret)?)))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn grant(headers: &HeaderMap, members: Members) -> [Option<String>; 3] {
        let grant = TokenGrant::from_body(headers, members).unwrap();
        [grant.client_id.clone(), grant.client_secret.clone(), grant.scope.clone()]
    }

    #[test]
    fn a_form_json_and_the_header_say_the_same() {
        let none = HeaderMap::new();
        let wanted = [Some("ci@c".to_owned()), Some("p2p-secret-x".to_owned()), Some("a b".to_owned())];
        assert_eq!(
            grant(
                &none,
                from_form("client_id=ci%40c&client_secret=p2p-secret-x&scope=a+b&grant_type=client_credentials").unwrap()
            ),
            wanted
        );
        assert_eq!(
            grant(&none, from_json(r#"{"client_id":"ci@c","client_secret":"p2p-secret-x","scope":"a b"}"#).unwrap()),
            wanted
        );
        let mut basic = HeaderMap::new();
        let encoded = STANDARD.encode("ci%40c:p2p-secret-x");
        basic.insert(AUTHORIZATION, HeaderValue::try_from(format!("Basic {encoded}")).unwrap());
        assert_eq!(grant(&basic, from_form("scope=a%20b").unwrap()), wanted);
        assert!(TokenGrant::from_body(&basic, from_form("client_id=other%40c").unwrap()).is_err());
    }

    #[test]
    fn what_cannot_be_read_is_refused_without_repeating_it() {
        for bad in [
            "{\"client_secret\":\"canary\"",
            "{\"client_secret\":canary}",
            "{\"canary\":1}",
            "[]",
            "{\"client_secret\":\"a\",\"client_secret\":\"canary\"}",
        ] {
            let said = from_json(bad).err().unwrap().to_string();
            assert!(!said.contains("canary"), "{said}");
        }
        for bad in ["client_secret", "client_id=a&client_id=canary", "client_secret=%ff"] {
            let said = from_form(bad).err().unwrap().to_string();
            assert!(!said.contains("canary"), "{said}");
        }
    }
}

//! Forged tokens: a join token that nobody made, and access tokens that no coordinator signed.

use aws_lc_rs::{
    hmac,
    rand::fill,
    signature::{Ed25519KeyPair, KeyPair},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{Request, StatusCode, header::AUTHORIZATION};
use http_body_util::Full;
use p2p_client::{
    protocol::{Role, UnixMillis},
    wire::tls::ChannelBinding,
};
use p2p_runtime::identity::{
    BearerRefused, CertReply, CertRequest, Host, JoinToken, NodeKey, Refused, TokenRefused,
    join::{Joiner, random_node_id},
};
use serde_json::{Value, json};

use super::{
    Check,
    finding::{Finding, Found, NotTried},
    target::{Answer, Connection, Target, post},
};

/// The checks.
pub(super) fn checks(target: &Target) -> Vec<Check<'_>> {
    vec![
        Check::case(26, "joining with a join token that nobody made", unknown_join_token(target)),
        Check::case(36, "an access token without a signature (alg none)", no_algorithm(target)),
        Check::case(37, "an access token signed by HS256 with the published key", public_key_as_secret(target)),
        Check::case(38, "an access token with a key that nobody published", unknown_key(target)),
        Check::left_out(
            39,
            "an access token without an audience",
            "not tried here: a node reads what a token says only once its signature is good, and none but a coordinator can sign one",
        ),
        Check::case(40, "an access token of another type", other_type(target)),
        Check::case(41, "an access token with a critical extension", critical_extension(target)),
    ]
}

/// Goes through a join as a new node does, up to the answer to its proof. Were it believed, the coordinator would go on to call the
/// claimed address, where nobody answers.
async fn unknown_join_token(target: &Target) -> Found {
    if target.role != Role::Coordinator {
        return Ok(Finding::Skipped("only coordinators let nodes in".to_owned()));
    }
    let token = JoinToken::generate(target.root.key_hash())?;
    let joiner = Joiner::new(
        token,
        random_node_id(Role::Worker)?,
        Role::Worker,
        vec!["127.0.0.1".parse::<Host>()?],
        NodeKey::generate()?,
    )?;
    let stream = target.nameless().await?;
    let channel = ChannelBinding::of_client(&stream)?;
    let mut connection = Connection::on(stream, &target.authority).await?;
    let hello = say(&mut connection, &CertRequest::Hello(joiner.hello().clone())).await?;
    let Ok(CertReply::Hello(reply)) = serde_json::from_slice(&hello.body) else {
        return Ok(match Refused::from_body(&hello.body) {
            Some(Refused::Busy) => Finding::PutOff("too many joins are under way there; try again in a minute"),
            _ => Finding::withstood(false, format!("does not speak the protocol of joining (HTTP {})", hello.status.as_u16())),
        });
    };
    let proof = joiner.prove(&channel, &reply)?;
    let answer = say(&mut connection, &CertRequest::Prove(proof)).await?;
    let is_refused = Refused::from_body(&answer.body) == Some(Refused::Token(TokenRefused::Unknown));
    Ok(Finding::withstood(is_refused, http(&answer)))
}

async fn say(connection: &mut Connection, message: &CertRequest) -> Result<Answer, NotTried> {
    connection.ask(post("/internal/cert-request", serde_json::to_vec(message)?)?).await
}

fn http(answer: &Answer) -> String {
    let verb = if answer.status.is_success() { "took it" } else { "refused it" };
    format!("{verb} (HTTP {})", answer.status.as_u16())
}

/// The key that the coordinators publish first.
fn published(target: &Target) -> Option<(String, Vec<u8>)> {
    let key = target.keys.pointer("/keys/0")?;
    Some((key["kid"].as_str()?.to_owned(), URL_SAFE_NO_PAD.decode(key["x"].as_str()?).ok()?))
}

fn no_key() -> Finding {
    Finding::Skipped("no coordinator has published a key".to_owned())
}

/// What is signed of a token whose claims are all in order (RFC 7515, section 5.1).
fn unsigned(target: &Target, header: &Value) -> Result<String, NotTried> {
    let now = UnixMillis::now().0 / 1000;
    let (mut credential, mut own) = ([0; 8], [0; 16]);
    fill(&mut credential)?;
    fill(&mut own)?;
    let id = format!("{:016x}.{:032x}", u64::from_be_bytes(credential), u128::from_be_bytes(own));
    let claims = json!({
        "iss": format!("p2p://{}/{}/{}", target.root.cluster(), Role::Coordinator, target.node_id),
        "sub": "selftest", "client_id": "selftest", "aud": target.root.cluster(),
        "iat": now, "nbf": now, "exp": now + 60, "jti": id,
    });
    let [header, claims] = [header, &claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
    Ok(format!("{header}.{claims}"))
}

fn with_signature(signed: &str, signature: &[u8]) -> String {
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// Whether the node refuses the token, and for this very reason.
async fn refused(target: &Target, token: &str, reason: BearerRefused) -> Found {
    let call = json!({ "jsonrpc": "2.0", "id": 1, "method": "rpc.discover" }).to_string();
    let request = Request::post("/rpc").header(AUTHORIZATION, format!("Bearer {token}")).body(Full::from(call))?;
    let answer = target.ask(request).await?;
    let is_told = answer.error().is_some_and(|error| error.message.contains(&reason.to_string()));
    Ok(match (answer.status, is_told) {
        (StatusCode::UNAUTHORIZED, true) => Finding::held(http(&answer)),
        (StatusCode::UNAUTHORIZED, false) => Finding::withstood(false, "refused it, but for another reason"),
        _ => Finding::withstood(false, http(&answer)),
    })
}

async fn no_algorithm(target: &Target) -> Found {
    let kid = published(target).map(|(kid, _)| kid);
    let token = with_signature(&unsigned(target, &json!({ "alg": "none", "typ": "at+jwt", "kid": kid }))?, b"");
    refused(target, &token, BearerRefused::Algorithm("none".to_owned())).await
}

async fn public_key_as_secret(target: &Target) -> Found {
    let Some((kid, key)) = published(target) else { return Ok(no_key()) };
    let signed = unsigned(target, &json!({ "alg": "HS256", "typ": "at+jwt", "kid": kid }))?;
    let signature = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), signed.as_bytes());
    refused(target, &with_signature(&signed, signature.as_ref()), BearerRefused::Algorithm("HS256".to_owned())).await
}

async fn unknown_key(target: &Target) -> Found {
    let own = Ed25519KeyPair::generate()?;
    let kid = URL_SAFE_NO_PAD.encode(own.public_key().as_ref());
    let signed = unsigned(target, &json!({ "alg": "EdDSA", "typ": "at+jwt", "kid": kid }))?;
    let token = with_signature(&signed, own.sign(signed.as_bytes()).as_ref());
    refused(target, &token, BearerRefused::UnknownKey(kid)).await
}

async fn other_type(target: &Target) -> Found {
    let Some((kid, _)) = published(target) else { return Ok(no_key()) };
    let signed = unsigned(target, &json!({ "alg": "EdDSA", "typ": "JWT", "kid": kid }))?;
    let token = with_signature(&signed, Ed25519KeyPair::generate()?.sign(signed.as_bytes()).as_ref());
    refused(target, &token, BearerRefused::Type("jwt".to_owned())).await
}

async fn critical_extension(target: &Target) -> Found {
    let Some((kid, _)) = published(target) else { return Ok(no_key()) };
    let header = json!({ "alg": "EdDSA", "typ": "at+jwt", "kid": kid, "crit": ["selftest"], "selftest": true });
    let signed = unsigned(target, &header)?;
    let token = with_signature(&signed, Ed25519KeyPair::generate()?.sign(signed.as_bytes()).as_ref());
    refused(target, &token, BearerRefused::Critical).await
}

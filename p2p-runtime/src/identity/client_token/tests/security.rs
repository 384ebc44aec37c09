//! The cases of tokens in the project's list of security and fault cases. A control makes the attack of its case on the product less the
//! checks that stop it, and says of each of these why it refuses alone.

use aws_lc_rs::{
    hmac,
    signature::{Ed25519KeyPair, KeyPair},
};

use super::*;
use crate::{
    checks::without,
    identity::client_token::{checks::Check, keys::PublicKey},
};

/// In whose name a token is that is made from a good one.
const CLIENT: &str = "client-0@coordinator";

/// The attack gets in where these checks are left out and all others made, and each of these alone refuses it, for this reason.
fn is_stopped_by<T>(checks: &[(Check, BearerRefused)], attack: impl Fn() -> Result<T, BearerRefused>) -> T {
    let but =
        |kept: Option<Check>| checks.iter().map(|(check, _)| *check).filter(|check| Some(*check) != kept).collect::<Vec<_>>();
    for (kept, refused) in checks {
        assert_eq!(without(&but(Some(*kept)), &attack).err().as_ref(), Some(refused), "with {kept:?} alone");
    }
    without(&but(None), attack).unwrap_or_else(|refused| panic!("without {:?}: {refused}", but(None)))
}

fn public(world: &World) -> PublicKey {
    world.with_signer(|key| key.public().clone())
}

/// Tokens that nobody signed, and the algorithm that each names.
fn signed_by_nothing(header: &Value, claims: &Value) -> Vec<(&'static str, BearerToken)> {
    let token = |alg, signature| {
        let unsigned = unsigned(&with(header.clone(), "alg", text(alg)), claims);
        (alg, BearerToken::new(format!("{unsigned}.{signature}")))
    };
    ["none", "None", "NONE", "nOnE", ""].into_iter().flat_map(|alg| ["", "AA"].map(|signature| token(alg, signature))).collect()
}

#[tokio::test]
async fn case_36_a_token_with_the_algorithm_none_is_refused() {
    let world = World::new();
    let (header, claims) = world.good().await;
    for (alg, token) in signed_by_nothing(&header, &claims) {
        let refused = world.verify(&token).unwrap_err();
        assert_eq!(refused, BearerRefused::Algorithm(alg.to_owned()), "{alg}");
        assert!(refused.to_string().contains("signed by EdDSA"), "{refused}");
    }
    // Nor one that says nothing of it.
    let silent = BearerToken::new(format!("{}.", unsigned(&with(header, "alg", None), &claims)));
    assert!(matches!(world.verify(&silent), Err(BearerRefused::Malformed(_))));
}

/// Whatever the header says, there has to be the one signature: where the algorithm that it names is not looked at, that is missing.
#[tokio::test]
async fn case_36_control_without_a_look_at_the_algorithm_and_the_signature_it_is_taken_and_each_alone_stops_it() {
    let world = World::new();
    let (header, claims) = world.good().await;
    for (alg, token) in signed_by_nothing(&header, &claims) {
        let checks =
            [(Check::Algorithm, BearerRefused::Algorithm(alg.to_owned())), (Check::Signature, BearerRefused::BadSignature)];
        assert_eq!(is_stopped_by(&checks, || world.verify(&token)), CLIENT);
    }
}

/// Algorithms that a token signed by HMAC names: its own, and others.
const HMAC_SAYS: [&str; 5] = ["HS256", "ES256", "RS256", "eddsa", "Ed448"];

/// A token that is signed by HMAC, with the published key for a secret.
fn by_hmac(world: &World, header: Value, claims: &Value, alg: &str) -> BearerToken {
    let signed = unsigned(&with(header, "alg", text(alg)), claims);
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, public(world).bytes()), signed.as_bytes());
    BearerToken::new(format!("{signed}.{}", codec::encode(tag.as_ref())))
}

#[tokio::test]
async fn case_37_a_token_signed_by_hmac_with_the_public_key_is_refused() {
    let world = World::new();
    let (header, claims) = world.good().await;
    for alg in HMAC_SAYS {
        let token = by_hmac(&world, header.clone(), &claims, alg);
        assert_eq!(world.verify(&token), Err(BearerRefused::Algorithm(alg.to_owned())));
    }
    // Nor does it help to say that it is EdDSA.
    assert_eq!(world.verify(&by_hmac(&world, header, &claims, "EdDSA")), Err(BearerRefused::BadSignature));
}

/// The published key is used for EdDSA alone, whatever the header says, and no code takes it for a secret: there is no such way to be left open, so that
/// here, too, the check of the signature is left out with that of the algorithm.
#[tokio::test]
async fn case_37_control_without_a_look_at_the_algorithm_and_the_signature_it_is_taken_and_each_alone_stops_it() {
    let world = World::new();
    let (header, claims) = world.good().await;
    for alg in HMAC_SAYS {
        let token = by_hmac(&world, header.clone(), &claims, alg);
        let checks =
            [(Check::Algorithm, BearerRefused::Algorithm(alg.to_owned())), (Check::Signature, BearerRefused::BadSignature)];
        assert_eq!(is_stopped_by(&checks, || world.verify(&token)), CLIENT);
    }
    let says_it_is_ours = by_hmac(&world, header, &claims, "EdDSA");
    let checks = [(Check::Signature, BearerRefused::BadSignature)];
    assert_eq!(is_stopped_by(&checks, || world.verify(&says_it_is_ours)), CLIENT);
}

/// A token of somebody who is no coordinator, who shows his key in the header.
fn by_a_stranger(header: Value, claims: &Value, kid: &str) -> BearerToken {
    let pair = Ed25519KeyPair::generate().unwrap();
    let key = PublicKey::new(pair.public_key().as_ref().try_into().unwrap());
    let header = with(with(header, "kid", text(kid)), "jwk", key.jwk());
    let signed = unsigned(&header, claims);
    let signature = codec::encode(pair.sign(signed.as_bytes()).as_ref());
    BearerToken::new(format!("{signed}.{signature}"))
}

/// Names that no key has.
const UNKNOWN: [&str; 4] = ["unknown", "", "../../etc/passwd", "' OR 1=1 --"];

#[tokio::test]
async fn case_38_a_token_of_an_unknown_key_is_refused() {
    let world = World::new();
    let (header, claims) = world.good().await;
    for kid in UNKNOWN {
        let refused = world.verify(&by_a_stranger(header.clone(), &claims, kid)).unwrap_err();
        assert_eq!(refused, BearerRefused::UnknownKey(kid.to_owned()));
        assert!(refused.to_string().contains("no coordinator of this cluster has the key"), "{refused}");
    }
    // A stranger's key under a known name, and no name at all.
    let known = header["kid"].as_str().unwrap().to_owned();
    assert_eq!(world.verify(&by_a_stranger(header.clone(), &claims, &known)), Err(BearerRefused::BadSignature));
    assert!(matches!(world.verify(&world.forged(&with(header, "kid", None), &claims)), Err(BearerRefused::Malformed(_))));
    // A coordinator of another cluster is a stranger, too.
    let other = World::new().token("orders:read").await.token;
    assert!(matches!(world.verify(&other), Err(BearerRefused::UnknownKey(_))));
}

/// No code takes a key from the header. Where any key is taken for the one that is named, it is a coordinator's, so that the signature is wrong.
#[tokio::test]
async fn case_38_control_without_a_look_for_the_key_and_at_the_signature_it_is_taken_and_each_alone_stops_it() {
    let world = World::new();
    let (header, claims) = world.good().await;
    let signature = (Check::Signature, BearerRefused::BadSignature);
    for kid in UNKNOWN {
        let token = by_a_stranger(header.clone(), &claims, kid);
        let checks = [(Check::Key, BearerRefused::UnknownKey(kid.to_owned())), signature.clone()];
        assert_eq!(is_stopped_by(&checks, || world.verify(&token)), CLIENT);
    }
    let known = header["kid"].as_str().unwrap().to_owned();
    let token = by_a_stranger(header, &claims, &known);
    assert_eq!(is_stopped_by(std::slice::from_ref(&signature), || world.verify(&token)), CLIENT);
    // What another cluster's coordinator signed says itself that it is not for this one.
    let another = World::new();
    another.now.store(world.now.load(SeqCst), SeqCst);
    let other = another.token("orders:read").await.token;
    let (header, claims, _) = parts(&other);
    let [kid, issuer, got] = [&header["kid"], &claims["iss"], &claims["aud"]].map(|said| said.as_str().unwrap().to_owned());
    let checks = [
        (Check::Key, BearerRefused::UnknownKey(kid)),
        signature,
        (Check::Issuer, BearerRefused::Issuer(issuer)),
        (Check::Audience, BearerRefused::Audience { got, ours: world.who.cluster.to_string() }),
    ];
    assert_eq!(is_stopped_by(&checks, || world.verify(&other)), CLIENT);
}

fn in_anothers_name(world: &World, header: &Value, claims: &Value) -> BearerToken {
    world.forged(header, &with(claims.clone(), "iss", text("p2p://x/coordinator/y")))
}

fn for_more_than_a_day(world: &World, header: &Value, claims: &Value) -> BearerToken {
    world.forged(header, &with(claims.clone(), "exp", json!(claims["iat"].as_u64().unwrap() + 86_401)))
}

#[tokio::test]
async fn case_39_a_token_without_an_audience_or_for_another_is_refused() {
    let world = World::new();
    let (header, claims) = world.good().await;
    let for_nobody = world.forged(&header, &with(claims.clone(), "aud", None));
    let refused = world.verify(&for_nobody).unwrap_err();
    assert!(matches!(&refused, BearerRefused::Claims(why) if why.contains("missing field `aud`")), "{refused}");
    let other = world.forged(&header, &with(claims.clone(), "aud", text("another-cluster")));
    let refused = world.verify(&other).unwrap_err();
    assert!(matches!(&refused, BearerRefused::Audience { got, .. } if got == "another-cluster"), "{refused}");
    for odd in [json!(null), json!([]), json!([world.who.cluster]), json!({}), json!(1)] {
        let token = world.forged(&header, &with(claims.clone(), "aud", odd));
        assert!(matches!(world.verify(&token), Err(BearerRefused::Claims(_))));
    }
    // All else that a token must say must be there, too.
    for name in ["iss", "sub", "client_id", "iat", "nbf", "exp", "jti"] {
        let token = world.forged(&header, &with(claims.clone(), name, None));
        assert!(matches!(world.verify(&token), Err(BearerRefused::Claims(why)) if why.contains(name)), "{name}");
    }
    assert!(matches!(world.verify(&in_anothers_name(&world, &header, &claims)), Err(BearerRefused::Issuer(_))));
    assert_eq!(world.verify(&for_more_than_a_day(&world, &header, &claims)), Err(BearerRefused::TooLongLived));
    // Said twice, the second is not what counts.
    let twice = claims.to_string().replacen('{', "{\"aud\":\"another-cluster\",", 1);
    let signed = format!("{}.{}", codec::encode(header.to_string().as_bytes()), codec::encode(twice.as_bytes()));
    let signature = world.with_signer(|key| key.sign(signed.as_bytes()));
    let token = BearerToken::new(format!("{signed}.{}", codec::encode(&signature)));
    assert!(matches!(world.verify(&token), Err(BearerRefused::Claims(why)) if why.contains("duplicate field")));
}

#[tokio::test]
async fn case_39_control_without_a_look_at_the_audience_a_token_for_nobody_and_for_another_is_taken() {
    let world = World::new();
    let (header, claims) = world.good().await;
    let audience = |got: &str| BearerRefused::Audience { got: got.to_owned(), ours: world.who.cluster.to_string() };
    for nobody in [None, Some(Value::Null)] {
        let token = world.forged(&header, &with(claims.clone(), "aud", nobody));
        // What does not say whom it is for is for nobody, and so not for this cluster.
        let checks = [(Check::AudienceStated, world.verify(&token).unwrap_err()), (Check::Audience, audience(""))];
        assert_eq!(is_stopped_by(&checks, || world.verify(&token)), CLIENT);
    }
    let other = world.forged(&header, &with(claims, "aud", text("another-cluster")));
    assert_eq!(is_stopped_by(&[(Check::Audience, audience("another-cluster"))], || world.verify(&other)), CLIENT);
}

#[tokio::test]
async fn case_39_control_without_a_look_at_issuer_and_lifetime_they_say_what_they_like() {
    let world = World::new();
    let (header, claims) = world.good().await;
    for (token, check, refused) in [
        (in_anothers_name(&world, &header, &claims), Check::Issuer, BearerRefused::Issuer("p2p://x/coordinator/y".to_owned())),
        (for_more_than_a_day(&world, &header, &claims), Check::Lifetime, BearerRefused::TooLongLived),
    ] {
        assert_eq!(is_stopped_by(&[(check, refused)], || world.verify(&token)), CLIENT);
    }
}

/// Types that are not that of access tokens, and none at all.
const OTHER_TYPES: [Option<&str>; 6] = [Some("JWT"), Some("id+jwt"), Some("logout+jwt"), Some("at+jwt2"), Some(""), None];

#[tokio::test]
async fn case_40_a_token_of_another_type_is_refused() {
    let world = World::new();
    let (header, claims) = world.good().await;
    for typ in OTHER_TYPES {
        let token = world.forged(&with(header.clone(), "typ", typ.map(text)), &claims);
        assert_eq!(world.verify(&token), Err(BearerRefused::Type(typ.unwrap_or_default().to_ascii_lowercase())));
    }
    for typ in ["AT+JWT", "application/at+jwt"] {
        assert!(world.verify(&world.forged(&with(header.clone(), "typ", text(typ)), &claims)).is_ok(), "{typ}");
    }
}

#[tokio::test]
async fn case_40_control_without_a_look_at_the_type_it_is_taken() {
    let world = World::new();
    let (header, claims) = world.good().await;
    for typ in OTHER_TYPES {
        let token = world.forged(&with(header.clone(), "typ", typ.map(text)), &claims);
        let refused = BearerRefused::Type(typ.unwrap_or_default().to_ascii_lowercase());
        assert_eq!(is_stopped_by(&[(Check::Type, refused)], || world.verify(&token)), CLIENT);
    }
}

/// Tokens with an extension, and what they say of those that are critical.
fn critical(world: &World, header: &Value, claims: &Value) -> Vec<(Value, BearerToken)> {
    let extended = with(header.clone(), "only-on-tuesdays", json!(true));
    let token = |crit: Value| (crit.clone(), world.forged(&with(extended.clone(), "crit", crit), claims));
    [json!(["only-on-tuesdays"]), json!([]), json!(null), json!("b64")].map(token).into()
}

#[tokio::test]
async fn case_41_a_token_with_critical_extensions_is_refused() {
    let world = World::new();
    let (header, claims) = world.good().await;
    for (crit, token) in critical(&world, &header, &claims) {
        assert_eq!(world.verify(&token), Err(BearerRefused::Critical), "{crit}");
    }
    // One that is not critical may be passed over.
    assert!(world.verify(&world.forged(&with(header, "only-on-tuesdays", json!(true)), &claims)).is_ok());
}

#[tokio::test]
async fn case_41_control_without_a_look_at_them_they_are_passed_over() {
    let world = World::new();
    let (header, claims) = world.good().await;
    for (_, token) in critical(&world, &header, &claims) {
        assert_eq!(is_stopped_by(&[(Check::Critical, BearerRefused::Critical)], || world.verify(&token)), CLIENT);
    }
}

impl World {
    /// Revokes a token, and gives another node that has learned of it.
    async fn revoked_here_and_elsewhere(&self, token: &IssuedToken) -> TokenVerifier {
        let (elsewhere, ledger) = self.another_node_with_ledger();
        self.revoke(token).await.unwrap();
        let spread = ledger.accept(self.ledger.get(&self.ledger.ids())).await.unwrap();
        assert_eq!(spread.fresh.len(), 1);
        elsewhere
    }
}

#[tokio::test]
async fn case_42_a_revoked_token_is_refused_on_another_node() {
    let world = World::new();
    let (revoked, other) = (world.token("").await, world.token("").await);
    let elsewhere = world.revoked_here_and_elsewhere(&revoked).await;
    for node in [&world.verifier, &elsewhere] {
        assert!(matches!(node.verify(&revoked.token, None), Err(BearerRefused::Revoked)));
        assert!(node.verify(&other.token, None).is_ok(), "others are not touched");
    }
    // A worker takes nothing back.
    let until = UnixMillis(world.verifier.now().0 + 900_000);
    let refused = elsewhere.revoked().revoke(other.id.as_str(), until).await.unwrap_err();
    assert!(refused.to_string().contains("only coordinators revoke"), "{refused}");
}

#[tokio::test]
async fn case_42_control_without_a_look_at_what_was_revoked_it_is_taken_on_every_node() {
    let world = World::new();
    let revoked = world.token("").await;
    let elsewhere = world.revoked_here_and_elsewhere(&revoked).await;
    for node in [&world.verifier, &elsewhere] {
        let attack = || node.verify(&revoked.token, None).map(|verified| verified.id);
        assert_eq!(is_stopped_by(&[(Check::Revoked, BearerRefused::Revoked)], attack), revoked.id);
    }
}

#[tokio::test]
async fn case_42_control_a_node_that_does_not_know_of_the_revocation_takes_it() {
    let world = World::new();
    let revoked = world.token("").await;
    world.revoke(&revoked).await.unwrap();
    assert!(world.another_node().verify(&revoked.token, None).is_ok());
}

/// Who may show a token of `worker-1`, by their certificates.
fn thieves() -> [Option<NodeId>; 3] {
    [Some(node("worker-2")), Some(node("coordinator")), None]
}

/// The same token, with confirmations that are not understood.
fn confirmed_otherwise(world: &World, token: &BearerToken) -> [BearerToken; 3] {
    let (header, claims, _) = parts(token);
    [json!({ "x5t#S256": "AA" }), json!({}), json!({ "p2p:node": "worker-1", "jkt": "AA" })]
        .map(|cnf| world.forged(&header, &with(claims.clone(), "cnf", cnf)))
}

#[tokio::test]
async fn case_43_a_nodes_token_is_refused_with_another_certificate_and_without_one() {
    let world = World::new();
    let token = world.authority.issue(&Proof::Certificate(node("worker-1")), None, None).unwrap().token;
    assert_eq!(world.verifier.verify(&token, Some(&node("worker-1"))).unwrap().client.name, "node:worker-1");
    for thief in thieves() {
        let refused = world.verifier.verify(&token, thief.as_ref()).err().unwrap();
        assert_eq!(refused, BearerRefused::OtherCertificate { bound: node("worker-1") });
        assert!(refused.to_string().contains("only with the certificate of node worker-1"), "{refused}");
    }
    // A confirmation that is not understood is not passed over.
    for token in confirmed_otherwise(&world, &token) {
        let refused = world.verifier.verify(&token, Some(&node("worker-1"))).err().unwrap();
        assert!(matches!(refused, BearerRefused::Claims(_)), "{refused}");
    }
}

#[tokio::test]
async fn case_43_control_without_a_look_at_the_certificate_a_stolen_token_is_taken() {
    let world = World::new();
    let token = world.authority.issue(&Proof::Certificate(node("worker-1")), None, None).unwrap().token;
    let checks = [(Check::Certificate, BearerRefused::OtherCertificate { bound: node("worker-1") })];
    for thief in thieves() {
        let attack = || world.verifier.verify(&token, thief.as_ref()).map(|verified| verified.client.name.clone());
        assert_eq!(is_stopped_by(&checks, attack), "node:worker-1");
    }
}

#[tokio::test]
async fn case_43_control_where_confirmations_that_are_not_understood_are_passed_over_anybody_uses_the_token() {
    let world = World::new();
    let token = world.authority.issue(&Proof::Certificate(node("worker-1")), None, None).unwrap().token;
    for token in confirmed_otherwise(&world, &token) {
        for thief in thieves() {
            let attack = || world.verifier.verify(&token, thief.as_ref()).map(|verified| verified.bound);
            let refused = attack().unwrap_err();
            assert_eq!(is_stopped_by(&[(Check::Confirmation, refused)], attack), None, "bound to nobody");
        }
    }
}

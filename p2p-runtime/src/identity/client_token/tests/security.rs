//! The cases of tokens in the project's list of security and fault cases, each with the control that shows what a careless
//! verifier would do: a small one here that believes headers, or a well-known library with the settings that it has by itself.

use aws_lc_rs::{
    hmac,
    signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey},
};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, jwk::JwkSet};

use super::*;
use crate::identity::client_token::keys::PublicKey;

/// Verifies as the token's header says, with the key that the cluster publishes.
fn believes_the_algorithm(token: &BearerToken, key: &PublicKey) -> bool {
    let (header, _, signature) = parts(token);
    let (signed, _) = token.reveal().rsplit_once('.').unwrap();
    match header["alg"].as_str().unwrap() {
        "none" => true,
        "HS256" => hmac::verify(&hmac::Key::new(hmac::HMAC_SHA256, key.bytes()), signed.as_bytes(), &signature).is_ok(),
        _ => UnparsedPublicKey::new(&ED25519, key.bytes()).verify(signed.as_bytes(), &signature).is_ok(),
    }
}

/// Verifies by the library, with the published key and the audience of the cluster, and otherwise as the library does unless told more.
fn library_believes(world: &World, token: &BearerToken) -> bool {
    let set: JwkSet = serde_json::from_value(world.verifier.jwks()).unwrap();
    let mut validation = Validation::new(Algorithm::EdDSA);
    validation.set_audience(&[&world.who.cluster]);
    jsonwebtoken::decode::<Value>(token.reveal(), &DecodingKey::from_jwk(&set.keys[0]).unwrap(), &validation).is_ok()
}

fn public(world: &World) -> PublicKey {
    world.with_signer(|key| key.public().clone())
}

#[tokio::test]
async fn case_36_a_token_with_the_algorithm_none_is_refused() {
    let world = World::new();
    let (header, claims) = world.good().await;
    for alg in ["none", "None", "NONE", "nOnE", ""] {
        let unsigned = unsigned(&with(header.clone(), "alg", text(alg)), &claims);
        for signature in ["", "AA"] {
            let token = BearerToken::new(format!("{unsigned}.{signature}"));
            let refused = world.verify(&token).unwrap_err();
            assert_eq!(refused, BearerRefused::Algorithm(alg.to_owned()), "{alg}");
            assert!(refused.to_string().contains("signed by EdDSA"), "{refused}");
        }
    }
    // Nor one that says nothing of it.
    let silent = BearerToken::new(format!("{}.", unsigned(&with(header, "alg", None), &claims)));
    assert!(matches!(world.verify(&silent), Err(BearerRefused::Malformed(_))));
}

#[tokio::test]
async fn case_36_control_a_verifier_that_believes_the_header_takes_it() {
    let world = World::new();
    let (header, claims) = world.good().await;
    let token = BearerToken::new(format!("{}.", unsigned(&with(header, "alg", text("none")), &claims)));
    assert!(believes_the_algorithm(&token, &public(&world)));
}

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
    let token = by_hmac(&world, header.clone(), &claims, "HS256");
    assert_eq!(world.verify(&token), Err(BearerRefused::Algorithm("HS256".to_owned())));
    // Nor does it help to say that it is EdDSA.
    assert_eq!(world.verify(&by_hmac(&world, header.clone(), &claims, "EdDSA")), Err(BearerRefused::BadSignature));
    for other in ["ES256", "RS256", "eddsa", "Ed448"] {
        let token = by_hmac(&world, header.clone(), &claims, other);
        assert_eq!(world.verify(&token), Err(BearerRefused::Algorithm(other.to_owned())));
    }
}

#[tokio::test]
async fn case_37_control_a_verifier_that_believes_the_header_takes_it() {
    let world = World::new();
    let (header, claims) = world.good().await;
    assert!(believes_the_algorithm(&by_hmac(&world, header, &claims, "HS256"), &public(&world)));
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

#[tokio::test]
async fn case_38_a_token_of_an_unknown_key_is_refused() {
    let world = World::new();
    let (header, claims) = world.good().await;
    for kid in ["unknown", "", "../../etc/passwd", "' OR 1=1 --"] {
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

#[tokio::test]
async fn case_38_control_a_verifier_that_takes_the_key_from_the_header_takes_it() {
    let world = World::new();
    let (header, claims) = world.good().await;
    let token = by_a_stranger(header, &claims, "unknown");
    let shown = jsonwebtoken::decode_header(token.reveal()).unwrap().jwk.unwrap();
    let mut validation = Validation::new(Algorithm::EdDSA);
    validation.set_audience(&[&world.who.cluster]);
    assert!(jsonwebtoken::decode::<Value>(token.reveal(), &DecodingKey::from_jwk(&shown).unwrap(), &validation).is_ok());
}

#[tokio::test]
async fn case_39_a_token_without_an_audience_or_for_another_is_refused() {
    let world = World::new();
    let (header, claims) = world.good().await;
    let without = world.forged(&header, &with(claims.clone(), "aud", None));
    let refused = world.verify(&without).unwrap_err();
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
    let in_anothers_name = world.forged(&header, &with(claims.clone(), "iss", text("p2p://x/coordinator/y")));
    assert!(matches!(world.verify(&in_anothers_name), Err(BearerRefused::Issuer(_))));
    let for_years = world.forged(&header, &with(claims.clone(), "exp", json!(claims["iat"].as_u64().unwrap() + 86_401)));
    assert_eq!(world.verify(&for_years), Err(BearerRefused::TooLongLived));
    // Said twice, the second is not what counts.
    let twice = claims.to_string().replacen('{', "{\"aud\":\"another-cluster\",", 1);
    let signed = format!("{}.{}", codec::encode(header.to_string().as_bytes()), codec::encode(twice.as_bytes()));
    let signature = world.with_signer(|key| key.sign(signed.as_bytes()));
    let token = BearerToken::new(format!("{signed}.{}", codec::encode(&signature)));
    assert!(matches!(world.verify(&token), Err(BearerRefused::Claims(why)) if why.contains("duplicate field")));
}

#[tokio::test]
async fn case_39_control_the_library_takes_a_token_without_an_audience() {
    let world = World::new();
    let (header, claims) = world.good().await;
    assert!(library_believes(&world, &world.forged(&header, &with(claims, "aud", None))));
}

#[tokio::test]
async fn case_40_a_token_of_another_type_is_refused() {
    let world = World::new();
    let (header, claims) = world.good().await;
    for typ in ["JWT", "id+jwt", "logout+jwt", "at+jwt2", ""] {
        let refused = world.verify(&world.forged(&with(header.clone(), "typ", text(typ)), &claims)).unwrap_err();
        assert_eq!(refused, BearerRefused::Type(typ.to_ascii_lowercase()));
    }
    let untyped = world.forged(&with(header.clone(), "typ", None), &claims);
    assert_eq!(world.verify(&untyped), Err(BearerRefused::Type(String::new())));
    for typ in ["AT+JWT", "application/at+jwt"] {
        assert!(world.verify(&world.forged(&with(header.clone(), "typ", text(typ)), &claims)).is_ok(), "{typ}");
    }
}

#[tokio::test]
async fn case_40_control_the_library_takes_a_token_of_another_type() {
    let world = World::new();
    let (header, claims) = world.good().await;
    assert!(library_believes(&world, &world.forged(&with(header, "typ", text("logout+jwt")), &claims)));
}

#[tokio::test]
async fn case_41_a_token_with_critical_extensions_is_refused() {
    let world = World::new();
    let (header, claims) = world.good().await;
    for crit in [json!(["only-on-tuesdays"]), json!([]), json!(null), json!("b64")] {
        let token = world.forged(&with(with(header.clone(), "crit", crit.clone()), "only-on-tuesdays", json!(true)), &claims);
        assert_eq!(world.verify(&token), Err(BearerRefused::Critical), "{crit}");
    }
    // One that is not critical may be passed over.
    assert!(world.verify(&world.forged(&with(header, "only-on-tuesdays", json!(true)), &claims)).is_ok());
}

#[tokio::test]
async fn case_41_control_the_library_takes_a_token_with_critical_extensions() {
    let world = World::new();
    let (header, claims) = world.good().await;
    let header = with(with(header, "crit", json!(["only-on-tuesdays"])), "only-on-tuesdays", json!(true));
    assert!(library_believes(&world, &world.forged(&header, &claims)));
}

#[tokio::test]
async fn case_42_a_revoked_token_is_refused_on_another_node() {
    let world = World::new();
    let (revoked, other) = (world.token("").await, world.token("").await);
    let (elsewhere, ledger) = world.another_node_with_ledger();
    world.revoke(&revoked).await.unwrap();
    let spread = ledger.accept(world.ledger.get(&world.ledger.ids())).await.unwrap();
    assert_eq!(spread.fresh.len(), 1);
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
async fn case_42_control_a_node_that_does_not_know_of_the_revocation_takes_it() {
    let world = World::new();
    let revoked = world.token("").await;
    world.revoke(&revoked).await.unwrap();
    assert!(world.another_node().verify(&revoked.token, None).is_ok());
}

#[tokio::test]
async fn case_43_a_nodes_token_is_refused_with_another_certificate_and_without_one() {
    let world = World::new();
    let token = world.authority.issue(&Proof::Certificate(node("worker-1")), None, None).unwrap().token;
    assert_eq!(world.verifier.verify(&token, Some(&node("worker-1"))).unwrap().client.name, "node:worker-1");
    for thief in [Some(node("worker-2")), Some(node("coordinator")), None] {
        let refused = world.verifier.verify(&token, thief.as_ref()).err().unwrap();
        assert_eq!(refused, BearerRefused::OtherCertificate { bound: node("worker-1") });
        assert!(refused.to_string().contains("only with the certificate of node worker-1"), "{refused}");
    }
    // A confirmation that is not understood is not passed over.
    let (header, claims, _) = parts(&token);
    for cnf in [json!({ "x5t#S256": "AA" }), json!({}), json!({ "p2p:node": "worker-1", "jkt": "AA" })] {
        let token = world.forged(&header, &with(claims.clone(), "cnf", cnf));
        let refused = world.verifier.verify(&token, Some(&node("worker-1"))).err().unwrap();
        assert!(matches!(refused, BearerRefused::Claims(_)), "{refused}");
    }
}

#[tokio::test]
async fn case_43_control_a_verifier_that_passes_over_the_confirmation_takes_a_stolen_token() {
    let world = World::new();
    let token = world.authority.issue(&Proof::Certificate(node("worker-1")), None, None).unwrap().token;
    assert!(library_believes(&world, &token));
}

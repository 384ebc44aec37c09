//! What becomes of good tokens, clients and keys.

use std::cell::{Cell, RefCell};

use jsonwebtoken::{Algorithm, DecodingKey, Validation, jwk::JwkSet};
use p2p_client::{
    protocol::{NodeInfo, NodeStatus, Role},
    revocation::{Reason, Subject},
};

use super::*;
use crate::identity::{
    client_token::{DEFAULT_TTL, MAX_TTL, METADATA, claims::TokenId, ring::PublishedKeys},
    tests::{self, AuditLines, coordinator},
};

#[tokio::test]
async fn a_token_names_its_client_and_scopes_on_every_node() {
    let world = World::new();
    let issued = world.token("orders:read stock:read").await;
    assert_eq!(issued.good_for, DEFAULT_TTL);
    for node in [&world.verifier, &world.another_node()] {
        let client = node.verify(&issued.token, None).unwrap().client;
        assert_eq!(client.name, "client-0@coordinator");
        assert_eq!(client.scopes.to_string(), "orders:read stock:read");
        assert_eq!(client.token_id, issued.id.as_str());
    }
}

#[tokio::test]
async fn somebody_elses_reader_of_jwts_believes_the_token_by_the_published_keys() {
    let world = World::new();
    let issued = world.token("orders:read").await;
    let header = jsonwebtoken::decode_header(issued.token.reveal()).unwrap();
    assert_eq!((header.alg, header.typ.as_deref()), (Algorithm::EdDSA, Some("at+jwt")));
    let set: JwkSet = serde_json::from_value(world.verifier.jwks()).unwrap();
    let key = DecodingKey::from_jwk(set.find(&header.kid.unwrap()).unwrap()).unwrap();
    let mut validation = Validation::new(Algorithm::EdDSA);
    validation.set_audience(&[&world.who.cluster]);
    validation.set_required_spec_claims(&["exp", "aud", "iss", "sub"]);
    let claims = jsonwebtoken::decode::<Value>(issued.token.reveal(), &key, &validation).unwrap().claims;
    assert_eq!(claims["iss"], format!("p2p://{}/coordinator/coordinator", world.who.cluster));
    assert_eq!(
        (&claims["sub"], &claims["client_id"], &claims["scope"]),
        (&json!("client-0@coordinator"), &json!("client-0@coordinator"), &json!("orders:read"))
    );
    assert_eq!(claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap(), 15 * 60);
    // And not one that was changed.
    let changed = issued.token.reveal().replacen("eyJ", "eyK", 2);
    assert!(jsonwebtoken::decode::<Value>(&changed, &key, &validation).is_err());
}

#[tokio::test]
async fn a_token_expires_to_the_minute_that_clocks_may_differ() {
    let world = World::new();
    let issued = world.token("").await;
    world.pass(DEFAULT_TTL + Duration::from_secs(59));
    assert!(world.verify(&issued.token).is_ok());
    world.pass(Duration::from_secs(2));
    let expired = world.verify(&issued.token).unwrap_err();
    assert!(matches!(expired, BearerRefused::Expired { .. }), "{expired}");
    assert!(expired.to_string().contains("get a new one with POST /auth/token"));
}

#[tokio::test]
async fn a_token_from_a_clock_that_is_far_ahead_is_not_good_yet() {
    let world = World::new();
    world.pass(Duration::from_mins(5));
    let issued = world.token("").await;
    world.now.fetch_sub(5 * 60_000, SeqCst);
    assert!(matches!(world.verify(&issued.token), Err(BearerRefused::NotYet { in_ }) if in_ == Duration::from_mins(5)));
    world.pass(Duration::from_mins(4));
    assert!(world.verify(&issued.token).is_ok(), "a minute is forgiven");
}

#[tokio::test]
async fn a_client_gets_what_it_may_have_and_no_more() {
    let world = World::new();
    let (id, secret) = world.client("ci", "a b").await;
    let proof = Proof::Secret(id.name, secret);
    let issue = |scopes: &str, ttl| world.authority.issue(&proof, Some(scopes.parse().unwrap()), ttl);
    assert_eq!(issue("b", None).unwrap().scopes.to_string(), "b");
    assert_eq!(issue("", Some(Duration::from_secs(5))).unwrap().good_for, Duration::from_secs(5));
    let refused = issue("b c", None).unwrap_err();
    assert!(
        matches!(&refused, GrantRefused::InvalidScope { .. }) && refused.to_string().contains("`p2p client create`"),
        "{refused}"
    );
    for ttl in [DEFAULT_TTL + Duration::from_secs(1), MAX_TTL, Duration::ZERO] {
        assert!(matches!(issue("a", Some(ttl)), Err(GrantRefused::InvalidTtl { .. })), "{ttl:?}");
    }
    let nobody = Proof::Secret("ci".parse().unwrap(), ClientSecret::new("p2p-secret-guessed"));
    assert!(matches!(world.authority.issue(&nobody, None, None), Err(GrantRefused::InvalidClient)));
}

#[tokio::test]
async fn a_node_gets_a_token_by_its_certificate_for_a_day_and_no_longer() {
    let world = World::new();
    let proof = Proof::Certificate(node("worker-1"));
    let issue = |ttl| world.authority.issue(&proof, None, Some(ttl));
    assert_eq!(issue(MAX_TTL).unwrap().good_for, Duration::from_hours(24));
    for ttl in [MAX_TTL + Duration::from_secs(1), Duration::ZERO] {
        let refused = issue(ttl).unwrap_err();
        assert!(matches!(refused, GrantRefused::InvalidTtl { .. }), "{ttl:?}: {refused}");
        assert!(refused.to_string().contains("between 1 s and 86400 s"), "{refused}");
    }
}

#[tokio::test]
async fn a_removed_client_gets_no_tokens_and_those_that_it_has_end_at_once() {
    let world = World::new();
    let (id, secret) = world.client("ci", "a").await;
    let proof = Proof::Secret(id.name.clone(), secret);
    let [first, second] = [(), ()].map(|()| world.authority.issue(&proof, None, None).unwrap().token);
    let other = world.token("a").await.token;
    assert!(world.authority.remove_client(id.name.clone()).await.unwrap().is_some());
    assert!(world.authority.remove_client(id.name.clone()).await.unwrap().is_none());
    for token in [&first, &second] {
        assert_eq!(world.verify(token), Err(BearerRefused::Revoked));
    }
    assert!(world.verify(&other).is_ok(), "others are not touched");
    assert!(matches!(world.authority.issue(&proof, None, None), Err(GrantRefused::InvalidClient)));
    // Another of the name is another.
    let (id, secret) = world.client("ci", "a").await;
    let again = world.authority.issue(&Proof::Secret(id.name, secret), None, None).unwrap().token;
    assert!(world.verify(&again).is_ok());
}

#[tokio::test]
async fn clients_keys_and_revocations_outlive_the_process() {
    let world = World::new();
    let (id, secret) = world.client("ci", "a").await;
    let proof = Proof::Secret(id.name, secret);
    let [kept, revoked] = [(), ()].map(|()| world.authority.issue(&proof, None, None).unwrap());
    world.revoke(&revoked).await.unwrap();
    world.vault.update(vec![world.verifier.ring().to_change().unwrap()]).unwrap();

    let identity = crate::identity::NodeIdentity::load(&*world.vault).unwrap().unwrap();
    let ledger = Ledger::load(world.vault.clone(), identity.material().clone(), clock(&world.now)).unwrap();
    let list = RevokedTokens::new(ledger);
    let ring = KeyRing::load(&*world.vault).unwrap();
    let after = TokenVerifier::new(world.who.cluster.clone(), ring, list.clone(), clock(&world.now));
    assert!(after.verify(&kept.token, None).is_ok(), "known without the coordinator having said it again");
    assert!(matches!(after.verify(&revoked.token, None), Err(BearerRefused::Revoked)));
    let authority = TokenAuthority::load(world.vault.clone(), &world.who, list, clock(&world.now)).unwrap();
    assert!(after.verify(&authority.issue(&proof, None, None).unwrap().token, None).is_ok());
}

#[tokio::test]
async fn a_revocation_that_cannot_be_kept_is_an_error_and_not_forgotten_silently() {
    let world = World::new();
    let issued = world.token("").await;
    world.vault.full.store(true, SeqCst);
    assert!(world.revoke(&issued).await.is_err());
    assert!(world.verify(&issued.token).is_ok());
}

#[tokio::test]
async fn of_two_who_replace_the_keys_at_once_the_later_keys_are_known_whoever_announces_last() {
    let world = World::new();
    let now = world.verifier.now();
    let mut made = Vec::new();
    for _ in 0..2 {
        world.authority.replace_keys().await.unwrap();
        made.push(world.authority.published());
    }
    // The first has read its keys, and is about to make them known, when the second replaces them and is done with it.
    let announce = |reads: &dyn Fn(&RefCell<PublishedKeys>) -> PublishedKeys| {
        let ring = KeyRing::default();
        let (at_hand, is_first) = (RefCell::new(made[0].clone()), Cell::new(true));
        let first = || {
            let keys = reads(&at_hand);
            if is_first.replace(false) {
                at_hand.replace(made[1].clone());
                ring.announced(&world.who.node_id, || made[1].clone(), now);
            }
            keys
        };
        ring.announced(&world.who.node_id, first, now);
        ring.jwks(now, |_| true)
    };
    let known = |keys: &PublishedKeys| serde_json::json!({ "keys": keys.0.iter().map(|key| key.x.jwk()).collect::<Vec<_>>() });
    assert_eq!(announce(&|at_hand| at_hand.borrow().clone()), known(&made[1]));
    // The control: keys that were read once put the older ones back.
    assert_eq!(announce(&|_| made[0].clone()), known(&made[0]));
}

#[tokio::test]
async fn tokens_stay_good_while_the_keys_rotate() {
    let world = World::new();
    let mut tokens = Vec::new();
    let before = world.authority.published();
    for _ in 0..(40 * 24) {
        if world.authority.rotate_if_due().await.unwrap() {
            world.announce(&world.verifier);
        }
        let issued = world.token("").await;
        world.authority.remove_client("client-0".parse().unwrap()).await.unwrap();
        drop(issued);
        let node = Proof::Certificate(node("coordinator"));
        tokens.push(world.authority.issue(&node, None, Some(Duration::from_hours(24))).unwrap().token);
        for token in tokens.iter().rev().take(24) {
            world.verifier.verify(token, Some(&super::node("coordinator"))).unwrap();
        }
        world.pass(Duration::from_hours(1));
    }
    assert_ne!(world.authority.published(), before);
    assert_eq!(world.authority.published().0.len(), 1, "the first key is forgotten");
}

#[tokio::test]
async fn replaced_keys_end_every_token() {
    let world = World::new();
    let old = world.token("").await.token;
    world.authority.replace_keys().await.unwrap();
    world.announce(&world.verifier);
    assert!(matches!(world.verify(&old), Err(BearerRefused::UnknownKey(_))));
    assert!(world.verify(&world.token("").await.token).is_ok());
}

fn says(id: &str, role: Role, metadata: Option<&str>) -> NodeInfo {
    metadata.map_or_else(|| tests::says(id, role, []), |text| tests::says(id, role, [(METADATA, text)]))
}

#[tokio::test]
async fn only_a_coordinators_announcement_makes_keys_known_and_its_leaving_bounds_them() {
    let world = World::new();
    let token = world.token("").await.token;
    let now = world.verifier.now();
    let keys = world.authority.published().to_metadata();
    let fresh = || {
        let node = world.another_node();
        node.ring().announced(&world.who.node_id, PublishedKeys::default, now);
        node
    };
    let node = fresh();
    for (info, why) in [
        (says("coordinator", Role::Worker, Some(&keys)), "a worker has no keys"),
        (says("coordinator", Role::Coordinator, None), "it says nothing"),
        (says("coordinator", Role::Coordinator, Some("[{\"x\":1}]")), "it cannot be read"),
        // The key signs in the name of the coordinator whose key it is, and in no other's.
        (says("another", Role::Coordinator, Some(&keys)), "it is another's"),
    ] {
        node.ring().heard(&info, now);
        assert!(node.verify(&token, None).is_err(), "{why}");
    }
    let node = fresh();
    let said = says("coordinator", Role::Coordinator, Some(&keys));
    assert!(node.ring().heard(&said, now) && !node.ring().heard(&said, now));
    assert!(node.verify(&token, None).is_ok());
    let left = NodeInfo { status: NodeStatus::Left, ..said };
    assert!(node.ring().heard(&left, now));
    assert!(node.verify(&token, None).is_ok(), "its tokens are good until they expire");
    world.pass(Duration::from_hours(25));
    assert!(matches!(node.verify(&token, None), Err(BearerRefused::UnknownKey(_))));
}

#[tokio::test]
async fn a_coordinator_that_announces_the_key_of_another_takes_nothing_from_that_one_and_gets_nothing() {
    let log = AuditLines::capture();
    let world = World::new();
    let token = world.token("").await.token;
    let (node_here, ledger) = world.another_node_with_ledger();
    let now = world.verifier.now();
    // By its name it comes first and last.
    for liar in ["a", "z"] {
        assert!(node_here.ring().heard(&says(liar, Role::Coordinator, Some(&world.authority.published().to_metadata())), now));
    }
    assert!(node_here.verify(&token, None).is_ok());
    let said = log.take_all();
    assert_eq!(said.matches("two coordinators announce one key for tokens").count(), 3, "z is named beside both others: {said}");
    // Who only announces a key signs nothing by it.
    let (header, claims, signature) = parts(&token);
    let in_its_name = with(claims.clone(), "iss", text(&format!("p2p://{}/coordinator/a", world.who.cluster)));
    let forged = BearerToken::new(format!("{}.{}", unsigned(&header, &in_its_name), codec::encode(&signature)));
    assert!(matches!(node_here.verify(&forged, None), Err(BearerRefused::BadSignature)));
    let unknown = with(claims, "iss", text(&format!("p2p://{}/coordinator/c", world.who.cluster)));
    assert!(matches!(node_here.verify(&world.forged(&header, &unknown), None), Err(BearerRefused::Issuer(_))));
    // The token ends with the coordinator that signed it, and with no other.
    let by = coordinator(&world.vault, "coordinator-2");
    let by = Ledger::load(Arc::new(MemoryVault::default()), by.material().clone(), clock(&world.now)).unwrap();
    for (name, ends) in [("a", false), ("coordinator", true)] {
        by.revoke(vec![Subject::Node { node_id: node(name) }], Reason::default()).await.unwrap();
        ledger.accept(by.get(&by.ids())).await.unwrap();
        assert_eq!(node_here.verify(&token, None).is_err(), ends, "{name}");
    }
}

#[tokio::test]
async fn all_tokens_of_a_node_are_of_one_credential_and_it_cannot_use_up_the_room_of_others() {
    let world = World::new();
    let of_node = |name: &str| world.authority.issue(&Proof::Certificate(node(name)), None, None).unwrap();
    let first = of_node("w");
    assert_eq!(of_node("w").id.credential(), first.id.credential());
    assert_ne!(of_node("v").id.credential(), first.id.credential());
    assert_eq!(first.id.to_string().parse::<TokenId>().unwrap(), first.id);
    for _ in 0..64 {
        world.revoke(&of_node("w")).await.unwrap();
    }
    let refused = world.revoke(&first).await.unwrap_err().to_string();
    assert!(refused.contains("tokens of credential") && refused.contains("`p2p node revoke ID`"), "{refused}");
    let stolen = world.token("").await;
    world.revoke(&stolen).await.unwrap();
    assert!(matches!(world.verify(&stolen.token), Err(BearerRefused::Revoked)), "another's token can be taken back");
}

#[tokio::test]
async fn no_damaged_token_is_believed_and_none_makes_the_node_fail() {
    let world = World::new();
    let token = world.token("orders:read").await.token;
    let good = token.reveal();
    for cut in 0..good.len() {
        assert!(world.verify(&BearerToken::new(&good[..cut])).is_err(), "{cut}");
    }
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let mut random = <rand::rngs::StdRng as rand::SeedableRng>::seed_from_u64(seed);
    let alphabet = b"ABCabc012-_.=+/ \xc3";
    for _ in 0..5_000 {
        let mut bytes = good.as_bytes().to_vec();
        let at = rand::RngExt::random_range(&mut random, 0..bytes.len());
        bytes[at] = alphabet[rand::RngExt::random_range(&mut random, 0..alphabet.len())];
        let changed = String::from_utf8_lossy(&bytes).into_owned();
        if changed != good {
            assert!(world.verify(&BearerToken::new(changed.clone())).is_err(), "{changed}");
        }
    }
    for text in ["", ".", "..", "...", "a.b.c", "W10.W10.", "e30.e30.", &"a".repeat(100_000)] {
        assert!(world.verify(&BearerToken::new(text)).is_err(), "{text}");
    }
}

#[test]
fn the_seeds_of_the_keys_that_sign_tokens_are_not_shown() {
    let keys = SigningKeys::generate(UnixMillis::now()).unwrap();
    let stored: Value = serde_json::from_slice(&keys.to_stored().unwrap()).unwrap();
    let seed = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, stored["keys"][0]["seed"].as_str().unwrap());
    let seed = seed.unwrap();
    assert_eq!((seed.len(), crate::debug_of_secrets::shows(&keys, &seed)), (32, None));
    assert!(format!("{keys:?}").contains("public half"), "{keys:?}");
}

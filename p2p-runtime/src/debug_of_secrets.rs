//! No type that holds a secret shows it by `Debug`, in whatever form. (`tests/tests/debug_in_sources.rs` finds new types that would.)

use std::fmt::Debug;

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};
use p2p_client::{call::Headers, client::Client};
use zeroize::Zeroizing;

use crate::{
    config::{ConfigCommand, ConfigDocument, ConfigReply},
    identity::{
        Change, ClientSecret, IssuingCa, JoinToken, NodeKey, RootCa, Vault,
        client_token::BearerToken,
        join::Joiner,
        tests::{cluster, issuing},
    },
    storage::{Entries, Password, Secret, Store, StoreCommand, StoreReply, Unlock},
    web::{ClientCreated, ClientReply, ConfigRequest, StoreRequest},
};

const PASSWORD: &str = "canary one: the password";
const VALUE: &[u8] = b"canary two: a value, with \0 and \xff";
const URL: &str = "redis://user:canary-three-the-password@cache:6379/0";
const TOKEN: &str = "eyJhbGciOiJFZERTQSJ9.canary-four-claims.canary-four-signature";

/// A secret in the forms in which `Debug` could show it. Without white space, as `{:#?}` adds some.
pub(crate) fn forms(secret: &[u8]) -> Vec<String> {
    let hex = hex(secret);
    let numbers: Vec<_> = secret.iter().map(u8::to_string).collect();
    let mut forms = vec![hex.to_uppercase(), hex, numbers.join(",")];
    forms.extend(std::str::from_utf8(secret).map(without_spaces));
    // Of which serde, `{:?}` of a text and `{:?}` of bytes would make these.
    forms.push(without_spaces(&secret.escape_ascii().to_string()));
    // Base64 of the middle, for each way in which it can fall on the groups of three bytes.
    for skip in 0..3 {
        let middle = &secret[skip..];
        let middle = &middle[..middle.len() / 3 * 3];
        forms.extend([STANDARD_NO_PAD.encode(middle), URL_SAFE_NO_PAD.encode(middle)]);
    }
    forms
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat()
}

fn without_spaces(text: &str) -> String {
    text.split_whitespace().collect()
}

/// The form in which the value shows the secret, if it does.
pub(crate) fn shows(value: &dyn Debug, secret: &[u8]) -> Option<String> {
    // The last of the numbers in `{:#?}` has a comma as well.
    let shown = [format!("{value:?}"), format!("{value:#?}")].map(|shown| without_spaces(&shown));
    forms(secret).into_iter().find(|form| shown.iter().any(|shown| shown.contains(form.as_str())))
}

/// The number of a key in PKCS #8.
fn number(pkcs8: &[u8]) -> &[u8] {
    &pkcs8[36..68]
}

#[track_caller]
fn assert_hidden(secret: &[u8], values: &[&dyn Debug]) {
    for value in values {
        let shown = format!("{value:?}");
        assert_eq!(shows(value, secret), None, "{shown}");
        assert!(!shown.is_empty());
    }
}

#[test]
fn passwords_and_what_a_store_keeps_are_not_shown() {
    let dir = tempfile::tempdir().unwrap();
    let password = Password::new(PASSWORD).unwrap();
    let (store, recovery_key) = Store::create(dir.path(), &password).unwrap();
    store.put("services/a", VALUE).unwrap();
    store.save().unwrap();
    let mut entries = Entries::default();
    entries.put("services/a", VALUE).unwrap();
    let value = || Secret::from(VALUE);
    let request = |command| StoreRequest { password: Secret::from(PASSWORD), command };
    let put = || StoreCommand::Put { path: "services/a".to_owned(), value: value() };
    assert_hidden(
        PASSWORD.as_bytes(),
        &[
            &password,
            &password.to_secret(),
            &Unlock::Password(&password),
            &store,
            &request(StoreCommand::Verify),
            &StoreCommand::ChangePassword { new: Secret::from(PASSWORD) },
            &ConfigRequest { password: Secret::from(PASSWORD), command: ConfigCommand::Read },
        ],
    );
    let backup = store.backup().unwrap();
    assert_hidden(
        VALUE,
        &[
            &value(),
            &store,
            &entries,
            &put(),
            &request(put()),
            &StoreReply::Get { value: value() },
            &StoreReply::Backup { bytes: value(), revision: store.revision() },
            &store.get("services/a"),
            &Change::Put("services/a".to_owned(), Zeroizing::new(VALUE.to_vec())),
        ],
    );
    assert_hidden(&backup[..64], &[&StoreReply::Backup { bytes: backup.clone().into(), revision: store.revision() }]);
    let words = recovery_key.reveal();
    for form in [words.as_bytes(), words.replace('-', "").as_bytes()] {
        assert_hidden(form, &[&recovery_key, &Unlock::Recovery(&recovery_key), &store]);
    }
}

#[test]
fn private_keys_are_not_shown() {
    let (identity, vault) = cluster();
    let key = identity.key();
    let pkcs8 = key.to_pkcs8();
    let in_store = Change::Put("identity/node.key".to_owned(), pkcs8.clone());
    let material = (identity.material(), identity.client_tls(), identity.server_tls().unwrap());
    for secret in [&pkcs8[..], number(&pkcs8)] {
        assert_hidden(secret, &[key, &identity, &in_store, &material]);
    }
    let root = vault.get("ca/root.key").unwrap().unwrap();
    let root_ca = RootCa::from_parts(NodeKey::from_pkcs8(&root).unwrap(), identity.root().clone()).unwrap();
    let authority: IssuingCa = issuing(&vault);
    assert_hidden(number(&root), &[&root_ca]);
    assert_hidden(number(&authority.key().to_pkcs8()), &[&authority, authority.key()]);
}

#[test]
fn tokens_and_the_secrets_of_clients_are_not_shown() {
    let (identity, _vault) = cluster();
    let token = || JoinToken::generate(identity.root().key_hash()).unwrap();
    let revealed = token().reveal().to_string();
    let seed = URL_SAFE_NO_PAD.decode(revealed.split('.').nth(1).unwrap()).unwrap()[40..].to_vec();
    let again = || revealed.parse::<JoinToken>().unwrap();
    let (name, role) = ("worker-1".parse().unwrap(), p2p_client::protocol::Role::Worker);
    let joiner = Joiner::new(again(), name, role, vec!["10.0.0.9".parse().unwrap()], NodeKey::generate().unwrap()).unwrap();
    for secret in [revealed.as_bytes(), &seed] {
        assert_hidden(secret, &[&again(), &joiner, joiner.hello()]);
    }
    let secret = ClientSecret::new("p2p-secret-canary-five-of-a-client");
    let text = secret.reveal().to_owned();
    let created = || ClientCreated { client_id: "ci@head".to_owned(), secret: Secret::from(text.as_str()), url: String::new() };
    assert_hidden(text.as_bytes(), &[&secret, &created(), &ClientReply::Create(created())]);

    let bearer = BearerToken::new(TOKEN);
    let headers: Headers = [bearer.header()].into_iter().collect();
    let outside = p2p_client::client::BearerToken::new(TOKEN).unwrap();
    let client = Client::builder("https://10.0.0.5:8001").unwrap().token(outside.clone());
    assert_hidden(TOKEN.as_bytes(), &[&bearer, &headers, &outside, &client]);
}

#[test]
fn passwords_in_a_configuration_are_not_shown() {
    let text = format!("listen: 0.0.0.0:8001\nadvertise: 10.0.0.5\nredis:\n  url: {URL}\n");
    let document = ConfigDocument::parse(&text).unwrap();
    let without = ConfigDocument::parse("listen: 0.0.0.0:8001\nadvertise: 10.0.0.5\n").unwrap();
    assert!(format!("{document:?}").contains("redis.url"), "{document:?}");
    let write = ConfigCommand::Write { was: text.clone(), text: text.clone() };
    let reply = ConfigReply { text: text.clone(), changed: Vec::new() };
    let change = without.changes(&document);
    assert_hidden(b"canary-three-the-password", &[&document, document.config(), &write, &reply, &change]);
}

/// Each way in which a careless type would show a secret is found: the control.
#[test]
fn the_control_finds_what_careless_types_show() {
    // What they hold is for `Debug` to show.
    #[derive(Debug)]
    struct Careless<T>(T);

    let secret = b"sixteen bytes, or more";
    let text = std::str::from_utf8(secret).unwrap();
    let hex = hex(secret);
    let values: [&dyn Debug; 7] = [
        &Careless(text),
        &Careless(format!("Bearer {text}")),
        &Careless(secret),
        &Careless(hex.clone()),
        &Careless(hex.to_uppercase()),
        &Careless(STANDARD.encode(secret)),
        &Careless(URL_SAFE_NO_PAD.encode([b"1", &secret[..]].concat())),
    ];
    for value in values {
        assert!(shows(value, secret).is_some(), "{value:?}");
    }
    assert_eq!(shows(&Careless("Secret(..)"), secret), None);
    assert_eq!(shows(&Careless(Zeroizing::new(secret.to_vec())), secret), None, "what wipes itself is not shown either");
}

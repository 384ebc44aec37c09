//! What an operator types in and what a joiner sends, under fuzzing. `cargo test` runs the same with inputs of its own.

use super::{JoinToken, PublicKey, join::CertRequest, token::checksum};

/// Reads a join token.
///
/// Where the first byte is odd, the rest gets the checksum that belongs to it, so that a fuzzer comes past that.
///
/// # Panics
/// When a token is taken that is not written as this program writes it, or that is not the same when it is read again.
pub fn join_token(data: &[u8]) {
    let Some((mode, text)) = data.split_first() else { return };
    let mut text = String::from_utf8_lossy(text).into_owned();
    if mode % 2 == 1 {
        text = format!("{text}.{}", checksum(text.as_bytes()));
    }
    match text.parse::<JoinToken>() {
        Ok(token) => {
            let written = token.reveal();
            assert!(written.eq_ignore_ascii_case(text.trim()), "another text is the same token: {text}");
            let again: JoinToken = written.parse().expect("what was written is read");
            assert_eq!((again.root(), again.id()), (token.root(), token.id()));
            assert!(again.reveal() == written);
            assert!(!format!("{token:?}{token}").contains(&written[60..80]), "the secret is shown");
        }
        // An error is shown on terminals and in logs, and the text may hold most of a secret.
        Err(error) => {
            let said = error.to_string();
            assert!(!text.as_bytes().windows(30).any(|part| said.as_bytes().windows(30).any(|shown| shown == part)), "{said}");
        }
    }
}

/// Reads a certificate request, as a joiner sends one.
///
/// # Panics
/// When a key is taken from it that cannot be read again.
pub fn csr(data: &[u8]) {
    if let Ok(key) = PublicKey::from_request(data) {
        let again = PublicKey::from_spki(&key.spki()).expect("a key that was taken is one");
        assert!(again == key && again.thumbprint() == key.thumbprint());
    }
}

/// Reads a message of a joiner.
///
/// # Panics
/// When one is taken that is not the same when it is read again.
pub fn join_message(data: &[u8]) {
    if let Ok(message) = CertRequest::from_json(data) {
        let json = serde_json::to_vec(&message).expect("what was read is written");
        let again = CertRequest::from_json(&json).expect("what was written is read");
        assert_eq!(json, serde_json::to_vec(&again).expect("it is written again"));
    }
}

#[cfg(test)]
mod tests {
    use p2p_client::{fuzzing::run, wire::tls::RootKeyHash};

    use super::*;
    use crate::identity::NodeKey;

    #[test]
    fn a_join_token_is_read_as_it_was_written_or_not_at_all() {
        run("join_token", 20_000, &["P2PJ1.", ".", "P2PJ2.", "-", "=", "\u{e9}", " ", "0", "+"], tokens, join_token);
    }

    #[test]
    fn a_certificate_request_gives_a_sound_key_or_none() {
        run("csr", 5_000, &[], || vec![("p256", NodeKey::generate().unwrap().request().unwrap())], csr);
    }

    #[test]
    fn a_joiners_message_is_read_as_it_was_written_or_not_at_all() {
        let tokens = ["\"", "{", "}", ",", ":", "null", "hello", "request", "wait", "[", "1", "::1", "169.254.169.254"];
        run("join_message", 10_000, &tokens, messages, join_message);
    }

    fn tokens() -> Vec<(&'static str, Vec<u8>)> {
        let token = JoinToken::generate(RootKeyHash::new([9; 32])).unwrap().reveal().to_string();
        let (body, _) = token.rsplit_once('.').unwrap();
        let with = |mode: u8, text: &str| [&[mode], text.as_bytes()].concat();
        vec![("whole", with(0, &token)), ("body", with(1, body)), ("later", with(0, &token.replace("J1", "J12")))]
    }

    fn messages() -> Vec<(&'static str, Vec<u8>)> {
        let hello = r#"{"step":"hello","version":1,"node_id":"worker-1","role":"worker","addresses":["10.0.0.5","node.example.org","fd00::1"],"token_id":"0123456789abcdef"}"#;
        let prove = r#"{"step":"request","nonce":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA","csr":"MIIB","proof":"c2lnbmVk"}"#;
        let wait = r#"{"step":"wait","nonce":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}"#;
        vec![("hello", hello.into()), ("prove", prove.into()), ("wait", wait.into())]
    }

    #[test]
    fn the_messages_that_inputs_are_made_from_are_understood() {
        for (name, message) in messages() {
            assert!(CertRequest::from_json(&message).is_ok(), "{name}");
        }
    }
}

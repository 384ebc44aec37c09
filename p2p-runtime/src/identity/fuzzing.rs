//! What an operator types in and what a joiner sends, under fuzzing. `cargo test` runs the same with inputs of its own.

use rcgen::SigningKey;

use super::{JoinToken, NodeKey, PublicKey, join::CertRequest, token::checksum};

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
/// Where the first byte is odd, the rest is what a request asks for, which gets the signature of a key that is always the same: so a fuzzer comes past
/// that, with whatever names and extensions.
///
/// # Panics
/// When a key is taken from it that cannot be read again, or that has not signed it.
pub fn csr(data: &[u8]) {
    let Some((mode, rest)) = data.split_first() else { return };
    let is_signed = mode % 2 == 1;
    let request = if is_signed { signed_request(rest) } else { rest.to_vec() };
    match PublicKey::from_request(&request) {
        Ok(key) => {
            assert!(!is_signed || key == requesting_key().public(), "another key has signed");
            let again = PublicKey::from_spki(&key.spki()).expect("a key that was taken is one");
            assert!(again == key && again.thumbprint() == key.thumbprint());
        }
        // An error is shown to whoever asked, and in the log.
        Err(error) => assert!(error.to_string().len() < 1_000, "{error}"),
    }
}

/// The key of requests that are signed here: PKCS #8 around a number that is known to all.
fn requesting_key() -> NodeKey {
    const BEFORE: &[u8] =
        b"\x30\x41\x02\x01\x00\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\
                            \x04\x27\x30\x25\x02\x01\x01\x04\x20";
    NodeKey::from_pkcs8(&[BEFORE, &[7; 32]].concat()).expect("a key of any 32 bytes")
}

/// A request (RFC 2986, section 4.2) for what these bytes say.
fn signed_request(content: &[u8]) -> Vec<u8> {
    /// `ecdsa-with-SHA256`, without parameters.
    const ALGORITHM: &[u8] = b"\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02";
    let info = der(0x30, content);
    let signature = requesting_key().sign(&info).expect("a sound key signs");
    der(0x30, &[info, ALGORITHM.to_vec(), der(0x03, &[&[0], &signature[..]].concat())].concat())
}

/// A value with its tag and its length.
fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len().to_be_bytes();
    let length: Vec<_> = length.into_iter().skip_while(|byte| *byte == 0).collect();
    let head = match (u8::try_from(length.len()), &length[..]) {
        (_, []) => vec![0],
        (_, [short]) if *short < 0x80 => vec![*short],
        (count, _) => [vec![0x80 | count.unwrap_or_default()], length].concat(),
    };
    [vec![tag], head, content.to_vec()].concat()
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
    use rcgen::{
        BasicConstraints, CertificateParams, IsCa, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P384_SHA384, PKCS_ED25519,
        PKCS_RSA_SHA256,
    };
    use x509_parser::{certification_request::X509CertificationRequest, prelude::FromDer};

    use super::*;
    use crate::identity::KeyError;

    #[test]
    fn a_join_token_is_read_as_it_was_written_or_not_at_all() {
        run("join_token", 20_000, &["P2PJ1.", ".", "P2PJ2.", "-", "=", "\u{e9}", " ", "0", "+"], tokens, join_token);
    }

    #[test]
    fn a_certificate_request_gives_a_sound_key_or_none() {
        run("csr", 5_000, &["\u{1}", "\u{0}", "example.org"], requests, csr);
    }

    /// Requests of all kinds: each as it came, and what it asks for where it is signed here.
    fn requests() -> Vec<(&'static str, Vec<u8>)> {
        let plain = requesting_key().request().unwrap();
        let names = vec!["node.example.org".to_owned(), "10.0.0.5".to_owned(), "fd00::1".to_owned()];
        let mut greedy = CertificateParams::new(names.clone()).unwrap();
        greedy.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        greedy.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let asks = |params: CertificateParams| params.serialize_request(&requesting_key()).unwrap().der().to_vec();
        let of = |algorithm| {
            let request = CertificateParams::default().serialize_request(&KeyPair::generate_for(algorithm).unwrap()).unwrap();
            [&[0], &request.der()[..]].concat()
        };
        let authority = asks(greedy);
        vec![
            ("p256", [&[0], &plain[..]].concat()),
            ("signed", signed_here(&plain)),
            ("names", signed_here(&asks(CertificateParams::new(names).unwrap()))),
            ("authority", signed_here(&authority)),
            ("p384", of(&PKCS_ECDSA_P384_SHA384)),
            ("ed25519", of(&PKCS_ED25519)),
            ("rsa", of(&PKCS_RSA_SHA256)),
        ]
    }

    /// What a request asks for, without its head, as an input.
    fn signed_here(request: &[u8]) -> Vec<u8> {
        let (_, request) = X509CertificationRequest::from_der(request).unwrap();
        let info = request.certification_request_info.raw;
        let head = if info[1] < 0x80 { 2 } else { 2 + usize::from(info[1] & 0x7f) };
        [&[1], &info[head..]].concat()
    }

    #[test]
    fn the_requests_that_inputs_are_made_from_reach_a_key_or_the_refusal_of_its_kind() {
        for (name, input) in requests() {
            let (mode, rest) = input.split_first().unwrap();
            let read = PublicKey::from_request(&if *mode == 1 { signed_request(rest) } else { rest.to_vec() });
            if ["p384", "ed25519", "rsa"].contains(&name) {
                assert_eq!(read, Err(KeyError::NotP256), "{name}");
            } else {
                assert_eq!(read, Ok(requesting_key().public()), "{name}");
            }
        }
        // What is changed and signed again is still read; what is changed and not signed is refused.
        let (_, names) = requests().into_iter().find(|(name, _)| *name == "names").unwrap();
        let name = b"node.example.org";
        let at = names.windows(name.len()).position(|part| part == name).unwrap();
        let mut changed = names.clone();
        changed[at] = b'm';
        assert_eq!(PublicKey::from_request(&signed_request(&changed[1..])), Ok(requesting_key().public()));
        let signed = signed_request(&names[1..]);
        let at = signed.windows(name.len()).position(|part| part == name).unwrap();
        let mut changed = signed;
        changed[at] = b'm';
        assert_eq!(PublicKey::from_request(&changed), Err(KeyError::BadSignature));
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

//! Tokens that clients show, under fuzzing. `cargo test` runs the same with inputs of its own.

use p2p_client::protocol::UnixMillis;
use zeroize::Zeroizing;

use super::{
    BearerRefused,
    claims::{ALGORITHM, Claims},
    jws::{Unverified, sign},
    keys::SigningKey,
};
use crate::identity::codec;

/// Reads a token.
///
/// Where the first byte is odd, the rest is a header and claims, with a line break between them, which get the signature that belongs to them: so a
/// fuzzer comes past that, as a coordinator of another version would.
///
/// # Panics
/// When a token is taken that nobody signed, or that is not the same when it is signed again; when an error holds much of it.
pub fn client_token(data: &[u8]) {
    let Some((mode, rest)) = data.split_first() else { return };
    let key = SigningKey::of(Zeroizing::new([7; 32]), UnixMillis(0)).expect("a key of any 32 bytes");
    let is_signed = mode % 2 == 1;
    let token = if is_signed { signed(rest, &key) } else { String::from_utf8_lossy(rest).into_owned() };
    let read = Unverified::parse(&token).and_then(|unverified| unverified.verify(key.public()));
    match read {
        Ok(claims) => {
            assert!(is_signed, "nobody signed {token}");
            let again = sign(&claims, &key).expect("claims that were read are written");
            assert_eq!(claims_of(again.reveal(), &key).as_ref(), Ok(&claims));
        }
        Err(BearerRefused::BadSignature) => assert!(!is_signed, "what was signed is told to be not: {token}"),
        // An error is shown to whoever asked, and in the log.
        Err(error) => assert!(error.to_string().len() < 1_000, "{error}"),
    }
}

fn claims_of(token: &str, key: &SigningKey) -> Result<Claims, String> {
    let claims = Unverified::parse(token).and_then(|unverified| unverified.verify(key.public()));
    claims.map_err(|error| error.to_string())
}

/// A token of whatever header and claims.
fn signed(parts: &[u8], key: &SigningKey) -> String {
    let split = parts.iter().position(|byte| *byte == b'\n').unwrap_or(parts.len());
    let (header, claims) = (&parts[..split], parts.get(split + 1..).unwrap_or_default());
    let signed = format!("{}.{}", codec::encode(header), codec::encode(claims));
    let signature = codec::encode(&key.sign(signed.as_bytes()));
    assert_eq!(ALGORITHM, "EdDSA", "as which it was signed");
    format!("{signed}.{signature}")
}

#[cfg(test)]
mod tests {
    use p2p_client::fuzzing::run;

    use super::*;

    const HEADER: &str = r#"{"alg":"EdDSA","typ":"at+jwt","kid":"key"}"#;
    const CLAIMS: &str = r#"{"iss":"p2p://c/coordinator/a","sub":"client","aud":"c","client_id":"client","iat":1,"nbf":1,"exp":900,"jti":"0123456789abcdef.0123456789abcdef0123456789abcdef","scope":"a:read b"}"#;

    fn input(header: &str, claims: &str) -> Vec<u8> {
        format!("\u{1}{header}\n{claims}").into_bytes()
    }

    fn corpus() -> Vec<(&'static str, Vec<u8>)> {
        let key = SigningKey::of(Zeroizing::new([8; 32]), UnixMillis(0)).unwrap();
        let of_another = signed(&input(HEADER, CLAIMS)[1..], &key);
        let bound = CLAIMS.replace(r#""scope""#, r#""cnf":{"p2p:node":"worker-1"},"scope""#);
        vec![
            ("signed", input(HEADER, CLAIMS)),
            ("bound", input(HEADER, &bound)),
            ("none", input(&HEADER.replace("EdDSA", "none"), CLAIMS)),
            ("critical", input(&HEADER.replace("\"kid\"", "\"crit\":[\"x\"],\"kid\""), CLAIMS)),
            ("of_another_key", [b"\0", of_another.as_bytes()].concat()),
        ]
    }

    #[test]
    fn a_token_is_read_as_it_was_signed_or_not_at_all() {
        let tokens = ["\"", "{", "}", ",", ":", ".", "null", "none", "HS256", "\"crit\":[]", "[", "1e9", "\n", "\u{e9}", "="];
        run("client_token", 10_000, &tokens, corpus, client_token);
    }

    #[test]
    fn the_tokens_that_inputs_are_made_from_are_what_they_are_called() {
        let key = SigningKey::of(Zeroizing::new([7; 32]), UnixMillis(0)).unwrap();
        let said = corpus().into_iter().map(|(name, input)| {
            let token = if input[0] == 1 { signed(&input[1..], &key) } else { String::from_utf8(input[1..].to_vec()).unwrap() };
            (name, claims_of(&token, &key).is_ok())
        });
        let said: Vec<_> = said.collect();
        assert_eq!(said, [("signed", true), ("bound", true), ("none", false), ("critical", false), ("of_another_key", false)]);
    }
}

//! Attacks on the handshake: certificates that are not the cluster's, resumption, and an older TLS.

use std::{io::ErrorKind, time::Duration};

use p2p_client::{
    protocol::Role,
    wire::tls::{PeerIdentity, TlsError, TlsMaterial},
};
use p2p_runtime::identity::{IssuingCa, NodeKey, RootCa};
use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, Issuer, SanType};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, UnixTime};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};

use super::{
    Check,
    finding::{Finding, Found, NotTried},
    target::Target,
};

/// How long a node may take for what it does at once.
const AT_ONCE: Duration = Duration::from_secs(15);

/// The checks.
pub(super) fn checks(target: &Target) -> Vec<Check<'_>> {
    vec![
        Check::case(15, "a self-signed certificate with the node's own names", async {
            refused(target, self_signed(target)?).await
        }),
        Check::case(16, "a certificate of a foreign authority with the node's own names", async {
            refused(target, foreign(target)?).await
        }),
        Check::case(18, "a connection that wants to be resumed", no_ticket(target)),
        Check::case(24, "TLS 1.2", old_tls(target)),
    ]
}

/// A certificate's content, with the names of a coordinator in this cluster: the node's own.
fn with_its_names(target: &Target) -> Result<CertificateParams, rcgen::Error> {
    let names = PeerIdentity { node_id: target.node_id.clone(), role: Role::Coordinator, cluster: target.root.cluster().clone() };
    let mut params = CertificateParams::default();
    params.subject_alt_names = vec![SanType::URI(names.to_string().try_into()?)];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    Ok(params)
}

fn self_signed(target: &Target) -> Result<TlsMaterial, NotTried> {
    let key = NodeKey::generate()?;
    let leaf = with_its_names(target)?.self_signed(&key)?.der().clone();
    shown(target, vec![leaf], &key)
}

/// Of an authority that is made as the cluster's own is, under another root; the cluster's root is shown above it.
fn foreign(target: &Target) -> Result<TlsMaterial, NotTried> {
    let now = UnixTime::now();
    let (root, authority_key, key) = (RootCa::create(now)?, NodeKey::generate()?, NodeKey::generate()?);
    let authority = root.issue_authority(&target.node_id, &authority_key.public(), now)?;
    let authority = IssuingCa::from_parts(authority_key, authority, root.root().clone())?;
    let issuer = Issuer::from_ca_cert_der(authority.certificate(), authority.key())?;
    let leaf = with_its_names(target)?.signed_by(&key, &issuer)?.der().clone();
    shown(target, vec![leaf, authority.certificate().clone(), target.root.der().clone()], &key)
}

fn shown(target: &Target, chain: Vec<CertificateDer<'static>>, key: &NodeKey) -> Result<TlsMaterial, NotTried> {
    let material = TlsMaterial::empty();
    let key = key.to_pkcs8();
    material.replace(target.root.clone(), chain, &PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.as_slice())))?;
    Ok(material)
}

/// Whether the node refuses what is shown. In TLS 1.3 the client learns of it by its first read.
async fn refused(target: &Target, shown: TlsMaterial) -> Found {
    let refusal = match target.tls(shown).await {
        Err(error) => error,
        // Nothing is asked: a node that took the certificate waits for a request.
        Ok(mut stream) => match timeout(AT_ONCE, stream.read_u8()).await {
            Ok(Err(error)) => match TlsError::from_io(&error) {
                Some(refusal) => refusal,
                None if error.kind() == ErrorKind::UnexpectedEof => return Ok(Finding::withstood(false, "took it")),
                // A reset, say: nothing was shown.
                None => return Err(error.into()),
            },
            Ok(Ok(_)) | Err(_) => return Ok(Finding::withstood(false, "took it")),
        },
    };
    match refusal {
        TlsError::Refused { .. } => Ok(Finding::held("refused it in the handshake")),
        other => Err(other.into()),
    }
}

/// Whether the node keeps sessions for clients that come again: they would not be verified again.
async fn no_ticket(target: &Target) -> Found {
    let mut stream = target.nameless().await?;
    let request = format!("GET /health HTTP/1.1\r\nhost: {}\r\n\r\n", target.authority);
    stream.write_all(request.as_bytes()).await?;
    stream.flush().await?;
    // Tickets come before the first answer.
    stream.read_exact(&mut [0; 12]).await?;
    Ok(match stream.get_ref().1.tls13_tickets_received() {
        0 => Finding::held("gave no session ticket"),
        given => Finding::withstood(false, format!("gave session tickets ({given})")),
    })
}

/// A client hello that names no later version than TLS 1.2 (RFC 5246, 7.4.1.2).
fn hello_of_tls_1_2() -> Vec<u8> {
    #[rustfmt::skip]
    let extensions: [u8; 22] = [
        0, 10, 0, 4, 0, 2, 0, 23,   // supported_groups: secp256r1
        0, 11, 0, 2, 1, 0,          // ec_point_formats: uncompressed
        0, 13, 0, 4, 0, 2, 4, 3,    // signature_algorithms: ecdsa_secp256r1_sha256
    ];
    let length_and = |bytes: &[u8]| [&u16::try_from(bytes.len()).unwrap_or(u16::MAX).to_be_bytes()[..], bytes].concat();
    // The version, a random, no session, one suite (ECDHE-ECDSA with AES-128-GCM), no compression.
    let body = [&[3, 3][..], &[7; 32], &[0, 0, 2, 0xc0, 0x2b, 1, 0], &length_and(&extensions)].concat();
    let message = [&[1, 0][..], &length_and(&body)].concat();
    [&[22, 3, 1][..], &length_and(&message)].concat()
}

async fn old_tls(target: &Target) -> Found {
    /// A fatal alert, protocol_version, as the two ends of a record (RFC 8446, 6.2).
    const REFUSAL: [u8; 2] = [2, 70];
    let mut stream = target.tcp().await?;
    stream.write_all(&hello_of_tls_1_2()).await?;
    stream.flush().await?;
    let mut answer = Vec::new();
    let read = timeout(AT_ONCE, (&mut stream).take(64).read_to_end(&mut answer)).await;
    Ok(match (&answer[..], read) {
        ([21, 3, _, 0, 2, alert @ ..], _) if alert == REFUSAL => Finding::held("refused it: protocol_version"),
        ([22, ..], _) => Finding::withstood(false, "went on with the handshake"),
        (_, Ok(Ok(_))) => Finding::withstood(false, "closed the connection without saying why"),
        (_, Ok(Err(error))) => return Err(error.into()),
        (_, Err(_)) => Finding::withstood(false, "did not answer"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hello_says_its_lengths() {
        let hello = hello_of_tls_1_2();
        assert_eq!(hello.len(), 5 + usize::from(u16::from_be_bytes([hello[3], hello[4]])));
        assert_eq!(hello.len(), 9 + usize::from(u16::from_be_bytes([hello[7], hello[8]])));
    }
}

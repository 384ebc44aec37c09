//! What can go wrong between two ends of a TLS connection, in words that say what to do next.
//!
//! The certificate verifiers speak [`TlsError`]; rustls carries it through the handshake and back
//! ([`TlsError::into_rustls`], [`TlsError::from_handshake`]), so that nothing is lost on the way.

use std::{io, sync::Arc, time::Duration};

use rustls::{AlertDescription, CertificateError, InvalidMessage, OtherError, PeerIncompatible};
use rustls_pki_types::UnixTime;

use super::RootKeyHash;
use crate::protocol::{ClusterId, NodeId};

/// Why a TLS connection did not come about, or was refused.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// The peer's certificate does not lead to our root.
    #[error(
        "the other end's certificate was not issued by this cluster ({ours}); \
         check the address, or let that node join this cluster; where the cluster's root was changed while one of the two was away, or since \
         the backup that it was restored from, that one joins again in its folder, with a fresh token: `p2p token create`, `p2p join`"
    )]
    ForeignCa {
        /// The cluster that this end trusts.
        ours: ClusterId,
    },
    /// The peer did not show the root that the join token names.
    #[error(
        "the other end is not of the cluster that the join token was made for (it does not have the root key {pinned}); \
         check the address and the token; where the cluster's root was changed since the token was made (`p2p ca rotate`), make a new one \
         with `p2p token create`"
    )]
    WrongRoot {
        /// The root key that was expected.
        pinned: RootKeyHash,
    },
    /// The peer is not under the root that this end trusts by its fingerprint.
    #[error(
        "the other end is not of the cluster that is meant: {}, not the one with the fingerprint sha256:{expected}; check the address, and \
         the fingerprint, which `p2p init` printed as `root`, and `p2p ca show` prints as it is now",
        .found.map_or_else(|| "its certificate leads to another root".to_owned(), |found| format!("its root is sha256:{found}"))
    )]
    OtherRoot {
        /// The root key that was expected.
        expected: RootKeyHash,
        /// That of the root that the peer shows, if it shows one.
        found: Option<RootKeyHash>,
    },
    /// The peer's certificate has run out.
    #[error("the other end's certificate ran out {} ago; renew it there, or check both clocks", age(*.ago))]
    Expired {
        /// How long ago.
        ago: Duration,
    },
    /// The peer's certificate is not valid yet.
    #[error("the other end's certificate becomes valid only in {}; check both clocks", age(*.ahead))]
    NotYetValid {
        /// How long until then.
        ahead: Duration,
    },
    /// The peer's certificate was revoked.
    #[error(
        "the other end's certificate was revoked; `p2p node revoked` says by whom and why; it may join again with a token made for it by name"
    )]
    Revoked,
    /// Another node answered than the one that was meant.
    #[error("expected node {expected} at this address, but {got} answered; the address may have passed to another node")]
    WrongNode {
        /// The node that was meant.
        expected: NodeId,
        /// The node that answered.
        got: NodeId,
    },
    /// A node that is no coordinator answered where only a coordinator may.
    #[error("node {got} is a worker, but only a coordinator lets nodes join; use a coordinator's address")]
    NotCoordinator {
        /// The node that answered.
        got: NodeId,
    },
    /// A certificate under our root names another cluster.
    #[error("the other end's certificate is for cluster {theirs}, this is cluster {ours}")]
    WrongCluster {
        /// The cluster of this end.
        ours: ClusterId,
        /// The cluster that the certificate names.
        theirs: ClusterId,
    },
    /// A certificate whose names are not a node's.
    #[error("the other end's certificate is no node certificate: {reason}")]
    NotANode {
        /// What is wrong with its names.
        reason: String,
    },
    /// A certificate that breaks another rule: its usage, its place in the chain, its encoding.
    #[error("the other end's certificate is not acceptable: {reason}")]
    BadCertificate {
        /// The rule that it breaks.
        reason: String,
    },
    /// The peer showed no certificate where one is needed.
    #[error("the other end showed no certificate, and this is for nodes of the cluster only; let it join with `p2p join`")]
    NoCertificate,
    /// This end trusts no root yet.
    #[error(
        "this end belongs to no cluster yet, so it can trust nobody; join with `p2p join`, or load the cluster's root certificate"
    )]
    NoRoot,
    /// This end has no certificate of its own, so it cannot serve.
    #[error("this node has no certificate yet; run `p2p init` or `p2p join` first")]
    NoOwnCertificate,
    /// The certificate or key given for this end does not work.
    #[error("this end's own certificate cannot be used: {reason}")]
    OwnCertificate {
        /// Why not.
        reason: String,
    },
    /// The peer ended the handshake with an alert about us.
    #[error("the other end refused the connection: {reason}")]
    Refused {
        /// What its alert means.
        reason: String,
    },
    /// The peer speaks TLS 1.2 or older.
    #[error("the other end speaks only TLS 1.2 or older; TLS 1.3 is required")]
    OldTls,
    /// The peer does not speak TLS at all.
    #[error("the other end does not speak TLS; use an https:// address and check the port")]
    NotTls,
    /// Both ends speak TLS, but no common application protocol.
    #[error("the other end speaks none of the protocols offered here; it may be no P2P node, or another version")]
    NoCommonProtocol,
    /// The peer hung up during the handshake.
    #[error("the other end closed the connection during the TLS handshake")]
    Closed,
    /// The handshake took too long.
    #[error("the TLS handshake was not finished within {} s", .after.as_secs())]
    Timeout {
        /// The time it had.
        after: Duration,
    },
    /// The peer broke the TLS protocol.
    #[error("the TLS handshake failed: {0}")]
    Protocol(rustls::Error),
    /// The connection failed below TLS.
    #[error("the connection failed: {0}")]
    Io(#[source] Arc<io::Error>),
}

/// A span of time as people say it, in its largest whole unit.
fn age(span: Duration) -> String {
    let seconds = span.as_secs();
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

fn since(later: UnixTime, earlier: UnixTime) -> Duration {
    Duration::from_secs(later.as_secs().saturating_sub(earlier.as_secs()))
}

impl TlsError {
    /// Whether this end refused the other one for what it is or shows, such as its certificate or its version of TLS. All else is a
    /// connection that did not come about: somebody hung up, or means another protocol, or refused this end.
    pub fn is_refusal(&self) -> bool {
        self.refusal().is_some()
    }

    /// For what this end refused the other one, in a few words; `None` where it [did not](Self::is_refusal). They are the same for all errors of
    /// a kind, and nothing in them was chosen by the other end, as a name in its certificate may have been.
    pub const fn refusal(&self) -> Option<&'static str> {
        match self {
            Self::ForeignCa { .. } => Some("a certificate that this cluster did not issue"),
            Self::WrongRoot { .. } => Some("another root than the join token names"),
            Self::OtherRoot { .. } => Some("another root than the one with the fingerprint that is meant"),
            Self::Expired { .. } => Some("a certificate that ran out"),
            Self::NotYetValid { .. } => Some("a certificate that is not valid yet"),
            Self::Revoked => Some("a certificate that was revoked"),
            Self::WrongNode { .. } => Some("another node than the one that is meant"),
            Self::NotCoordinator { .. } => Some("a worker where a coordinator is meant"),
            Self::WrongCluster { .. } => Some("a certificate for another cluster"),
            Self::NotANode { .. } => Some("a certificate that is no node's"),
            Self::BadCertificate { .. } => Some("a certificate that breaks a rule"),
            Self::NoCertificate => Some("no certificate"),
            Self::OldTls => Some("TLS 1.2 or older"),
            Self::NoRoot
            | Self::NoOwnCertificate
            | Self::OwnCertificate { .. }
            | Self::Refused { .. }
            | Self::NotTls
            | Self::NoCommonProtocol
            | Self::Closed
            | Self::Timeout { .. }
            | Self::Protocol(_)
            | Self::Io(_) => None,
        }
    }

    /// Explains an error that a read or write on an established connection gave.
    ///
    /// In TLS 1.3 a client has finished its handshake before the server looks at the client's certificate, so that a
    /// refusal arrives only with the first read. `None` when the error has nothing to do with TLS.
    pub fn from_io(error: &io::Error) -> Option<Self> {
        let tls = error.get_ref()?.downcast_ref::<rustls::Error>()?;
        Some(Self::from_rustls(tls, None))
    }

    /// Makes an error of what a handshake ended with. `ours` is the cluster that was expected.
    pub fn from_handshake(error: io::Error, ours: Option<&ClusterId>) -> Self {
        if let Some(tls) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            return Self::from_rustls(tls, ours);
        }
        match error.kind() {
            io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => Self::Closed,
            _ => Self::Io(Arc::new(error)),
        }
    }

    fn from_rustls(error: &rustls::Error, ours: Option<&ClusterId>) -> Self {
        use rustls::Error as E;
        match error {
            E::InvalidCertificate(CertificateError::Other(OtherError(inner))) => match inner.downcast_ref::<Self>() {
                Some(ours) => ours.clone(),
                None => Self::BadCertificate { reason: inner.to_string() },
            },
            E::InvalidCertificate(CertificateError::UnknownIssuer) => {
                ours.map_or(Self::NoRoot, |ours| Self::ForeignCa { ours: ours.clone() })
            }
            E::InvalidCertificate(CertificateError::ExpiredContext { time, not_after }) => {
                Self::Expired { ago: since(*time, *not_after) }
            }
            E::InvalidCertificate(CertificateError::NotValidYetContext { time, not_before }) => {
                Self::NotYetValid { ahead: since(*not_before, *time) }
            }
            E::InvalidCertificate(CertificateError::Revoked) => Self::Revoked,
            E::InvalidCertificate(other) => Self::BadCertificate { reason: other.to_string() },
            E::NoCertificatesPresented => Self::NoCertificate,
            E::NoApplicationProtocol | E::AlertReceived(AlertDescription::NoApplicationProtocol) => Self::NoCommonProtocol,
            E::PeerIncompatible(
                PeerIncompatible::SupportedVersionsExtensionRequired
                | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
                | PeerIncompatible::ServerDoesNotSupportTls12Or13
                | PeerIncompatible::Tls12NotOffered
                | PeerIncompatible::Tls12NotOfferedOrEnabled,
            )
            | E::AlertReceived(AlertDescription::ProtocolVersion) => Self::OldTls,
            E::InvalidMessage(
                InvalidMessage::InvalidContentType
                | InvalidMessage::UnknownProtocolVersion
                | InvalidMessage::MessageTooLarge
                | InvalidMessage::InvalidEmptyPayload,
            ) => Self::NotTls,
            E::AlertReceived(alert) => Self::Refused { reason: alert_meaning(*alert) },
            other => Self::Protocol(other.clone()),
        }
    }

    /// The form in which a verifier hands this error to rustls. It chooses the alert that the other end gets.
    pub(super) fn into_rustls(self, now: UnixTime) -> rustls::Error {
        let shifted = |seconds: u64| UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        rustls::Error::InvalidCertificate(match self {
            Self::ForeignCa { .. } => CertificateError::UnknownIssuer,
            Self::Revoked => CertificateError::Revoked,
            Self::Expired { ago } => {
                CertificateError::ExpiredContext { time: now, not_after: shifted(now.as_secs().saturating_sub(ago.as_secs())) }
            }
            Self::NotYetValid { ahead } => CertificateError::NotValidYetContext {
                time: now,
                not_before: shifted(now.as_secs().saturating_add(ahead.as_secs())),
            },
            other => CertificateError::Other(OtherError(Arc::new(other))),
        })
    }

    /// Makes an error of what checking a chain of certificates found.
    pub(super) fn from_webpki(error: webpki::Error, ours: &ClusterId) -> Self {
        use webpki::Error as E;
        match error {
            // A foreign authority may bear the same name as ours; then only the signature tells them apart.
            E::UnknownIssuer | E::InvalidSignatureForPublicKey => Self::ForeignCa { ours: ours.clone() },
            E::CertExpired { time, not_after } => Self::Expired { ago: since(time, not_after) },
            E::CertNotValidYet { time, not_before } => Self::NotYetValid { ahead: since(not_before, time) },
            E::CaUsedAsEndEntity => Self::BadCertificate { reason: "it is an authority's certificate, not a node's".into() },
            E::EndEntityUsedAsCa => Self::BadCertificate { reason: "it was signed by a node, which is no authority".into() },
            E::PathLenConstraintViolated => {
                Self::BadCertificate { reason: "an authority in its chain was not allowed to make another authority".into() }
            }
            E::RequiredEkuNotFoundContext(_) => {
                Self::BadCertificate { reason: "it is not meant for this use (server or client authentication)".into() }
            }
            other => Self::BadCertificate { reason: other.to_string() },
        }
    }
}

fn alert_meaning(alert: AlertDescription) -> String {
    use AlertDescription as A;
    match alert {
        A::UnknownCA => {
            "it does not trust our certificate's root, so it belongs to another cluster; check the address; where this cluster's root was \
             changed while this node was away, join again in the same folder, with a fresh token"
                .into()
        }
        A::CertificateExpired => {
            "it finds our certificate expired or not valid yet; check both clocks, or renew the certificate".into()
        }
        A::CertificateRevoked => {
            "our certificate was revoked; join again with a new key, by a token that an operator makes for this node by name"
                .into()
        }
        A::BadCertificate | A::CertificateUnknown | A::UnsupportedCertificate | A::AccessDenied => {
            "it does not accept our certificate; its log says why".into()
        }
        A::CertificateRequired => "it wants a certificate, and we have none; join the cluster first".into(),
        A::HandshakeFailure | A::InsufficientSecurity => "it shares no TLS 1.3 algorithm with this end".into(),
        other => format!("TLS alert {other:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_refused_is_said_without_a_word_of_the_other_ends() {
        let cluster = |byte| ClusterId::from_root_key_hash(&[byte; 32]);
        let named = |name: &str| {
            [
                TlsError::WrongCluster {
                    ours: cluster(0),
                    theirs: ClusterId::from_root_key_hash(&[u8::try_from(name.len()).unwrap(); 32]),
                },
                TlsError::NotANode { reason: name.to_owned() },
                TlsError::BadCertificate { reason: name.to_owned() },
                TlsError::WrongNode { expected: "meant".parse().unwrap(), got: name.parse().unwrap() },
                TlsError::NotCoordinator { got: name.parse().unwrap() },
            ]
        };
        for (one, other) in named("one").iter().zip(&named("another")) {
            assert!(one.is_refusal() && one.refusal() == other.refusal(), "{one}");
            assert_ne!(one.to_string(), other.to_string());
        }
        assert_eq!(TlsError::Closed.refusal(), None);
    }

    #[test]
    fn what_a_verifier_says_survives_the_way_through_rustls() {
        let now = UnixTime::since_unix_epoch(Duration::from_secs(1_000_000));
        let ours = ClusterId::from_root_key_hash(&[7; 32]);
        for error in [
            TlsError::ForeignCa { ours: ours.clone() },
            TlsError::Revoked,
            TlsError::Expired { ago: Duration::from_mins(1) },
            TlsError::NotYetValid { ahead: Duration::from_secs(4_000) },
            TlsError::WrongNode { expected: "a".parse().unwrap(), got: "b".parse().unwrap() },
            TlsError::NoRoot,
        ] {
            let io = io::Error::new(io::ErrorKind::InvalidData, error.clone().into_rustls(now));
            assert_eq!(TlsError::from_handshake(io, Some(&ours)).to_string(), error.to_string());
        }
    }

    #[test]
    fn an_alert_read_later_is_explained_and_other_errors_are_left_alone() {
        let alert = io::Error::new(io::ErrorKind::InvalidData, rustls::Error::AlertReceived(AlertDescription::UnknownCA));
        assert!(TlsError::from_io(&alert).unwrap().to_string().contains("another cluster"));
        assert!(TlsError::from_io(&io::Error::from(io::ErrorKind::BrokenPipe)).is_none());
    }
}

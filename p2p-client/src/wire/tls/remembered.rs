//! Chains of certificates that were found good, so that each is checked once.
//!
//! The chain of a peer comes with every connection, twice ([`TlsMaterial::guard`](super::TlsMaterial::guard)), and with everything that the peer
//! signs; its two signatures cost more than the rest of a handshake. They do not change: what was found good under a root stays so while all of its
//! certificates are valid. Asked each time, and not remembered, are the time, which roots are trusted, and what was revoked.

use std::{
    collections::HashMap,
    ops::RangeInclusive,
    sync::{Mutex, MutexGuard, PoisonError},
};

use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls_pki_types::{CertificateDer, UnixTime};

use super::{PeerIdentity, TlsError, TrustedRoot, Usage, validity::common_validity, verify_chain};
use crate::hex::sha256;

/// How many chains are remembered at least; twice as many at most, some 300 bytes each.
const ENOUGH: usize = 1024;

/// Chains that were found good. What was not asked for in a long time is forgotten first.
#[derive(Debug, Default)]
pub(super) struct GoodChains(Mutex<Halves>);

/// The older half is dropped whole when the younger one is full.
#[derive(Debug, Default)]
struct Halves {
    younger: HashMap<Question, Good>,
    older: HashMap<Question, Good>,
}

/// The hash of all that an answer depends on but the time: the root, what the chain is to be good for, and every certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Question([u8; 32]);

#[derive(Debug, Clone)]
struct Good {
    peer: PeerIdentity,
    /// When all certificates are valid, in seconds since 1970.
    valid: RangeInclusive<u64>,
}

impl GoodChains {
    /// Says the same as [`verify_chain`].
    pub(super) fn verify(
        &self,
        root: &TrustedRoot,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        usage: Usage,
        now: UnixTime,
        algorithms: &WebPkiSupportedAlgorithms,
    ) -> Result<PeerIdentity, TlsError> {
        let question = Question::new(root, leaf, others, usage);
        if let Some(peer) = self.recall(question, now) {
            return Ok(peer);
        }
        let peer = verify_chain(root, leaf, others, usage, now, algorithms)?;
        if let Some(valid) = common_validity(leaf, others) {
            self.halves().put(question, Good { peer: peer.clone(), valid });
        }
        Ok(peer)
    }

    fn recall(&self, question: Question, now: UnixTime) -> Option<PeerIdentity> {
        let good = self.halves().get(question)?;
        good.valid.contains(&now.as_secs()).then_some(good.peer)
    }

    fn halves(&self) -> MutexGuard<'_, Halves> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Halves {
    fn get(&mut self, question: Question) -> Option<Good> {
        if let Some(good) = self.younger.get(&question) {
            return Some(good.clone());
        }
        let good = self.older.remove(&question)?;
        self.put(question, good.clone());
        Some(good)
    }

    fn put(&mut self, question: Question, good: Good) {
        if self.younger.len() >= ENOUGH {
            self.older = std::mem::take(&mut self.younger);
        }
        self.younger.insert(question, good);
    }
}

impl Question {
    fn new(root: &TrustedRoot, leaf: &CertificateDer<'_>, others: &[CertificateDer<'_>], usage: Usage) -> Self {
        let mut bytes = vec![match usage {
            Usage::Server => 0,
            Usage::Client => 1,
        }];
        for cert in [root.der(), leaf].into_iter().chain(others) {
            bytes.extend_from_slice(&(cert.len() as u64).to_be_bytes());
            bytes.extend_from_slice(cert);
        }
        Self(sha256(&bytes))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rcgen::{
        BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair, SanType, date_time_ymd,
    };

    use super::*;
    use crate::wire::tls::TlsMaterial;

    type Issuer = CertifiedIssuer<'static, KeyPair>;

    /// The first second of a year.
    fn year(year: u64) -> UnixTime {
        let days = (1970..year).map(|year| if year % 4 == 0 { 366 } else { 365 }).sum::<u64>();
        UnixTime::since_unix_epoch(Duration::from_secs(days * 86_400))
    }

    fn authority_params() -> CertificateParams {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
    }

    fn root() -> (Issuer, TrustedRoot) {
        let issuer = Issuer::self_signed(authority_params(), KeyPair::generate().unwrap()).unwrap();
        let trusted = TrustedRoot::from_der(issuer.der().clone()).unwrap();
        (issuer, trusted)
    }

    /// An authority below the root, from 2020 until 2030.
    fn authority(root: &Issuer) -> Issuer {
        let mut params = authority_params();
        (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2030, 1, 1));
        Issuer::signed_by(params, KeyPair::generate().unwrap(), root).unwrap()
    }

    /// A node's certificate, from 2025 until 2035, for clients alone.
    fn leaf(root: &TrustedRoot, by: &Issuer) -> CertificateDer<'static> {
        let mut params = CertificateParams::default();
        (params.not_before, params.not_after) = (date_time_ymd(2025, 1, 1), date_time_ymd(2035, 1, 1));
        params.subject_alt_names = vec![SanType::URI(format!("p2p://{}/worker/w", root.cluster()).try_into().unwrap())];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.signed_by(&KeyPair::generate().unwrap(), by).unwrap().der().clone()
    }

    /// One memory, and what is asked of it.
    struct Asking {
        chains: GoodChains,
        leaf: CertificateDer<'static>,
        others: Vec<CertificateDer<'static>>,
        root: TrustedRoot,
    }

    impl Asking {
        fn new() -> (Self, Issuer) {
            let (issuer, root) = root();
            let authority = authority(&issuer);
            let (leaf, others) = (leaf(&root, &authority), vec![authority.der().clone()]);
            (Self { chains: GoodChains::default(), leaf, others, root }, authority)
        }

        fn ask(
            &self,
            root: &TrustedRoot,
            leaf: &CertificateDer<'_>,
            usage: Usage,
            now: UnixTime,
        ) -> Result<PeerIdentity, TlsError> {
            self.chains.verify(root, leaf, &self.others, usage, now, &TlsMaterial::empty().algorithms())
        }

        fn at(&self, now: UnixTime) -> Result<PeerIdentity, TlsError> {
            self.ask(&self.root, &self.leaf, Usage::Client, now)
        }

        fn is_known(&self, now: UnixTime) -> bool {
            self.chains.recall(Question::new(&self.root, &self.leaf, &self.others, Usage::Client), now).is_some()
        }
    }

    #[test]
    fn a_good_chain_is_checked_once_and_answered_the_same_again() {
        let (asking, _) = Asking::new();
        assert!(!asking.is_known(year(2026)));
        let first = asking.at(year(2026)).unwrap();
        assert!(asking.is_known(year(2026)));
        assert_eq!(asking.at(year(2027)).unwrap(), first);
    }

    #[test]
    fn a_chain_that_is_known_is_refused_before_and_after_its_time_all_the_same() {
        let (asking, _) = Asking::new();
        asking.at(year(2026)).unwrap();
        // The authority ends before the node's own certificate.
        for (now, wanted) in [(2024, "NotYetValid"), (2029, ""), (2031, "Expired"), (2036, "Expired")] {
            let said = asking.at(year(now)).map_or_else(|error| format!("{error:?}"), |_| String::new());
            assert!(said.starts_with(wanted) && said.is_empty() == wanted.is_empty(), "{now}: {said}");
        }
    }

    #[test]
    fn what_is_known_under_one_root_for_one_use_says_nothing_about_another() {
        let (asking, _) = Asking::new();
        asking.at(year(2026)).unwrap();
        let (_, another) = root();
        let error = asking.ask(&another, &asking.leaf, Usage::Client, year(2026)).unwrap_err();
        assert!(matches!(error, TlsError::ForeignCa { .. }), "{error}");
        asking.ask(&asking.root, &asking.leaf, Usage::Server, year(2026)).unwrap_err();
    }

    #[test]
    fn a_chain_that_was_altered_is_not_the_one_that_is_known_and_bad_ones_are_not_remembered() {
        let (asking, _) = Asking::new();
        asking.at(year(2026)).unwrap();
        let mut altered = asking.leaf.to_vec();
        *altered.last_mut().unwrap() ^= 1; // in the signature
        for _ in 0..2 {
            asking.ask(&asking.root, &altered.clone().into(), Usage::Client, year(2026)).unwrap_err();
        }
        assert_eq!(asking.chains.halves().younger.len(), 1);
    }

    #[test]
    fn what_is_asked_for_stays_known_and_the_rest_is_forgotten_within_bounds() {
        let (asking, _) = Asking::new();
        let peer = asking.at(year(2026)).unwrap();
        let other = |number: usize| Question(sha256(&number.to_be_bytes()));
        for number in 0..5 * ENOUGH {
            asking.chains.halves().put(other(number), Good { peer: peer.clone(), valid: 0..=u64::MAX });
            assert!(asking.is_known(year(2026)), "after {number} others");
        }
        let halves = asking.chains.halves();
        assert!(halves.younger.len() + halves.older.len() <= 2 * ENOUGH);
        assert!(!halves.younger.contains_key(&other(0)) && !halves.older.contains_key(&other(0)));
    }
}

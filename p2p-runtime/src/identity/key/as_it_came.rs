//! What a certificate request asks for besides its key, which the product never reads: for the controls of the cases in which that is too much.

use rcgen::{CertificateParams, CertificateSigningRequestParams};
use rustls_pki_types::CertificateSigningRequestDer;

use super::PublicKey;
use crate::identity::checks::{Check, is_left_out};

/// The request in which a key came, where all of it is taken.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Request(Option<&'static [u8]>);

impl PublicKey {
    /// The same key; with the request in which it came, unless only the key is taken.
    pub(super) fn as_it_came(self, csr: &[u8]) -> Self {
        // For as long as the test runs: keys are copied like numbers, and what they point to has to stay.
        let request = is_left_out(Check::OnlyTheKey).then(|| &*csr.to_vec().leak());
        Self { request: Request(request), ..self }
    }

    /// What a certificate for this key says: what the authority has decided, or all that the request asks for, at the same time.
    pub(in crate::identity) fn as_requested(&self, mut decided: CertificateParams) -> CertificateParams {
        let Some(csr) = self.request.0 else { return decided };
        let asked = CertificateSigningRequestParams::from_der(&CertificateSigningRequestDer::from(csr)).unwrap().params;
        decided.distinguished_name = asked.distinguished_name;
        decided.subject_alt_names = asked.subject_alt_names;
        decided.is_ca = asked.is_ca;
        decided.key_usages = asked.key_usages;
        decided.extended_key_usages = asked.extended_key_usages;
        decided
    }
}

//! [`Narrowed`]: the tables of a contract at a host that lets fewer callers in than the contract does.

use std::{borrow::Cow, sync::OnceLock};

use crate::protocol::Access;

use super::{LazyDescriptor, ServiceSpec};

/// A host's own tables, made when they are first asked for. Written by the macros, one for each host that narrows its contract.
///
/// All that is derived from the tables follows: who is let in, the description, its fingerprint, and what is made of that.
#[derive(Debug)]
pub struct Narrowed {
    spec: OnceLock<ServiceSpec>,
    descriptor: OnceLock<LazyDescriptor>,
}

impl Narrowed {
    /// Tables that are not made yet.
    #[allow(clippy::new_without_default, reason = "generated code calls it by name, in a static")]
    pub const fn new() -> Self {
        Self { spec: OnceLock::new(), descriptor: OnceLock::new() }
    }

    /// The tables: those of the contract, but for `narrower`. That says who may call a method by the method's name in Rust, as `contract_access` does of
    /// all methods in the order of the tables.
    pub fn of(
        &'static self,
        contract: &'static ServiceSpec,
        contract_access: &'static [(&'static str, Access)],
        narrower: &'static [(&'static str, Access)],
    ) -> &'static ServiceSpec {
        self.spec.get_or_init(|| {
            let place = |name: &str| contract_access.iter().position(|(method, _)| *method == name);
            let narrower: Vec<(usize, &'static Access)> =
                narrower.iter().filter_map(|(method, access)| Some((place(method)?, access))).collect();
            let mut methods = contract.methods.to_vec();
            for (place, access) in &narrower {
                methods[*place].access = Access::clone(access);
            }
            if let Some(described) = contract.descriptor() {
                let descriptor = self.descriptor.get_or_init(|| described.narrowed(narrower));
                for method in &mut methods {
                    method.descriptor = Some(descriptor);
                }
            }
            ServiceSpec { methods: Cow::Owned(methods), ..contract.clone() }
        })
    }
}

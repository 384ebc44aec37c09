//! The description that a program was built with, at hand where a call has to be compared with it.

use std::{fmt, sync::OnceLock};

use crate::protocol::{Access, Fingerprint, ServiceDescriptor};

/// A service's description, made when it is first asked for. Written by the macros, one for each service of the program.
///
/// Calls between nodes compare its fingerprint with the host's: that costs a load and a comparison.
pub struct LazyDescriptor {
    describe: fn() -> ServiceDescriptor,
    /// Whom a host lets in, by the method's place, where that is not what is described.
    narrower: Vec<(usize, &'static Access)>,
    made: OnceLock<(Fingerprint, ServiceDescriptor)>,
}

impl LazyDescriptor {
    /// What `describe` will make.
    pub const fn new(describe: fn() -> ServiceDescriptor) -> Self {
        Self { describe, narrower: Vec::new(), made: OnceLock::new() }
    }

    /// The same description, for a host that lets fewer callers in: who may call, by the method's place.
    pub(super) fn narrowed(&self, narrower: Vec<(usize, &'static Access)>) -> Self {
        Self { describe: self.describe, narrower, made: OnceLock::new() }
    }

    /// The description.
    pub fn get(&self) -> &ServiceDescriptor {
        &self.made().1
    }

    /// Its fingerprint.
    pub fn fingerprint(&self) -> Fingerprint {
        self.made().0
    }

    fn made(&self) -> &(Fingerprint, ServiceDescriptor) {
        self.made.get_or_init(|| {
            let mut descriptor = (self.describe)();
            for (place, access) in &self.narrower {
                descriptor.methods[*place].access = Access::clone(access);
            }
            (descriptor.fingerprint(), descriptor)
        })
    }
}

impl fmt::Debug for LazyDescriptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LazyDescriptor").field(&self.made.get().map(|(fingerprint, _)| fingerprint)).finish()
    }
}

//! The constant tables of a service, written by the macros.

use std::{borrow::Cow, time::Duration};

use crate::protocol::{Access, Role};

use super::LazyDescriptor;

/// What is known of a method before any call: all that routing, access and limits need.
#[derive(Debug, Clone)]
pub struct MethodSpec {
    /// The service's name on the wire.
    pub service: Cow<'static, str>,
    /// The method's name on the wire.
    pub name: Cow<'static, str>,
    /// `service/method`.
    pub path: Cow<'static, str>,
    /// The method's place in its service.
    pub index: usize,
    /// Its parameters, in order.
    pub params: Cow<'static, [ParamSpec]>,
    /// Who may call it.
    pub access: Access,
    /// Whether a second call does no more than the first.
    pub idempotent: bool,
    /// Whether it changes nothing.
    pub read_only: bool,
    /// Whether it runs on when its caller goes away.
    pub detached: bool,
    /// Whether its calls are counted and timed.
    pub track_metrics: bool,
    /// Whether it answers with a stream of items.
    pub streams: bool,
    /// Its own time limit; of a method that streams, for the opening of the stream.
    pub timeout: Option<Duration>,
    /// The description of its service that the program was built with; `None` of a service that exists only at run time.
    pub descriptor: Option<&'static LazyDescriptor>,
}

/// What is known of a parameter.
#[derive(Debug, Clone)]
pub struct ParamSpec {
    /// Its name on the wire.
    pub name: Cow<'static, str>,
}

/// What is known of a service.
#[derive(Debug, Clone)]
pub struct ServiceSpec {
    /// Its name on the wire.
    pub name: Cow<'static, str>,
    /// Its semantic version.
    pub version: Cow<'static, str>,
    /// Its methods, in the order in which they were written.
    pub methods: Cow<'static, [MethodSpec]>,
    /// The roles that host it; none means all.
    pub roles: Cow<'static, [Role]>,
}

impl ServiceSpec {
    /// The description that the program was built with; `None` of a service that exists only at run time.
    pub fn descriptor(&self) -> Option<&'static LazyDescriptor> {
        self.methods.first().and_then(|method| method.descriptor)
    }

    /// The method with this name.
    pub fn method(&self, name: &str) -> Option<&MethodSpec> {
        self.methods.iter().find(|method| method.name == name)
    }

    /// Whether a node of this role hosts the service.
    pub fn is_for(&self, role: Role) -> bool {
        self.roles.is_empty() || self.roles.contains(&role)
    }
}

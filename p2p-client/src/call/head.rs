//! [`Head`]: what a call is, apart from its params.

use std::{borrow::Cow, sync::Arc};

use tokio::time::Instant;

use crate::{
    protocol::{NodeId, Target},
    service::{Chain, MethodSpec},
};

use super::Headers;

/// Which method is called.
#[derive(Debug, Clone)]
pub enum MethodRef {
    /// One that a proxy knows.
    Known(&'static MethodSpec),
    /// One whose name is known only at run time: service and method.
    Named(Arc<(String, String)>),
}

impl MethodRef {
    /// The service's name.
    pub fn service(&self) -> &str {
        match self {
            Self::Known(spec) => &spec.service,
            Self::Named(names) => &names.0,
        }
    }

    /// The method's name.
    pub fn method(&self) -> &str {
        match self {
            Self::Known(spec) => &spec.name,
            Self::Named(names) => &names.1,
        }
    }

    /// `service/method`.
    pub fn path(&self) -> Cow<'_, str> {
        match self {
            Self::Known(spec) => Cow::Borrowed(&spec.path),
            Self::Named(names) => Cow::Owned(format!("{}/{}", names.0, names.1)),
        }
    }

    /// What the tables say of it, where they are known.
    pub fn spec(&self) -> Option<&'static MethodSpec> {
        match self {
            Self::Known(spec) => Some(spec),
            Self::Named(_) => None,
        }
    }
}

/// All that routing and sending need to know of a call, its params aside.
#[derive(Debug, Clone)]
pub struct Head {
    /// Which method.
    pub method: MethodRef,
    /// Where to.
    pub target: Target,
    /// When the caller stops waiting.
    pub deadline: Instant,
    /// When the call was first polled.
    pub began: Instant,
    /// What it inherits from the call around it.
    pub chain: Chain,
    /// Headers that the caller added.
    pub headers: Headers,
    /// Nodes that were tried without success, to be avoided.
    pub tried: Vec<NodeId>,
    /// Whether this is what the call began with: nothing was waited for since then, neither another node, nor a pause, nor a description.
    pub is_first_try: bool,
}

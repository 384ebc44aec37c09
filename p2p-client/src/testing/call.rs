//! [`MockCall`]: a call that a mock got.

use std::{sync::Arc, time::Duration};

use serde_json::Value;
use tokio::time::Instant;

use crate::{
    call::{Head, Headers},
    protocol::{NodeId, Target},
};

/// A call that a mock got: what it asked, of whom, and with what. Cheap to clone.
#[derive(Debug, Clone)]
pub struct MockCall(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    path: String,
    node: NodeId,
    target: Target,
    params: String,
    headers: Headers,
    time_left: Duration,
}

impl MockCall {
    pub(super) fn new(head: &Head, node: &NodeId, params: String) -> Self {
        Self(Arc::new(Inner {
            path: head.method.path().into_owned(),
            node: node.clone(),
            target: head.target.clone(),
            params,
            headers: head.headers.clone(),
            time_left: head.deadline.saturating_duration_since(Instant::now()),
        }))
    }

    /// The method, `service/method`.
    pub fn path(&self) -> &str {
        &self.0.path
    }

    /// The node of the mock that was asked.
    pub fn node(&self) -> &NodeId {
        &self.0.node
    }

    /// Where the caller wanted the call to go.
    pub fn target(&self) -> &Target {
        &self.0.target
    }

    /// The params, by name. Those that the proxy left out, as they say nothing, are not among them.
    pub fn params(&self) -> Value {
        serde_json::from_str(&self.0.params).unwrap_or(Value::Null)
    }

    /// The params as they came: JSON.
    pub fn params_json(&self) -> &str {
        &self.0.params
    }

    /// The value of a header that the caller sent along.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.0.headers.iter().find(|(sent, _)| sent.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// How much time the call had left when it came.
    pub fn time_left(&self) -> Duration {
        self.0.time_left
    }
}

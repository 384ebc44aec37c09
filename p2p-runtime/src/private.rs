//! What generated code names. Not for people: it may change with any release.

pub use inventory;
pub use p2p_client::__private::*;

pub use crate::{
    context::Context,
    service::{
        ConstructorOutcome, DefaultProbe, ExpectedService, HealthOutcome, HookOutcome, Hosted, Hosting, LifecycleProbe,
        ServiceEntry, ViaDefault, ViaLifecycle, ViaNoDefault, ViaNoLifecycle, made_once,
    },
};

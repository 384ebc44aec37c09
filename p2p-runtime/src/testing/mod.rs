//! What tests of nodes and services need: one service without a node, whole clusters in one process, networks that can be broken.
//!
//! | to test | there is |
//! |---|---|
//! | a service by itself | `ServiceTester` |
//! | code that calls | mocks: `Proxy::mock()` of `p2p_client::testing` |
//! | what crosses nodes, and what faults do to it | `TestCluster` |
//! | parts of a node on a network of your own making | [`MemoryNetwork`] |
//!
//! All but the last are there with this crate's feature `testing`, which is for `[dev-dependencies]`.

#[cfg(feature = "testing")]
mod cluster;
#[cfg(feature = "testing")]
mod lab;
#[cfg(feature = "testing")]
mod loopback;
#[cfg(feature = "testing")]
mod running;
#[cfg(feature = "testing")]
mod service_tester;

#[cfg(feature = "testing")]
pub use p2p_client::testing::{Expectation, MockCall, MockCluster, ServiceMock, Unmet};

#[cfg(feature = "testing")]
pub use self::{
    cluster::TestCluster,
    running::RunningCluster,
    service_tester::{ServiceTester, TestedService},
};
pub use crate::transport::{MemoryHost, MemoryNetwork};

//! What the program contains, whether or not a node runs in it.

use p2p_client::protocol::ServiceDescriptor;

use super::ServiceEntry;

/// The descriptions of all services that the program contains, by name: those under `#[service]`, gathered by inventory.
/// Services that exist only at run time are not among them.
pub fn descriptors_of_program() -> Vec<ServiceDescriptor> {
    let described = |entry: &ServiceEntry| (entry.spec)().descriptor().map(|descriptor| descriptor.get().clone());
    let mut all: Vec<_> = inventory::iter::<ServiceEntry>.into_iter().filter_map(described).collect();
    all.sort_by(|a, b| a.name.cmp(&b.name));
    all
}

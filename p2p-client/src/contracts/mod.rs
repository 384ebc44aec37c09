//! The contracts of the services that every node can host, so that they can be called without depending on their hosts.

pub mod system;

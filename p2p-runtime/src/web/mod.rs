//! The node's HTTP side: the same methods for every other language, the documents, health, joining, administration.
//!
//! ```text
//! transport (who is at the other end) -> routes -> requester (who asks) -> Dispatcher, documents, Issuer
//! ```
//! What may be read without a name is said route by route in [`routes`]; methods decide for themselves. A client outside shows a token, which
//! [`auth`] gives and [`requester`] verifies.

mod admin;
mod approvals;
mod auth;
mod bodies;
mod ca;
mod calls;
mod catalogue;
mod certificate;
mod clients;
mod component;
mod components;
mod configuration;
mod coordinators;
mod documents;
mod elsewhere;
pub(crate) mod headers;
mod joining;
mod limiting;
mod metrics;
mod openapi;
mod openapi_3_0;
mod openrpc;
mod policy;
mod requester;
mod revoking;
mod routes;
pub mod rpc;
mod running;
mod schemas;
mod served;
mod sessions;
mod state;
mod store;
mod streams;

/// Where results that were too large for a session are fetched; the ticket follows.
pub(crate) const BODY_PATH: &str = "/internal/session/body";

/// What a document says of itself.
#[derive(Debug, Clone)]
pub struct About {
    /// Its title.
    pub title: String,
    /// Its version: that of the node's software.
    pub version: String,
    /// Services that are missing in it, as their hosts could not be asked.
    pub unread: Vec<String>,
}

impl About {
    /// The description at the document's head.
    fn text(&self) -> String {
        let text = "Every node serves every method of the cluster: here if it is hosted here, else by passing the call on.";
        if self.unread.is_empty() {
            return text.to_owned();
        }
        format!("{text} Missing here, as their hosts could not be asked: {}.", self.unread.join(", "))
    }
}

/// The first line of a doc comment: its summary.
fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

pub use admin::{LeaveReply, TokenReply, TokenRequest};
pub use approvals::{ApprovalCommand, ApprovalReply};
pub use ca::{CaReply, OtherRootShown, RootShown, RotateReply, RotateRequest, RotationShown, ShareRequest};
pub(crate) use catalogue::DESCRIPTOR_PATH;
pub use certificate::{CertificateReply, RenewalReply};
pub use clients::{ClientCommand, ClientCreated, ClientReply, ClientShown};
pub(crate) use component::WebServerComponent;
pub use configuration::ConfigRequest;
pub use documents::{Health, MethodStatus, ServiceStatus};
pub(crate) use elsewhere::Lookups;
pub use openapi::openapi;
pub use openapi_3_0::openapi_3_0;
pub use openrpc::openrpc;
pub use policy::{Explanation, PolicyQuestion};
pub use revoking::{RevocationInfo, RevokeReply, RevokeRequest, RevokeWhat};
pub use routes::served_routes;
pub(crate) use running::RunningRequests;
pub use served::ServedRoute;
pub(crate) use state::{ClientTokens, WebState};
pub use store::StoreRequest;

//! The designs that are compared. Each file hosts and makes the calls of [`crate::calls`] as a user of that library would.
//!
//! [`Methods`] is what a typed client offers; [`Typed`] makes it a [`Caller`], which is what the load is put on.

pub(crate) mod hyper_h2;
pub(crate) mod jsonrpsee;
pub(crate) mod p2p;
pub(crate) mod tarpc;
pub(crate) mod tonic;

use std::{fmt, future::Future};

use anyhow::{Result, ensure};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::{
    calls::{self, EchoReply, EchoRequest, FIRST_ID, PageReply, PageRequest, ReportReply, ReportRequest},
    cases::Body,
};

/// A design.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Design {
    /// This project: two nodes of a cluster, and a typed proxy.
    P2p,
    /// The same, where each end writes the keys in an order that is foreign to the other's codec.
    P2pForeign,
    /// A unary method for each call.
    Tonic,
    /// All calls on one bidirectional stream.
    TonicStream,
    /// tarpc with bincode.
    TarpcBincode,
    /// jsonrpsee over HTTP.
    JsonrpseeHttp,
    /// hyper's HTTP/2 with a fixed body and nothing decoded: the floor.
    HyperH2,
}

impl Design {
    /// The design whose server it is called on.
    pub(crate) fn server(self) -> Self {
        match self {
            Self::P2pForeign => Self::P2p,
            Self::TonicStream => Self::Tonic,
            other => other,
        }
    }

    /// The crate whose version is the design's.
    pub(crate) fn package(self) -> &'static str {
        match self {
            Self::P2p | Self::P2pForeign => "p2p-runtime",
            Self::Tonic | Self::TonicStream => "tonic",
            Self::TarpcBincode => "tarpc",
            Self::JsonrpseeHttp => "jsonrpsee",
            Self::HyperH2 => "hyper",
        }
    }

    /// Whether it is a variant that has only the small call.
    pub(crate) fn is_variant(self) -> bool {
        self != self.server()
    }
}

impl fmt::Display for Design {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::P2p => "p2p",
            Self::P2pForeign => "p2p-foreign",
            Self::Tonic => "tonic",
            Self::TonicStream => "tonic-stream",
            Self::TarpcBincode => "tarpc-bincode",
            Self::JsonrpseeHttp => "jsonrpsee-http",
            Self::HyperH2 => "hyper-h2",
        })
    }
}

/// A typed client.
pub(crate) trait Methods: Clone + Send + Sync + 'static {
    /// Makes the small call.
    fn echo(&self, request: EchoRequest) -> impl Future<Output = Result<EchoReply>> + Send;

    /// Fetches a large body.
    fn page(&self, request: PageRequest) -> impl Future<Output = Result<PageReply>> + Send;

    /// Fetches a nested body.
    fn report(&self, request: ReportRequest) -> impl Future<Output = Result<ReportReply>> + Send;
}

/// What a load is put on. Clones share one connection.
pub(crate) trait Caller: Clone + Send + Sync + 'static {
    /// Makes a call and looks at its answer.
    fn call(&self, body: Body, id: u64) -> impl Future<Output = Result<()>> + Send;

    /// Makes a call and compares its whole answer with what it must be.
    fn verify(&self, body: Body) -> impl Future<Output = Result<()>> + Send;
}

/// Makes a typed client a [`Caller`].
#[derive(Clone)]
pub(crate) struct Typed<M>(pub(crate) M);

impl<M: Methods> Caller for Typed<M> {
    async fn call(&self, body: Body, id: u64) -> Result<()> {
        match body {
            Body::Echo => {
                let reply = self.0.echo(EchoRequest::new(id)).await?;
                calls::check_echo(id, reply.id, &reply.text)
            }
            Body::Page(bytes) => {
                let request = PageRequest::new(id, bytes);
                let reply = self.0.page(request.clone()).await?;
                calls::check_page(&request, reply.id, &reply.text)
            }
            Body::Report => {
                let reply = self.0.report(ReportRequest::new(id)).await?;
                calls::check_report(id, reply.id, reply.rows.len())
            }
        }
    }

    async fn verify(&self, body: Body) -> Result<()> {
        let id = FIRST_ID;
        let right = match body {
            Body::Echo => self.0.echo(EchoRequest::new(id)).await? == calls::echo(EchoRequest::new(id)),
            Body::Page(bytes) => {
                let request = PageRequest::new(id, bytes);
                self.0.page(request.clone()).await? == calls::page(&request)
            }
            Body::Report => self.0.report(ReportRequest::new(id)).await? == calls::report(ReportRequest::new(id)),
        };
        ensure!(right, "the answer to {body:?} is not what the server's work gives; the design changes values on their way");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_design_has_one_name_on_the_command_line_in_the_json_and_in_tables() {
        for design in Design::value_variants() {
            let argument = design.to_possible_value().unwrap();
            assert_eq!(argument.get_name(), design.to_string());
            assert_eq!(serde_json::to_value(design).unwrap(), design.to_string());
        }
    }
}

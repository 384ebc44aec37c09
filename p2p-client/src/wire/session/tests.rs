//! Sessions over real HTTP/2, on streams within this process.

mod bad_input;
mod calls;
mod holding_up;
mod large;
mod opening;
mod parting;
mod streams;
pub(in crate::wire) mod support;

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    task::Poll,
    time::Duration,
};

use bytes::Bytes;
use futures::{StreamExt, future::join_all};
use tokio::{sync::Barrier, time::Instant};

use super::{
    machine::{Ended, Outcome, Violation},
    message::{Answer, Message, Outgoing},
    *,
};
use crate::protocol::ErrorCode;
use support::*;

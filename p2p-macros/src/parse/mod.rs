//! Tokens to what the user wrote: attributes and items, without judging more than their form.

mod args;
mod item;
pub(crate) mod serde_words;

pub(crate) use args::{AccessWord, ArgArgs, MethodArgs, ServiceArgs};
pub(crate) use item::{Function, Item, Kind, Unreadable, last_segment_is, without_our_attributes};

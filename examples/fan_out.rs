//! One call to many nodes: every answer, answers as they come, the first success, a quorum.
//!
//! ```sh
//! cargo run --example fan_out
//! ```
//! A note is kept on three nodes, of which one has a full disk. Writing is done when two of them have it; reading takes the first answer.

mod cluster;

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use cluster::{join_cluster, new_cluster};
use futures::StreamExt;
use p2p_services::prelude::*;

/// Keeps one note.
#[derive(Default)]
pub struct Notes {
    note: Mutex<Option<String>>,
    disk_is_full: bool,
}

#[service(version = "1.0.0")]
impl Notes {
    /// Keeps a note.
    ///
    /// # Errors
    /// When the disk is full.
    #[service_method(idempotent)]
    pub async fn write(&self, note: String) -> Result<()> {
        if self.disk_is_full {
            return Err(Error::msg("the disk is full"));
        }
        *self.note.lock().unwrap_or_else(PoisonError::into_inner) = Some(note);
        Ok(())
    }

    /// The note that is kept here.
    ///
    /// # Errors
    /// When there is none.
    #[service_method(read_only)]
    pub async fn read(&self) -> Result<String> {
        let note = self.note.lock().unwrap_or_else(PoisonError::into_inner);
        note.clone().ok_or_else(|| Error::msg("nothing was written here"))
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let coordinator = Node::builder().enrolment(new_cluster(folder.path()).await?).start().await?;
    let one = Node::builder().enrolment(join_cluster(folder.path(), "worker-1", &coordinator).await?).start().await?;
    let full = Notes { disk_is_full: true, ..Notes::default() };
    let two = Node::builder().enrolment(join_cluster(folder.path(), "worker-2", &coordinator).await?).serve(full).start().await?;
    coordinator.wait_until(|members| members.hosting("notes").count() == 3).await;
    let notes = coordinator.proxy().notes();

    println!("\nA quorum: the note is kept as soon as two of three have it.");
    let kept = notes.on_all(Many::All).write("buy milk").timeout(Duration::from_secs(2)).quorum(2).await?;
    println!("  on {}", names(kept.iter().map(|(node, ())| node)));

    println!("\nA quorum that cannot be had, with who said what:");
    if let Err(too_few) = notes.on_all(Many::All).write("buy bread").quorum(3).await {
        println!("  {too_few}");
    }

    println!("\nThe first success; who has nothing is passed over:");
    let (fastest, note) = notes.on_all(Many::All).read().first().await?;
    println!("  {fastest}: {note}");

    println!("\nEvery answer, also of those that failed:");
    let (notes_kept, failures) = notes.on_all(Many::All).read().await.into_parts();
    println!("  {} have a note; {} failed: {}", notes_kept.len(), failures.len(), names(failures.iter().map(|(node, _)| node)));

    println!("\nAnswers of some nodes, as they come:");
    let mut replies = notes.on_all([one.id(), two.id()]).read().stream();
    while let Some((node, reply)) = replies.next().await {
        println!("  {node}: {}", reply.unwrap_or_else(|error| format!("error: {error}")));
    }

    println!("\nThe same, where names are known only at run time:");
    let (fastest, json) = coordinator.proxy().call("notes/read", ()).on_all(Role::Worker).first().await?;
    println!("  {fastest}: {}\n\nDone.", json.get());

    for node in [two, one, coordinator] {
        node.stop().await;
    }
    Ok(())
}

fn names<'a>(nodes: impl Iterator<Item = &'a NodeId>) -> String {
    nodes.map(NodeId::as_str).collect::<Vec<_>>().join(" and ")
}

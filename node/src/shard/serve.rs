//! The mailbox loop: what other shards, the admin thread and the node ask of this one.
//!
//! Appends enter the log in the loop itself, so their order is that of the mailbox; everything else
//! runs as a task of its own.

use super::Shard;
use super::mailbox::{Mailbox, Message};
use crate::connection;
use crate::io::runtime;
use crate::limits::STOP_DEADLINE;
use ringspool_ring::Metadata;
use std::rc::Rc;
use std::sync::Arc;
use tokio::sync::oneshot;

/// Answers, unless the asker has gone.
fn answer<T>(reply: oneshot::Sender<T>, value: T) {
    drop(reply.send(value));
}

impl Shard {
    /// Serves until told to stop.
    pub async fn serve(self: Rc<Self>, mailbox: Mailbox) {
        while let Ok(message) = mailbox.recv().await {
            if let Message::Stop { reply } = message {
                self.stop().await;
                answer(reply, ());
                return;
            }
            self.handle(message).await;
        }
    }

    async fn handle(self: &Rc<Self>, message: Message) {
        crate::io::note_activity();
        let shard = Rc::clone(self);
        match message {
            Message::Connection(handed) => connection::adopt(&shard, handed),
            Message::Append { vnode, batches, reply } => {
                let pending = self.append(vnode, batches).await;
                drop(runtime::spawn(async move { answer(reply, pending.await) }));
            }
            Message::Read { reads, bytes_max, reply } => drop(runtime::spawn(async move {
                answer(reply, shard.read(&reads, bytes_max).await);
            })),
            Message::Wait { partitions, deadline, mut reply } => drop(runtime::spawn(async move {
                {
                    let wait = std::pin::pin!(shard.wait(partitions, deadline));
                    let gone = std::pin::pin!(reply.closed());
                    futures::future::select(wait, gone).await;
                }
                answer(reply, ());
            })),
            Message::Offsets { queries, reply } => drop(runtime::spawn(async move {
                let mut answers = Vec::with_capacity(queries.len());
                for (asked, timestamp) in queries {
                    answers.push(shard.offset(asked, timestamp).await);
                }
                answer(reply, answers);
            })),
            Message::States { partitions, reply } => answer(reply, shard.states(&partitions)),
            Message::Change { command, reply } => drop(runtime::spawn(async move {
                answer(reply, shard.commit_here(command).await);
            })),
            Message::Metadata(metadata) => self.learn(metadata),
            Message::Reconciled { version, reply } => drop(runtime::spawn(async move {
                let mut reconciled = shard.reconciled.subscribe();
                // Only fails when the shard goes away, which the asker sees by itself.
                drop(reconciled.wait_for(|done| *done >= version).await);
                answer(reply, ());
            })),
            Message::Report { reply } => answer(reply, self.report()),
            Message::Drain { reply } => drop(runtime::spawn(async move {
                shard.drain().await;
                answer(reply, ());
            })),
            Message::Stop { .. } => unreachable!("handled by the loop"),
        }
    }

    /// Takes newer metadata.
    pub fn learn(&self, metadata: Arc<Metadata>) {
        if metadata.version() > self.metadata.borrow().version() {
            self.stats.retain_topics(|topic| metadata.topic_by_id(topic).is_some());
            *self.metadata.borrow_mut() = metadata;
            self.reconcile_wanted.notify_one();
        }
    }

    /// Takes no new requests and finishes those in flight.
    async fn drain(&self) {
        self.sessions.stop();
        if runtime::timeout(STOP_DEADLINE, self.sessions.finished()).await.is_none() {
            tracing::warn!(shard = self.id, "some requests were cut off");
        }
    }

    /// Makes checkpoints, gives WAL files up, stops the groups, closes the log.
    async fn stop(&self) {
        // Housekeeping ends with this, also when nobody drained the shard before.
        self.sessions.stop();
        if runtime::timeout(STOP_DEADLINE, self.checkpoint_all()).await.is_none() {
            tracing::warn!(
                shard = self.id,
                "the last checkpoints were cut short; the next start \
                replays the log instead"
            );
        }
        if runtime::timeout(STOP_DEADLINE, self.checkpoint_pinned()).await.is_none() {
            tracing::warn!(shard = self.id, "the next start reads more of the log than it must");
        }
        for vnode in self.vnodes.values() {
            vnode.stop().await;
        }
        if let Some(coordinator) = &self.coordinator {
            coordinator.stop().await;
        }
        self.storage.stop();
        self.wal.close().await;
    }
}

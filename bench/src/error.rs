//! Why a run could not be done at all. What goes wrong inside a run is counted in its report.

use std::io;
use std::path::PathBuf;

use ringspool_client::{AdminError, ClientError, ConsumeError, ProduceError};
use ringspool_wire::BatchError;
use thiserror::Error;

/// The end of a run that gave no report.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BenchError {
    /// Settings that cannot be run.
    #[error("{option} cannot be {value}: {allowed}")]
    Setting {
        /// The option, as it is typed.
        option: &'static str,
        /// What was given.
        value: String,
        /// What can be given.
        allowed: String,
    },
    /// The topic is there, and is another one than asked for.
    #[error(
        "topic {topic:?} exists with {found}, but {wanted} needed; take another with --topic, or \
         delete it: ringspool topic delete {topic}"
    )]
    OtherTopic {
        /// Its name.
        topic: String,
        /// How it is.
        found: String,
        /// How it should be.
        wanted: String,
    },
    /// Partitions that got no leader in time.
    #[error("partition {partition} of topic {topic:?} has no leader after {waited_s} s")]
    NoLeader {
        /// The topic.
        topic: String,
        /// The first one without.
        partition: u32,
        /// How long it was waited for.
        waited_s: u64,
    },
    /// Writing the records that are to be read failed, so there is nothing to read.
    #[error("cannot write the records to read: {0}")]
    Fill(String),
    /// No server, or no answer.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The topic could not be made or described.
    #[error(transparent)]
    Admin(#[from] AdminError),
    /// A producer could not be made.
    #[error(transparent)]
    Produce(#[from] ProduceError),
    /// A consumer could not be made.
    #[error(transparent)]
    Consume(#[from] ConsumeError),
    /// A batch of these settings cannot be made.
    #[error("cannot build a batch: {0}")]
    Batch(#[from] BatchError),
    /// The operating system refused something.
    #[error("cannot {action}: {source}")]
    System {
        /// What was tried.
        action: &'static str,
        /// Its words.
        source: io::Error,
    },
    /// The file to measure with could not be used.
    #[error("cannot {action} {path}: {source}", path = path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The operating system's words.
        source: io::Error,
    },
    /// A thread of the harness ended by a panic.
    #[error("a thread of the load generator panicked")]
    WorkerPanicked,
}

//! What can go wrong, and when.

use std::sync::Arc;

use ringspool_wire::{Api, ErrorCode};
use tokio::sync::Semaphore;

#[derive(Clone, Debug)]
pub enum Fault {
    /// The connection is dropped, and the request is not carried out.
    DropBefore,
    /// The request is carried out, and the connection dropped instead of answering.
    DropAfter,
    /// The request is not carried out; an error answers it as a whole.
    Refuse(ErrorCode),
    /// As `Refuse`, with versions, as a node of another time would.
    RefuseVersion { version_min: u8, version_max: u8 },
    /// Nothing is carried out, and every part is answered with this.
    RefuseParts(ErrorCode),
    /// The parts of this partition are not carried out and are answered with this.
    RefusePartition(u32, ErrorCode),
    /// It is carried out now, and answered when the gate opens.
    Hold(Gate),
    /// It is carried out and answered when the gate opens; those behind it are not held up.
    Delay(Gate),
    /// It is never answered, and not carried out.
    Ignore,
    /// It is answered under another correlation id.
    WrongCorrelation,
}

#[derive(Debug)]
pub struct Scripted {
    pub api: Api,
    /// Requests of the api to let pass first.
    pub left: usize,
    pub fault: Fault,
}

/// Something a test opens.
#[derive(Clone, Debug)]
pub struct Gate(Arc<Semaphore>);

impl Gate {
    pub fn closed() -> Self {
        Gate(Arc::new(Semaphore::new(0)))
    }

    pub fn open(&self) {
        self.0.close();
    }

    pub async fn passed(&self) {
        // Closing the semaphore opens the gate.
        let _ = self.0.acquire().await;
    }
}

/// The fault for a request of this api, if one is due.
pub fn next(script: &mut Vec<Scripted>, api: Api) -> Option<Fault> {
    let mut due = None;
    for (index, scripted) in script.iter_mut().enumerate() {
        if scripted.api != api {
            continue;
        }
        if scripted.left == 0 && due.is_none() {
            due = Some(index);
        }
        scripted.left = scripted.left.saturating_sub(1);
    }
    due.map(|index| script.remove(index).fault)
}

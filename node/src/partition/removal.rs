//! Removing files: those of trimmed segments, and all of a deleted partition.

use super::Partition;
use crate::io::DiskError;
use crate::segment::{index_path, log_path};

impl Partition {
    /// Removes the files of segments that were trimmed before the last [`Partition::checkpoint`].
    /// Called once that checkpoint is durable: until then a restart may need them.
    ///
    /// A checkpoint names them until they are gone for good, so a crash in between leaves none
    /// behind.
    pub async fn remove_dead_files(&self) -> Result<(), DiskError> {
        let is_doomed = |state: &super::state::State| {
            let dead = state.dead.iter().filter(|dead| dead.is_in_checkpoint);
            dead.map(|dead| dead.base_offset).collect::<Vec<u64>>()
        };
        if is_doomed(&self.state.borrow()).is_empty() {
            return Ok(());
        }
        // A flush that began before the trim may still write to them.
        let _turn = self.flush_turn.lock().await;
        let doomed = is_doomed(&self.state.borrow());
        for base_offset in &doomed {
            self.context.forget_segment(self.id, *base_offset);
            let paths = [log_path(&self.dir, *base_offset), index_path(&self.dir, *base_offset)];
            for path in paths {
                match self.context.disk.remove_file(&path).await {
                    Err(error) if !error.is_not_found() => return Err(error),
                    _ => {}
                }
            }
            self.context.counters().segments_removed.add(1);
        }
        match self.context.disk.sync_dir(&self.dir).await {
            Err(error) if !error.is_not_found() => return Err(error),
            _ => {}
        }
        self.state.borrow_mut().dead.retain(|dead| !doomed.contains(&dead.base_offset));
        Ok(())
    }

    /// Ends the partition: nothing is appended or read any more, memory is given back, waiters are
    /// woken. What a command that drops it does; [`Partition::delete_files`] follows.
    pub fn close(&self) {
        let wakers = {
            let mut state = self.state.borrow_mut();
            state.is_closed = true;
            let end = state.stream_end;
            state.tail.drop_before(u64::MAX);
            state.written = end;
            let segments = std::mem::take(&mut state.segments);
            for segment in segments {
                self.context.forget_segment(self.id, segment.info.base_offset);
            }
            state.waiters.take_reached(u64::MAX)
        };
        self.settle();
        for waker in wakers {
            waker.wake();
        }
    }

    /// Whether [`Partition::close`] was called.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.state.borrow().is_closed
    }

    /// Removes the partition's folder and all in it, and makes that durable. Closes the partition.
    pub async fn delete_files(&self) -> Result<(), DiskError> {
        self.close();
        let _turn = self.flush_turn.lock().await;
        self.context.folders.borrow_mut().forget(&self.dir);
        match self.context.disk.remove_dir_all(&self.dir).await {
            Err(error) if error.is_not_found() => return Ok(()),
            removed => removed?,
        }
        match self.dir.parent() {
            Some(parent) => self.context.disk.sync_dir(parent).await,
            None => Ok(()),
        }
    }
}

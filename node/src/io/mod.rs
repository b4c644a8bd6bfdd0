//! The seams between the node and the machine: disk, network, runtime, clock.
//!
//! Everything outside this folder is a function of its input and of these seams. glommio, io-uring
//! and all `unsafe` of the crate stay in here.
#![allow(unsafe_code)]

mod blocking;
mod buffer;
mod disk;
mod executor;
mod net;
mod raw_ring;
mod real_disk;
mod rlimit;
pub mod runtime;
mod sim_disk;

pub use buffer::IoBuffer;
pub use disk::{BLOCK_BYTES, Disk, DiskError, DiskFuture, File, OpenMode, align_down, align_up};
pub use executor::{ExecutorHandle, note_activity, spawn_pinned};
pub use net::{
    BoundListener, Listener, Stream, StreamCloser, StreamReader, StreamWriter, bind_shared,
};
pub use raw_ring::{RAW_SLOTS_MAX, RawFile};
pub use real_disk::RealDisk;
pub use rlimit::{
    LimitTooLow, MEMLOCK_BYTES_PER_SHARD, check_memlock, check_nofile, raise_memlock_limit,
    raise_nofile_limit,
};
pub use sim_disk::{CrashMode, SimDisk};

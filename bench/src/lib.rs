//! Ringspool's load harness: how fast a node is, and how fast it could be on its device.
//!
//! ```text
//!  settings ──> produce/   closed loop: N requests in flight on each producer
//!          └──> consume/   reads everything back, and checks it
//!                  │  payload, template: records that can be checked, made faster than they are sent
//!                  │  workers: one thread and one client each;  topic: made or found before
//!                  └──> report     latency, server_cost: merged, and what the node spent
//!  device/   the disk and the loopback, without a node
//! ```
//!
//! Honest arithmetic, for every number that leaves here:
//!
//! - A rate is bytes over the wall time of the whole run, from the moment counting starts to the
//!   last acknowledgement; never a sum of rates.
//! - Percentiles come from one histogram, into which those of all threads are merged. The maximum
//!   is exact, and nothing is dropped as an outlier.
//! - Bytes are those of record values: what a user stores, without headers and framing.
//! - What cannot be right fails the run: a request that fails, a record that is missing, out of
//!   order or changed.
//!
//! Load goes through the same client that users have; nothing here knows a shorter way.
#![forbid(unsafe_code)]

pub mod consume;
pub mod device;
mod error;
mod latency;
mod payload;
pub mod produce;
mod progress;
mod report;
mod server_cost;
mod settings;
mod stop;
mod template;
mod topic;
mod workers;

pub use error::BenchError;
pub use latency::{Latency, LatencyUs};
pub use progress::Progress;
pub use report::{DeviceMark, LoadReport};
pub use server_cost::ServerCost;
pub use settings::{COUNT_DEFAULT, Limit, LoadSettings};
pub use stop::Stop;

//! What tests of a node's storage share: a node on a simulated disk, and what it has to hold.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

mod model;
mod node;
mod plan;

pub use model::{Model, PartitionModel};
pub use node::{Setup, SimNode, on_executor};
pub use plan::Plan;

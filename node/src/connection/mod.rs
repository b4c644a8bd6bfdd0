//! A client's connection: accepting it, handing it to the shard it asks for, framing, deadlines and
//! budgets, and answering its requests in whatever order they finish.
//!
//! - [`accept`](fn@accept): the listener's loop and the handshake;
//! - [`frames`]: from bytes to frames;
//! - [`session`]: the reading and the writing half of a connection;
//! - [`dispatch`]: from a request to what carries it out;
//! - [`sessions`]: all connections of a shard: budgets, deadlines, stopping.

mod accept;
mod dispatch;
mod frames;
mod session;
mod sessions;

pub use accept::{HandedOver, accept, adopt};
pub use sessions::{AnswerRoom, AnswerShare, Sessions};

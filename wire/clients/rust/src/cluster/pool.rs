//! The connections of a client: one per node and shard, opened when first needed.
//!
//! Invariant: at most one connection to an endpoint is being opened at a time, however many ask.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use ringspool_wire::ANY_SHARD;

use crate::connection::{ConnectOptions, Connection, ConnectionError};

/// A shard of a node, by the address of the node.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Endpoint {
    pub(crate) address: Arc<str>,
    pub(crate) shard: u16,
}

impl Endpoint {
    /// Whichever shard accepts the connection.
    pub(crate) fn any_shard(address: Arc<str>) -> Self {
        Endpoint { address, shard: ANY_SHARD }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.shard {
            ANY_SHARD => f.write_str(&self.address),
            shard => write!(f, "{} shard {shard}", self.address),
        }
    }
}

type Slot = Arc<tokio::sync::Mutex<Option<Connection>>>;

pub(crate) struct Pool {
    options: ConnectOptions,
    slots: Mutex<HashMap<Endpoint, Slot>>,
}

impl Pool {
    pub(crate) fn new(options: ConnectOptions) -> Self {
        Pool { options, slots: Mutex::new(HashMap::new()) }
    }

    /// The open connection to an endpoint, or a new one.
    pub(crate) async fn get(&self, endpoint: &Endpoint) -> Result<Connection, ConnectionError> {
        let slot = {
            let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
            slots.entry(endpoint.clone()).or_default().clone()
        };
        let mut slot = slot.lock().await;
        if let Some(connection) = slot.as_ref().filter(|connection| !connection.is_closed()) {
            return Ok(connection.clone());
        }
        *slot = None;
        let connection =
            Connection::open(endpoint.address.clone(), endpoint.shard, &self.options).await?;
        *slot = Some(connection.clone());
        Ok(connection)
    }
}

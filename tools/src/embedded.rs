//! The node inside this program: the only module that knows the API of `ringspool_node` for
//! serving. Options of the command line override the configuration file.

use std::fs;

use ringspool_node::config::Config;
use ringspool_node::{Node, NodeHandle};

use crate::cli::ServeArgs;
use crate::error::CommandError;

/// The configuration: defaults, then the file, then the options.
pub(crate) fn config(args: &ServeArgs) -> Result<Config, CommandError> {
    let mut config = match &args.config {
        Some(path) => {
            let text = fs::read_to_string(path).map_err(|source| CommandError::File {
                action: "read",
                path: path.clone(),
                source,
            })?;
            Config::from_toml(&text, &path.display().to_string())
                .map_err(|error| CommandError::Failed(error.to_string()))?
        }
        None => Config::default(),
    };
    if let Some(data_dir) = &args.data_dir {
        config.data_dir.clone_from(data_dir);
    }
    if let Some(listen) = args.listen {
        config.listen = listen;
    }
    if let Some(admin) = args.admin {
        config.admin = admin;
    }
    if let Some(shards) = args.shards {
        config.shards = Some(shards);
    }
    Ok(config)
}

/// A node that accepts requests.
pub(crate) struct RunningNode {
    handle: NodeHandle,
}

/// Starts a node; returns when it accepts requests.
pub(crate) fn start(config: Config) -> Result<RunningNode, CommandError> {
    match Node::start(config) {
        Ok(handle) => Ok(RunningNode { handle }),
        Err(error) => Err(CommandError::Failed(error.to_string())),
    }
}

impl RunningNode {
    /// The one line on stdout: a contract.
    pub(crate) fn ready_line(&self) -> String {
        format!(
            "ready node={} listen={} admin={} shards={}",
            self.handle.node_id(),
            self.handle.listen_addr(),
            self.handle.admin_addr(),
            self.handle.shards()
        )
    }

    /// Resolves, with the reason, when the node cannot go on.
    pub(crate) async fn failed(&self) -> String {
        self.handle.failed().await
    }

    /// Finishes what is in flight, checkpoints, ends.
    pub(crate) fn stop(self) -> Result<(), CommandError> {
        self.handle.stop().map_err(|error| CommandError::Failed(error.to_string()))
    }
}
